"""Background given by a caller: explanations of tables compare with it; a warning names explainers that do not."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from xaibench.api.raw_views import default_maskers
from xaibench.core.components import Component, ExplainerSpec, MetricSpec
from xaibench.core.errors import UnusedBackgroundWarning
from xaibench.core.masking.names import SERIES_MASKERS
from xaibench.core.problem import ProblemView

FROM_BACKGROUND = frozenset({"mean", "uniform", "marginal", "conditional", *SERIES_MASKERS})
"""Maskers that take what they fill in from the background."""
TABLE_MASKER = "marginal"
"""What removal explainers put in the place of removed columns of a table where a background is given."""


def with_background_masker(spec: Component, params: Mapping[str, Any], view: ProblemView) -> dict[str, Any]:
    """Parameters as a call means them: with a background, explainers of tables remove columns by `TABLE_MASKER`.

    Only where the caller names no masker, and no ``references``, and the explainer's default masker does not use
    the background. A suite names its maskers, so nothing changes there.
    """
    if view.background is None or view.layout.kind != "table" or not isinstance(spec, ExplainerSpec):
        return dict(params)
    default = spec.parameters.get("masker")
    if "masker" in params or params.get("references") is not None or default is None or default in FROM_BACKGROUND:
        return dict(params)
    return {**params, "masker": TABLE_MASKER}


def meant(spec: ExplainerSpec | MetricSpec, params: Mapping[str, Any], view: ProblemView) -> dict[str, Any]:
    """Parameters as a call means them: maskers that it does not name are those that its samples call for."""
    return default_maskers(spec, with_background_masker(spec, params, view), view)


def uses_background(spec: Component, bound: Mapping[str, Any]) -> bool:
    """Whether a component with these parameters looks at the background, by what it declares.

    Parameters
    ----------
    spec : Component
    bound : mapping
        All parameters, see `Component.bind`.
    """
    if "background" in spec.needs or bound.get("references") is not None:
        return True
    if isinstance(spec, ExplainerSpec):
        uses = spec.uses_background
        if uses(bound) if callable(uses) else uses:
            return True
    return any(isinstance(value, str) and value in FROM_BACKGROUND for value in bound.values())


def say_if_unused(
    view: ProblemView, used: Iterable[tuple[Component, Mapping[str, Any]]], *, stacklevel: int = 3
) -> None:
    """Warn once if a background was given and none of these components, with these parameters, uses it."""
    asked = list(used)
    if view.background is None or any(uses_background(spec, bound) for spec, bound in asked):
        return
    # Whatever the masker, the category that takes the place of a removed one is of the background.
    categories = view.layout.categorical or view.layout.boolean
    if categories and any({"masker", "baseline"} & set(spec.parameters) for spec, _ in asked):
        return
    maskers = [name for spec, _ in asked for name in ("masker", "baseline") if name in spec.parameters]
    hint = f'; say {maskers[0]}="marginal" to compare with it' if maskers else ""
    names = " and ".join(f"{spec.kind} {spec.name!r}" for spec, _ in asked)
    warnings.warn(f"background is not used by {names}{hint}", UnusedBackgroundWarning, stacklevel=stacklevel)
