"""Interaction indices of cooperative games from the values of all coalitions, exactly and in float64.

Values (N, 2^d) are of coalitions in the order of `all_coalitions`: bit i of a number says whether player i is there.
Results (N, d, d) are symmetric, with the main effect of a player on the diagonal and the interaction of a pair in both
of its places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def dividends(values: Tensor) -> Tensor:
    """Harsanyi dividends (N, 2^d): ``a_T = sum over L in T of (-1)^(|T| - |L|) v(L)`` (Harsanyi 1963)."""
    found = values.double().clone()
    n, size = found.shape
    for player in range(_players(values)):
        # A pair of numbers that differ in one bit: what the player adds.
        halves = found.view(n, size >> (player + 1), 2, 1 << player)
        halves[:, :, 1] -= halves[:, :, 0].clone()
    return found


def shapley_interactions(values: Tensor) -> Tensor:
    """Shapley interaction index of pairs, Shapley values on the diagonal (Grabisch & Roubens 1999, Eq. 4).

    ``sum over S of |S|! (d - |S| - 2)! / (d - 1)!`` times ``v(S+ij) - v(S+i) - v(S+j) + v(S)``.
    """
    d = _players(values)
    pair = [1 / ((d - 1) * math.comb(d - 2, s)) for s in range(d - 1)]
    single = [1 / (d * math.comb(d - 1, s)) for s in range(d)]
    return _index(values, pair, single)


def shapley_taylor(values: Tensor) -> Tensor:
    """Shapley-Taylor index of order 2; the diagonal is ``v(i) - v(empty)`` (Sundararajan et al. 2020, Eq. 2).

    Complete: main effects and pairs, each counted once, add up to ``v(all) - v(empty)``.
    """
    d = _players(values)
    pair = [2 / (d * math.comb(d - 1, s)) for s in range(d - 1)]
    return _index(values, pair, [1.0, *[0.0] * (d - 1)])


def banzhaf_interactions(values: Tensor) -> Tensor:
    """Banzhaf interaction index of pairs, Banzhaf values on the diagonal: plain means (Grabisch & Roubens 1999)."""
    d = _players(values)
    return _index(values, [2.0 ** (2 - d)] * (d - 1), [2.0 ** (1 - d)] * d)


def pair_occlusion(values: Tensor) -> Tensor:
    """What removing two players does beyond removing each: differences at the coalition of all others."""
    d = _players(values)
    return _index(values, [*[0.0] * (d - 2), 1.0], [*[0.0] * (d - 1), 1.0])


def _players(values: Tensor) -> int:
    d = int(values.shape[1]).bit_length() - 1
    if d < 2 or values.shape[1] != 1 << d:
        raise ValueError(f"{values.shape[1]} values are not those of all coalitions of two or more players")
    return d


def _index(values: Tensor, pair: list[float], single: list[float]) -> Tensor:
    """Weighted sums of differences, by the size of the coalition that they are taken at."""
    d = _players(values)
    v = values.double()
    number = torch.arange(1 << d, device=v.device)
    sizes = ((number.unsqueeze(1) >> torch.arange(d, device=v.device)) & 1).sum(dim=1)
    pair_weights, single_weights = (torch.tensor(w, dtype=torch.float64, device=v.device) for w in (pair, single))
    found = v.new_zeros(len(v), d, d)
    for i in range(d):
        without = number[(number >> i) & 1 == 0]
        added = v[:, without | 1 << i] - v[:, without]
        found[:, i, i] = added @ single_weights[sizes[without]]
        for j in range(i):
            apart = without[(without >> j) & 1 == 0]
            both, first, second = apart | 1 << i | 1 << j, apart | 1 << i, apart | 1 << j
            difference = v[:, both] - v[:, first] - v[:, second] + v[:, apart]
            found[:, i, j] = found[:, j, i] = difference @ pair_weights[sizes[apart]]
    return found


INDICES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "shapley_interaction": shapley_interactions,
    "shapley_taylor": shapley_taylor,
    "banzhaf_interaction": banzhaf_interactions,
    "pair_occlusion": pair_occlusion,
}
"""By name: from the values of all coalitions."""
