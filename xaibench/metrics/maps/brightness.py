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


def brightness_rounding(maps: Tensor) -> Tensor:
    """How much of any brightness of maps (N, *feature_shape) float32 does not know (N,).

    It knows their values to a share of the largest (see `CONSTANT`), and drawing stretches their range to [0, 1].
    """
    low, high = _drawn_range(maps.flatten(1).clamp(min=0))
    span = high - low
    return torch.where(span <= CONSTANT * high, 0, CONSTANT * high / span).squeeze(1)


def as_drawn(maps: Tensor) -> Tensor:
    """Maps (N, *feature_shape) as pictures are made of them: (N, F) from 0 to 1.

    Positive parts, clipped at the 99th percentile (between two values, as numpy interpolates) and
    scaled so that the smallest is 0 and the largest 1. Where all are equal they are 1, or 0 if they
    are 0: with less than one feature in a hundred above 0 nothing is left after clipping.
    """
    values = maps.flatten(1).clamp(min=0)
    low, high = _drawn_range(values)
    span = high - low
    flat = span <= CONSTANT * high
    return torch.where(flat, (high > 0).to(values), ((values.minimum(high) - low) / span).clamp(0, 1))


def _drawn_range(values: Tensor) -> tuple[Tensor, Tensor]:
    """What is drawn as black and as white of values (N, F): the smallest, and the 99th percentile, both (N, 1)."""
    position = BRIGHTEST * (values.shape[1] - 1)
    below = int(position)
    top = values.topk(values.shape[1] - below, dim=1).values
    high = torch.lerp(top[:, -1], top[:, max(-2, -top.shape[1])], position - below).unsqueeze(1)
    return values.amin(dim=1, keepdim=True), high


def idle_region(ev: Evaluation) -> Tensor:
    """The features that look as if they mattered and do not (N, F) of bool."""
    assert ev.truth is not None
    assert ev.truth.distractors is not None
    return ev.truth.distractors.to(ev.attributions.device).flatten(1).bool()
