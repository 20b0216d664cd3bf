"""What the gate of `xaibench compare` says about two runs of one explainer."""

from __future__ import annotations

from typing import Any

from helpers.results import make_results
from xaibench.analysis.regressions.verdicts import RegressionSettings, compare_runs
from xaibench.core.components import MetricSpec
from xaibench.core.registry import components

METRICS = {s.name: s for s in components("metric") if isinstance(s, MetricSpec)}
SETTINGS: dict[str, Any] = {
    "bounds": {name: s.bounds for name, s in METRICS.items()},
    "in_output_unit": {name: s.has_output_unit for name, s in METRICS.items()},
}


def verdict(
    before: Any, after: Any, metric: str = "pixel_flipping", settings: dict[str, Any] | None = None, **facts: Any
) -> dict[str, Any]:
    facts = {"output": "value", "higher_is_better": False} | facts
    old, new = (make_results({"a": values}, metric=metric, **facts) for values in (before, after))
    (row,) = compare_runs(old, new, RegressionSettings(**SETTINGS, **(settings or {}))).to_dict("records")
    return row
