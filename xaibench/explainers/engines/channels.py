"""Reduction of the attributions of several channels to one number per feature."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from xaibench.core.problem import ProblemView

Channels = Literal["sum", "positive"]
"""``sum``: signed, so that contributions stay complete. ``positive``: sum of the positive parts, as
pictures of explanations are drawn; it has no sign and is a saliency, whatever the explainer."""


def per_feature(problem: ProblemView, maps: Tensor, channels: Channels = "sum") -> Tensor:
    """Reduce maps (N, *input_shape) over their channels to (N, *feature_shape)."""
    return problem.layout.reduce(maps.clamp(min=0) if channels == "positive" else maps)


def slopes_per_feature(problem: ProblemView, slopes: Tensor, channels: Channels = "sum") -> Tensor:
    """Reduce slopes (N, *input_shape) like `per_feature`, but to their root mean square in groups of columns."""
    return problem.layout.reduce_slopes(slopes.clamp(min=0) if channels == "positive" else slopes)
