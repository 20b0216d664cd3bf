"""Metrics: functions from an `Evaluation` to one score per sample, one family per file."""

from xaibench.metrics import additive, axiomatic, complexity, curves, ground_truth, robustness, sanity

__all__ = ["additive", "axiomatic", "complexity", "curves", "ground_truth", "robustness", "sanity"]
