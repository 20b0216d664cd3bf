"""Brightness of attribution maps as published pictures show them, and mean brightness of regions."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.metrics.maps.similarity import CONSTANT

BRIGHTEST = 0.99
"""Attributions above this quantile of their map count as much as the quantile."""


def brightness(maps: Tensor, region: Tensor) -> Tensor:
    """Mean of `as_drawn` over a region: g of BAM.

    Parameters
    ----------
    maps : Tensor (N, *feature_shape)
    region : Tensor (N, F) of bool

    Returns
    -------
    Tensor (N,), float64
        NaN where the region is empty.
    """
    return (as_drawn(maps).double() * region).sum(dim=1) / region.sum(dim=1)


def as_drawn(maps: Tensor) -> Tensor:
    """Maps (N, *feature_shape) as pictures are made of them: (N, F) from 0 to 1.

    Positive parts, clipped at the 99th percentile (between two values, as numpy interpolates) and
    scaled so that the smallest is 0 and the largest 1. Where all are equal they are 1, or 0 if they
    are 0: with less than one feature in a hundred above 0 nothing is left after clipping.
    """
    values = maps.flatten(1).clamp(min=0)
    position = BRIGHTEST * (values.shape[1] - 1)
    below = int(position)
    top = values.topk(values.shape[1] - below, dim=1).values
    high = torch.lerp(top[:, -1], top[:, max(-2, -top.shape[1])], position - below).unsqueeze(1)
    low = values.amin(dim=1, keepdim=True)
    span = high - low
    flat = span <= CONSTANT * high
    return torch.where(flat, (high > 0).to(values), ((values.minimum(high) - low) / span).clamp(0, 1))


def idle_region(ev: Evaluation) -> Tensor:
    """The features that look as if they mattered and do not (N, F) of bool."""
    assert ev.truth is not None
    assert ev.truth.distractors is not None
    return ev.truth.distractors.to(ev.attributions.device).flatten(1).bool()
