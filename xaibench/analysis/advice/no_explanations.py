"""Explainers of a board whose maps explain no model: made without asking it, or from the truth."""

from __future__ import annotations

import json
from collections.abc import Iterable

from xaibench.core.components import ExplainerSpec
from xaibench.core.errors import XaibenchError
from xaibench.core.known_names import all_components
from xaibench.core.needs import sees_truth
from xaibench.core.types import ExplainerKey


def no_explanations(entries: Iterable[ExplainerKey]) -> frozenset[ExplainerKey]:
    """Those of the explainers, as (name, parameters as JSON), that never ask the model or are given the truth.

    Suites name them as references, and boards rank them. Names that are not registered here (a plugin that is not
    loaded, a renamed explainer of an old board) are taken for explanations.

    Examples
    --------
    >>> sorted(no_explanations([("gradient", "{}"), ("input_magnitude", "{}"), ("unheard_of", "{}")]))
    [('input_magnitude', '{}')]
    >>> noise = ("monotone_transform", '{"base":"random","power":0.5,"transform":"ranks"}')
    >>> no_explanations([noise, ("degraded_oracle", '{"noise":0.5}')]) == {noise, ("degraded_oracle", '{"noise":0.5}')}
    True
    """
    specs = {spec.name: spec for spec in all_components("explainer") if isinstance(spec, ExplainerSpec)}
    return frozenset(e for e in entries if e[0] in specs and _is_reference(specs[e[0]], e[1]))


def _is_reference(spec: ExplainerSpec, params: str) -> bool:
    try:
        return sees_truth(spec.needs) or spec.never_asks_the_model(json.loads(params or "{}"))
    except (ValueError, KeyError, XaibenchError):  # parameters of another version
        return False
