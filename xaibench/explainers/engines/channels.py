"""Reduction of the attributions of several channels to one number per feature."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.problem import ProblemView

Channels = Literal["sum", "positive", "norm", "abs"]
"""``sum``: signed, so that contributions stay complete. The others have no sign and are saliencies, whatever the
explainer. ``positive``: sum of the positive parts, as pictures of explanations are drawn. ``norm``: Euclidean norm,
which of an embedding does not change when the embedding is rotated. ``abs``: sum of the magnitudes."""


def per_feature(problem: ProblemView, maps: Tensor, channels: Channels = "sum") -> Tensor:
    """Reduce maps (N, *input_shape) over their channels to (N, *feature_shape)."""
    layout = problem.layout
    if channels == "norm":
        norms: Tensor = torch.linalg.vector_norm(layout.by_feature(maps), dim=-1)
        return norms.view(len(maps), *layout.feature_shape)
    if channels == "abs":
        return layout.reduce(maps.abs())
    return layout.reduce(maps.clamp(min=0) if channels == "positive" else maps)


def slopes_per_feature(problem: ProblemView, slopes: Tensor, channels: Channels = "sum") -> Tensor:
    """Reduce slopes (N, *input_shape) like `per_feature`, but to their root mean square in groups of columns."""
    if channels in ("norm", "abs"):
        return per_feature(problem, slopes, channels)
    return problem.layout.reduce_slopes(slopes.clamp(min=0) if channels == "positive" else slopes)
