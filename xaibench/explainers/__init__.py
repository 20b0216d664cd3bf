"""Explainers and controls; importing this package registers them all."""

from xaibench.explainers import (
    ablation,
    associations,
    cam,
    controls,
    deep_lift,
    degraded,
    effects,
    gradients,
    guided,
    hypothesis_tests,
    lrp,
    queries,
    rise,
    shapley,
    surrogates,
    tabular_lime,
)

__all__ = [
    "ablation",
    "associations",
    "cam",
    "controls",
    "deep_lift",
    "degraded",
    "effects",
    "gradients",
    "guided",
    "hypothesis_tests",
    "lrp",
    "queries",
    "rise",
    "shapley",
    "surrogates",
    "tabular_lime",
]
