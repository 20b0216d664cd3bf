"""Metrics that general tests go through."""

from __future__ import annotations

from xaibench.core.components import MetricSpec
from xaibench.core.needs import DATA_NEEDS
from xaibench.core.registry import components

METRICS_OF_ARRAYS = [
    spec
    for spec in components("metric")
    if isinstance(spec, MetricSpec) and not spec.about_programs and spec.needs & DATA_NEEDS != {"text"}
]
"""Metrics of texts alone are in test_usable_information.py and tests/models/test_hugging_face.py."""
