"""Arithmetic of attribution maps and truth masks."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.evaluation import Evaluation

EvidenceSign = Literal["absolute", "positive"]


def count_hits(mask: Tensor, order: Tensor, k: Tensor) -> Tensor:
    """How many of the first ``k`` (N,) features of each ``order`` (N, F) lie in the mask (N,)."""
    top = torch.arange(order.shape[1], device=order.device) < k.unsqueeze(1)
    return (mask.gather(1, order) & top).sum(dim=1)


def mass_inside(ev: Evaluation, sign: EvidenceSign) -> Tensor:
    """Share of the relevance that lies in the mask (N,), float64; NaN where it is not defined."""
    mask, values = true_mask(ev), evidence(ev, sign)
    total = values.sum(dim=1)
    inside = (values * mask).sum(dim=1)
    return torch.where(nontrivial_masks(mask) & (total > 0), inside / total, torch.nan)


def true_mask(ev: Evaluation) -> Tensor:
    """The true mask (N, F) of bool."""
    assert ev.truth is not None
    assert ev.truth.mask is not None
    return ev.truth.mask.to(ev.attributions.device).flatten(1).bool()


def nontrivial_masks(mask: Tensor) -> Tensor:
    """Whether each mask (N, F) leaves something to get right and something to get wrong (N,)."""
    return mask.any(dim=1) & ~mask.all(dim=1)


def evidence(ev: Evaluation, sign: EvidenceSign) -> Tensor:
    """Amounts of relevance (N, F), float64, none negative: positive parts, or magnitudes."""
    values = ev.attributions.flatten(1).double()
    return values.abs() if sign == "absolute" else values.clamp(min=0)


def dilate(mask: Tensor, radius: int) -> Tensor:
    """All pixels within ``radius`` of a true one, by Euclidean distance: (N, H, W) of bool."""
    height = mask.shape[1]
    padded = functional.pad(mask.float(), (0, 0, radius, radius))
    grown = torch.zeros_like(mask)
    for dy in range(2 * radius + 1):
        half = math.isqrt(radius**2 - (dy - radius) ** 2)
        grown |= functional.max_pool1d(padded[:, dy : dy + height], 2 * half + 1, stride=1, padding=half) > 0
    return grown
