"""Units of explanation maps: features, windows of an image, stretches of a series, and which of them are the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.metrics.maps.masks import true_mask
from xaibench.metrics.maps.orders import descending

LEAST_OVERLAP = 1 / 3
"""Intersection over union from which on a window counts as the true one."""


@dataclass(frozen=True)
class RankedUnits:
    """Units of N maps in the order of their size.

    Attributes
    ----------
    hits : Tensor (N, U) of bool
        Whether the unit at each place of the order is true; the largest units first.
    n_true : Tensor (N,) of int64
        How many units there are to be found: the true features; of windows one.
    n_units : Tensor (N,) of int64
        Units of each map; behind them ``hits`` holds False.
    """

    hits: Tensor
    n_true: Tensor
    n_units: Tensor


def ranked_units(ev: Evaluation) -> RankedUnits:
    """Units by falling mean magnitude, ties broken by a keyed draw; once per explanation.

    A unit is a feature of a table or a text. Of an image it is every window of P x P pixels, P being the side of the
    true square, of a series every stretch of as many steps of one sensor as the truth has. Such a unit is true where
    its intersection over union with the truth is at least 1/3; where none reaches that, the nearest ones are.
    """
    found: RankedUnits = ev.reuse("ranked units", lambda: _ranked(ev))
    return found


def _ranked(ev: Evaluation) -> RankedUnits:
    mask, size = true_mask(ev), ev.attributions.abs()
    if ev.layout.kind not in ("image", "series"):
        order = descending(ev, size)
        counts = mask.sum(dim=1)
        return RankedUnits(mask.gather(1, order), counts, torch.full_like(counts, mask.shape[1]))
    counts = mask.sum(dim=1)
    parts = []
    for count in sorted(set(counts.tolist())):
        rows = (counts == count).nonzero().squeeze(1)
        sides = _sides(ev, count)
        truth = mask[rows].view(-1, *ev.layout.feature_shape).to(torch.float64)
        values, inside = (_windows(maps, sides) for maps in (size[rows].double(), truth))
        area = math.prod(sides)
        overlap = inside * area / (area + count - inside * area)
        least = torch.clamp(overlap.amax(dim=1, keepdim=True), max=LEAST_OVERLAP)
        true = (overlap >= least - 1e-9) & (overlap > 0)
        order = _order(ev, values, rows)
        parts.append((rows, true.gather(1, order)))
    width = max(hits.shape[1] for _, hits in parts)
    found = torch.zeros((len(mask), width), dtype=torch.bool, device=mask.device)
    n_units = torch.ones_like(counts)
    for rows, hits in parts:
        found[rows, : hits.shape[1]] = hits
        n_units[rows] = hits.shape[1]
    return RankedUnits(found, torch.ones_like(counts), n_units)


def _sides(ev: Evaluation, count: int) -> tuple[int, ...]:
    """Extent of a window along the axes of the features, for a truth of so many features."""
    shape, axes = ev.layout.feature_shape, ev.layout.neighbour_axes
    if ev.layout.kind == "image":
        side = max(1, min(round(math.sqrt(count)), *shape))
        return side, side
    return tuple(max(1, min(count, n)) if axis in axes else 1 for axis, n in enumerate(shape))


def _windows(maps: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Mean of every window of maps (M, *feature_shape), as (M, U)."""
    for axis, side in enumerate(sides):
        maps = maps.unfold(axis + 1, side, 1).mean(dim=-1)
    return maps.flatten(1)


def _order(ev: Evaluation, values: Tensor, rows: Tensor) -> Tensor:
    """Units by falling value, ties broken by the draws of these samples."""
    ordered, order = values.sort(dim=1, descending=True, stable=True)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1).nonzero().squeeze(1)
    if len(tied):
        shuffle = ev.draws("ties")[rows[tied]].permutation((values.shape[1],))
        again = values[tied].gather(1, shuffle).argsort(dim=1, descending=True, stable=True)
        order[tied] = shuffle.gather(1, again)
    return order
