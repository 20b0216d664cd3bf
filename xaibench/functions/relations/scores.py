"""Scores of programs for relations."""

from __future__ import annotations

import numpy as np

from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array


@metric(
    "relation_exact",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "relation"},
    skill_valid=True,
    source="xaibench's own definition: exact match over held-out inputs",
)
def relation_exact(ev: ProgramEvaluation) -> Array:
    """Share of held-out things with the right attribute, "undefined" included; case and blanks around it do not count.

    Returns
    -------
    array (N,)
        No output is a wrong one. NaN where there are no test inputs.
    """
    return np.array([_exact(ev, i) for i in range(len(ev))])


def _exact(ev: ProgramEvaluation, i: int) -> float:
    inputs = ev.functions[i].test_inputs
    if not len(inputs):
        return float("nan")
    pairs = zip(ev.truth(i, inputs), ev.predict(i, inputs), strict=True)
    return float(np.mean([found is not None and _folded(found) == _folded(wanted) for wanted, found in pairs]))


def _folded(text: object) -> str:
    return str(text).strip().casefold()
