"""Conditional means estimated by local linear regression on reference rows, without assuming a distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xaibench.core.copy_blocks import chunks, fitting

DISTANCE_BLOCK_BYTES = 32 * 2**20
"""Size of the largest tensor of distances between queries and reference rows."""


def conditional_mean(rows: Tensor, values: Tensor, queries: Tensor) -> Tensor:
    """Mean of values given some columns, by local linear regression on the nearest rows (loess, Cleveland 1979).

    The ``k`` nearest rows weigh ``1 - (distance / reach)^2``, in units of the columns' standard
    deviations; the reach is the distance of the last of them. With ``k`` about ``M^(3 / (s + 3))`` the
    bias falls faster than the standard error as M grows. Where that many rows are equal to the
    query, as in columns of few values, it is the mean over all that are. Queries outside the range
    of the rows are moved to its border.

    Parameters
    ----------
    rows : Tensor (M, s)
    values : Tensor (M, K)
        Several numbers to average.
    queries : Tensor (N, s)

    Returns
    -------
    Tensor (N, K), float64
    """
    rows, values, queries = rows.double(), values.double(), queries.double()
    m, s = rows.shape
    k = min(m, max(math.ceil(m ** (3 / (s + 3))), 2 * (s + 1)))
    spread = rows.std(dim=0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    rows, queries = rows / spread, queries.clamp(rows.amin(dim=0), rows.amax(dim=0)) / spread
    nearest = _nearest_on_a_line(rows, queries, k) if s == 1 else None
    found = []
    for part in chunks(len(queries), fitting(DISTANCE_BLOCK_BYTES, 8 * (s + values.shape[1]) * (m if s > 1 else k))):
        own = queries[part]
        index = _nearest(rows, own, k) if nearest is None else nearest[part]
        offsets = rows[index] - own.unsqueeze(1)
        fitted, reach = _local_linear(offsets, values[index])
        # Then the k nearest are an arbitrary choice of those that are equal.
        for i in (reach == 0).nonzero().squeeze(1):
            fitted[i] = values[(rows == own[i]).all(dim=1)].mean(dim=0)
        found.append(fitted)
    return torch.cat(found)


def _nearest(rows: Tensor, queries: Tensor, k: int) -> Tensor:
    """Indices (N, k) of the nearest rows."""
    return torch.cdist(queries, rows, compute_mode="donot_use_mm_for_euclid_dist").topk(k, dim=1, largest=False).indices


def _nearest_on_a_line(rows: Tensor, queries: Tensor, k: int) -> Tensor:
    """The same for a single column (M, 1): a window of the sorted rows, found by halving."""
    line, order = rows[:, 0].sort(stable=True)
    # The window from i to i + k - 1 is left of the best one as long as row i + k is nearer than row i.
    first = torch.searchsorted(line[: len(line) - k] + line[k:], 2 * queries[:, 0])
    return order[first.unsqueeze(1) + torch.arange(k, device=rows.device)]


def _local_linear(offsets: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Fitted values (N, K) at 0 from rows at ``offsets`` (N, k, s) with ``values`` (N, k, K), and the reach (N,)."""
    squares = offsets.square().sum(dim=-1)
    reach = squares.amax(dim=1)
    # A little farther, so that not all weights are 0 where all distances are equal.
    weights = 1 - squares / (1.001 * reach.unsqueeze(1)).clamp(min=torch.finfo(squares.dtype).tiny)
    weights = (weights / weights.sum(dim=1, keepdim=True)).unsqueeze(1)
    centre, level = weights @ offsets, weights @ values
    around = offsets - centre
    weighted = around.mT * weights
    a, b = weighted @ around, weighted @ values
    # Where neighbours do not vary in a direction, there is nothing to extrapolate.
    trace = a.diagonal(dim1=1, dim2=2).sum(dim=1)
    a.diagonal(dim1=1, dim2=2).add_((1e-6 * trace + torch.finfo(a.dtype).tiny).unsqueeze(1))
    return (level - centre @ torch.linalg.solve(a, b)).squeeze(1), reach
