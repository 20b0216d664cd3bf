"""Histograms of maps, one per sample, and their entropy."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

BinRule = Literal["freedman_diaconis", "scott", "sqrt", "sturges", "rice"]
FEWEST, MAX_BINS = 10, 200
"""Bounds of the number of bins that a rule gives."""


def n_bins(values: Tensor, bins: int | BinRule) -> Tensor:
    """Bins of the histogram of every row of ``values`` (N, F): (N,) int64.

    Parameters
    ----------
    values : Tensor (N, F)
    bins : int or {"freedman_diaconis", "scott", "sqrt", "sturges", "rice"}
        A fixed number, or a rule as `numpy.histogram_bin_edges` has it, clipped to 10 to 200. The
        first two are rules for the width of a bin; where that is 0, there are as few bins as may be.
    """
    n = values.shape[1]
    if isinstance(bins, int):
        return torch.full((len(values),), bins, device=values.device)
    values = values.double()
    span = values.amax(dim=1) - values.amin(dim=1)
    if bins == "freedman_diaconis":
        quartiles = torch.quantile(values, values.new_tensor([0.25, 0.75]), dim=1)
        count = span / (2 * (quartiles[1] - quartiles[0]) / n ** (1 / 3))
    elif bins == "scott":
        count = span / (values.std(dim=1, correction=0) * (24 * torch.pi**0.5 / n) ** (1 / 3))
    else:
        fixed = {"sqrt": n**0.5, "sturges": torch.log2(torch.tensor(float(n))).item() + 1, "rice": 2 * n ** (1 / 3)}
        count = torch.full_like(span, fixed[bins])
    rounded: Tensor = count.nan_to_num(posinf=0).ceil().clamp(FEWEST, MAX_BINS).long()
    return rounded


def entropy(values: Tensor, bins: Tensor) -> Tensor:
    """Entropy of the histogram of every row over its own range, in nats.

    Parameters
    ----------
    values : Tensor (N, F)
    bins : Tensor (N,) of int64
        Number of bins, all of the same width, of every row.

    Returns
    -------
    Tensor (N,), float64
        0 for a constant row, NaN for one that is not finite.
    """
    values, bins = values.double(), bins.unsqueeze(1)
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    place = (values - low) / (high - low) * bins
    place = place.nan_to_num().long().clamp(min=0).minimum(bins - 1)
    counts = values.new_zeros(len(values), int(bins.max())).scatter_add_(1, place, torch.ones_like(values))
    nats = torch.special.entr(counts / values.shape[1]).sum(dim=1)
    return torch.where(torch.isfinite(low + high).squeeze(1), nats, torch.nan)
