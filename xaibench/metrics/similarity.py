"""Similarity of two maps per sample: ranks, Pearson and Spearman correlation."""

from __future__ import annotations

import torch
from torch import Tensor

CONSTANT = 1e-6
"""A row whose range is below this share of its largest magnitude is constant as far as float32 can tell."""


def ranks(values: Tensor) -> Tensor:
    """Ranks along the last axis, from 0, ties get their average rank.

    Parameters
    ----------
    values : Tensor (B, F)

    Returns
    -------
    Tensor (B, F), float64
    """
    ordered, order = values.sort(dim=1)
    group = torch.zeros_like(order)
    group[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(dim=1)
    position = torch.arange(values.shape[1], dtype=torch.float64, device=values.device).expand(values.shape)
    total = torch.zeros_like(position).scatter_add(1, group, position)
    size = torch.zeros_like(position).scatter_add(1, group, torch.ones_like(position))
    average = (total / size).gather(1, group)
    return torch.empty_like(average).scatter_(1, order, average)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of the rows of ``a`` and ``b`` (B, F), computed in float64.

    Returns
    -------
    Tensor (B,), float64
        NaN where one of the rows is constant (see `CONSTANT`).
    """
    a, b = a.double(), b.double()
    defined = ~(is_constant(a) | is_constant(b))
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    r = (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))
    return torch.where(defined, r.clamp(-1, 1), torch.nan)


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Spearman rank correlation of the rows of ``a`` and ``b`` (B, F), ties at their average rank.

    Returns
    -------
    Tensor (B,), float64
        NaN where one of the rows is constant.
    """
    r = pearson(ranks(a), ranks(b))
    return torch.where(is_constant(a) | is_constant(b), torch.nan, r)


def is_constant(values: Tensor) -> Tensor:
    """Whether each row of ``values`` (B, F) is constant in float32 (B,)."""
    low, high = values.aminmax(dim=1)
    return (high - low) <= CONSTANT * torch.maximum(low.abs(), high.abs())


SIMILARITIES = {
    "spearman": spearman,
    "abs_spearman": lambda a, b: spearman(a.abs(), b.abs()),
    "pearson": pearson,
}
"""Similarity of attributions by name: functions of two (B, F) tensors."""
