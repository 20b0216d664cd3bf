"""Metrics: functions from an `Evaluation` to one score per sample, one family per file."""

from xaibench.metrics import (
    additive,
    agreement,
    axiomatic,
    complexity,
    curves,
    ground_truth,
    ranking,
    robustness,
    sanity,
    transport,
)

__all__ = [
    "additive",
    "agreement",
    "axiomatic",
    "complexity",
    "curves",
    "ground_truth",
    "ranking",
    "robustness",
    "sanity",
    "transport",
]
