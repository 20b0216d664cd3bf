"""What components may need and problems may offer: kinds of data, gradients, truth, pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from xaibench.core.cases.kinds import case_kinds
from xaibench.core.features import GRAPH_KINDS
from xaibench.core.types import FunctionKind

DATA_NEEDS = frozenset({"image", "volume", "table", "series", "text", "graph", "program", "case"})
"""Kinds of data; a component that names several takes any of them."""
FUNCTION_KINDS: tuple[str, ...] = get_args(FunctionKind)
"""Kinds of functions, where the data are programs; a component that names several takes any of them."""
NEEDS = DATA_NEEDS | {
    *FUNCTION_KINDS,
    "others",
    "gradients",
    "module",
    "attention",
    "own_steps",
    "truth",
    "truth.mask",
    "truth.weights",
    "truth.contributions",
    "truth.signs",
    "truth.distractors",
    "reexplain",
    "retrain",
    "labels",
    "background",
}
SHOWN_TRUTHS = frozenset({"truth.mask", "truth.weights", "truth.contributions", "truth.signs"})
"""Forms of truth that explainers may be shown."""
ABOUT_MODEL = frozenset({"truth.weights", "truth.contributions"})
"""Forms of truth that are of the model, whatever the data set says."""
PAIRS = ("model_pair", "input_pair")
"""Needs of these kinds have a name of their own: ``model_pair.contrast``."""


def kinds_known() -> frozenset[str]:
    """Names of all kinds of functions and cases."""
    return frozenset(FUNCTION_KINDS) | case_kinds()


def sees_truth(needs: Iterable[str]) -> bool:
    """Whether a truth of any form is among the needs."""
    return any(n.partition(".")[0] == "truth" for n in needs)


def need_of_data(features: str) -> str:
    """The need that data with features of this kind meet: tokens are text, edges are of graphs, others called alike."""
    if features in GRAPH_KINDS:
        return "graph"
    return "text" if features == "tokens" else features


def missing_needs(needs: Iterable[str], capabilities: Iterable[str]) -> list[str]:
    """Needs that ``capabilities`` does not meet; kinds of data (and of functions) are alternatives.

    The need ``truth`` is met by a truth that explainers may be shown: any but ``truth.distractors``.
    """
    wanted, offered = set(needs), set(capabilities)
    if offered & SHOWN_TRUTHS:
        offered.add("truth")
    missing = sorted(wanted - offered - DATA_NEEDS - kinds_known())
    for alternatives in (DATA_NEEDS, kinds_known()):
        kinds = wanted & alternatives
        if kinds and not kinds & offered:
            missing.append(" or ".join(sorted(kinds)))
    return missing
