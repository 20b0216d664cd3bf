"""Explainers and controls; importing this package registers them all."""

from xaibench.explainers import (
    ablation,
    cam,
    controls,
    gradients,
    guided,
    rise,
    shapley,
    surrogates,
)

__all__ = ["ablation", "cam", "controls", "gradients", "guided", "rise", "shapley", "surrogates"]
