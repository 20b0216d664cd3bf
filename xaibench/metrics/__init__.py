"""Metrics: functions from an `Evaluation` to one score per sample, one family per file."""

from xaibench.metrics import (
    additive,
    agreement,
    axiomatic,
    complexity,
    continuity,
    curves,
    ground_truth,
    mprt,
    ranking,
    robustness,
    sanity,
    stability,
    transport,
)

__all__ = [
    "additive",
    "agreement",
    "axiomatic",
    "complexity",
    "continuity",
    "curves",
    "ground_truth",
    "mprt",
    "ranking",
    "robustness",
    "sanity",
    "stability",
    "transport",
]
