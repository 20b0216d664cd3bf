"""Similarity of two maps per sample: ranks, Pearson and Spearman correlation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Similarity = Literal["spearman", "abs_spearman", "pearson"]

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
    order = _argsort(values)
    ordered = values.gather(1, order)
    position = torch.arange(values.shape[1], dtype=torch.float64, device=values.device).expand(values.shape)
    found = torch.empty_like(position).scatter_(1, order, position)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1).nonzero().squeeze(1)
    if len(tied):
        found[tied] = torch.empty_like(found[tied]).scatter_(1, order[tied], _shared_positions(ordered[tied]))
    return found


def _argsort(values: Tensor) -> Tensor:
    """Order of every row, ties in any order; numpy's sort is twice as fast as PyTorch's on a CPU."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.argsort(values.numpy(), axis=1))
    return values.argsort(dim=1)


def _shared_positions(ordered: Tensor) -> Tensor:
    """Positions in sorted rows (B, F), float64, ties at their average."""
    group = torch.zeros_like(ordered, dtype=torch.int64)
    group[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(dim=1)
    position = torch.arange(ordered.shape[1], dtype=torch.float64, device=ordered.device).expand(ordered.shape)
    total = torch.zeros_like(position).scatter_add(1, group, position)
    size = torch.zeros_like(position).scatter_add(1, group, torch.ones_like(position))
    return (total / size).gather(1, group)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of the rows of ``a`` and ``b`` (B, F), computed in float64.

    Returns
    -------
    Tensor (B,), float64
        NaN where one of the rows is constant (see `CONSTANT`) or not finite.
    """
    return _correlation(_of_values(a), _of_values(b))


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Spearman rank correlation of the rows of ``a`` and ``b`` (B, F), ties at their average rank.

    Returns
    -------
    Tensor (B,), float64
        NaN where one of the rows is constant or not finite.
    """
    return _correlation(_of_ranks(a), _of_ranks(b))


def is_constant(values: Tensor) -> Tensor:
    """Whether each row of ``values`` (B, F) is constant in float32, or not finite: neither has an order (B,)."""
    low, high = values.amin(dim=1), values.amax(dim=1)
    return ~((high - low) > CONSTANT * torch.maximum(low.abs(), high.abs()))


def similarity_to(original: Tensor, similarity: Similarity) -> Callable[[Tensor], Tensor]:
    """The similarity of other maps (B, F) to ``original`` (B, F), which is ranked only once.

    Parameters
    ----------
    original : Tensor (B, F)
    similarity : {"spearman", "abs_spearman", "pearson"}

    Returns
    -------
    callable
        Maps (B, F) to similarities (B,), float64; NaN where one of the two maps is constant or not finite.
    """
    prepare = _PREPARE[similarity]
    first = prepare(original)
    return lambda other: _correlation(first, prepare(other))


@dataclass(frozen=True)
class _Centred:
    """Rows less their mean, with their norms, and which rows were constant."""

    rows: Tensor
    norms: Tensor
    constant: Tensor


def _centred(values: Tensor, constant: Tensor) -> _Centred:
    rows = values - values.mean(dim=1, keepdim=True)
    return _Centred(rows, rows.norm(dim=1), constant)


def _of_values(values: Tensor) -> _Centred:
    values = values.double()
    return _centred(values, is_constant(values))


def _of_ranks(values: Tensor) -> _Centred:
    return _centred(ranks(values), is_constant(values))


def _correlation(a: _Centred, b: _Centred) -> Tensor:
    r = (a.rows * b.rows).sum(dim=1) / (a.norms * b.norms)
    return torch.where(a.constant | b.constant, torch.nan, r.clamp(-1, 1))


_PREPARE: dict[str, Callable[[Tensor], _Centred]] = {
    "spearman": _of_ranks,
    "abs_spearman": lambda values: _of_ranks(values.abs()),
    "pearson": _of_values,
}
