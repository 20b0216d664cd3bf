"""Warning about a background that a single call was given and that nothing in it uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from xaibench.api.arguments import find_component
from xaibench.api.attributions import origin_of
from xaibench.api.background import meant, say_if_unused
from xaibench.api.choosing import ExplainWith, choose_explainer
from xaibench.api.inputs import ArrayLike
from xaibench.api.problem import Problem
from xaibench.core.components import Component, MetricSpec


def say_if_background_is_unused(
    problem: Problem,
    metric: str | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    attributions: ArrayLike | None = None,
    explain: ExplainWith | None = None,
    explainer_params: Mapping[str, Any] | None = None,
) -> None:
    """Warn if a single call has a background, and neither its metric nor what makes the maps uses it."""
    view = problem._shared.everything()
    used: list[tuple[Component, Mapping[str, Any]]] = []
    if metric is not None:
        spec = cast(MetricSpec, find_component("metric", metric))
        used.append((spec, spec.bind(meant(spec, params or {}, view))))
    origin = origin_of(attributions)
    if origin is not None and origin.spec is not None and origin.spec.registered:
        used.append((origin.spec, origin.params))
    if isinstance(explain, str):
        chosen = choose_explainer(explain, explainer_params, None, view)
        used.append((chosen.spec, chosen.params))
    if used:
        say_if_unused(view, used, stacklevel=4)
