"""Listing of registered components."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import pandas as pd

from xaibench.core import registry
from xaibench.core.components import KINDS, Component, ExplainerSpec, Kind, MetricSpec
from xaibench.core.errors import UsageError, did_you_mean


def components(kind: Kind) -> pd.DataFrame:
    """Registered components of a kind, such as ``explainer``, ``metric`` or ``functions``; plurals will do.

    Returns
    -------
    DataFrame
        With name, version, needs, parameters, summary, and what else that kind declares.

    Examples
    --------
    >>> import xaibench as xb
    >>> metrics = xb.components("metric").set_index("name")
    >>> metrics.loc["pixel_flipping", "family"]
    'faithfulness'
    """
    singular = str(kind).removesuffix("s")
    kind = next((k for k in KINDS if k == singular and kind not in KINDS), kind)
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}", did_you_mean(str(kind), KINDS))
    return _frame(kind, registry.components(kind))


def listed_adapters(kind: Kind) -> pd.DataFrame:
    """Components of a kind that call another library, such as ``captum:Saliency``, as `components` lists others."""
    return _frame(kind, registry.adapters(kind))


def _frame(kind: Kind, specs: Iterable[Component]) -> pd.DataFrame:
    extra = {
        "metric": (
            "family",
            "higher_is_better",
            "bounds",
            "output",
            "sign",
            "scope",
            "aggregate",
            "skill_valid",
            "ranks",
            "source",
        ),
        "explainer": ("control",),
        "dataset": ("features", "provides"),
        "model": ("features", "provides"),
        "interpreter": ("control",),
        "functions": ("functions", "provides"),
    }[kind]
    rows = []
    for spec in specs:
        row = {
            "name": spec.name,
            "version": spec.version,
            "needs": sorted(spec.needs),
            "parameters": shown_parameters(spec),
        }
        if isinstance(spec, ExplainerSpec):
            row["kind"] = spec.attribution_kind if isinstance(spec.attribution_kind, str) else "per problem"
        for name in extra:
            row[name] = _declared(spec, name)
        rows.append({**row, "summary": spec.summary})
    return pd.DataFrame(rows)


def _declared(spec: Component, name: str) -> Any:
    """What a component declares; where parameters decide, with their defaults."""
    if isinstance(spec, MetricSpec) and name in ("sign", "ranks"):
        return spec.handled_sign({}) if name == "sign" else spec.ranks_with({})
    value = getattr(spec, name)
    return sorted(value) if isinstance(value, frozenset) else value


def shown_parameters(spec: Component) -> dict[str, Any]:
    """Parameters with their defaults; ``(required)`` where there is none."""
    return {k: "(required)" if v is inspect.Parameter.empty else v for k, v in spec.parameters.items()}
