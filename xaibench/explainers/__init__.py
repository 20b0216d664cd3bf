"""Explainers and controls; importing this package registers them all."""

from xaibench.explainers import (
    ablation,
    cam,
    controls,
    deep_lift,
    gradients,
    guided,
    hypothesis_tests,
    lrp,
    queries,
    rise,
    shapley,
    surrogates,
)

__all__ = [
    "ablation",
    "cam",
    "controls",
    "deep_lift",
    "gradients",
    "guided",
    "hypothesis_tests",
    "lrp",
    "queries",
    "rise",
    "shapley",
    "surrogates",
]
