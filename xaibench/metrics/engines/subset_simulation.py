"""Subset simulation (Au and Beck 2001): small probabilities as products of larger ones, and where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor

DiscrepancyFunction = Callable[[Tensor], Tensor]
"""Values (B,) of points (B, d); the event is that one is at least the threshold."""
SampleSpace = Literal["gaussian", "cube"]
DISTINCT_SHARE = 0.05
"""Share of particles with a value of its own up to which there is no slope to climb."""
ACCEPTANCE_RATE = 0.4
"""Rate of accepted steps that step sizes are adapted to."""
COVERAGE = 0.95


@dataclass(frozen=True)
class RareEvent:
    """An estimate of the probability of an event.

    Attributes
    ----------
    log10_p : float
        -inf where plain sampling has not met the event; then ``high`` is what is known.
    variation : float
        Coefficient of variation of the probability, by the spread between chains. NaN where nothing was met.
    low, high : float
        95 % interval of log10: exact for plain sampling, by the coefficient of variation otherwise.
    queries : int
        Points evaluated.
    method : {"subset", "plateau", "exhausted"}
        ``plateau``: the discrepancy is a step, and the number is that of plain sampling. ``exhausted``: the event was
        not reached within the levels; the number is an upper bound.
    levels : int
    """

    log10_p: float
    variation: float
    low: float
    high: float
    queries: int
    method: Literal["subset", "plateau", "exhausted"]
    levels: int


def rare_event(
    discrepancy: DiscrepancyFunction,
    threshold: float,
    d: int,
    *,
    generator: torch.Generator,
    space: SampleSpace = "gaussian",
    n: int = 1000,
    share: float = 0.1,
    steps: int = 10,
    most_levels: int = 40,
    plain: int = 10_000,
) -> RareEvent:
    """Estimate P[discrepancy >= threshold] for points from N(0, 1)^d, or from the cube [-1, 1]^d.

    ``n`` particles are drawn; the best ``share`` of them are resampled and moved by ``steps`` Metropolis steps that
    stay above the level that they have reached; the probability of each level multiplies. Steps are
    ``sqrt(1 - b^2) x + b xi`` under the Gaussian and uniform with reflection in the cube, b adapted to an acceptance of
    .4.

    Parameters
    ----------
    discrepancy : callable
    threshold : float
    d : int
    generator : torch.Generator
    space : {"gaussian", "cube"}
    n, share, steps, most_levels : int or float
    plain : int
        Points of plain sampling where the discrepancy has plateaus.

    Notes
    -----
    Where fewer than 5 % of the particles have a value of their own, such as under the piecewise constant gradients of a
    ReLU network, nothing can be climbed, and subset simulation would return a number that means nothing. Then plain
    sampling is reported, with its exact binomial interval.

    Examples
    --------
    The first coordinate above 3, which has probability .00135:

    >>> import torch
    >>> from xaibench.metrics.engines.subset_simulation import rare_event
    >>> made = torch.Generator().manual_seed(0)
    >>> found = rare_event(lambda x: x[:, 0], 3.0, 2, generator=made)
    >>> found.method, round(10 ** found.log10_p, 3)
    ('subset', 0.001)
    """
    points = _drawn(space, n, d, generator)
    values = discrepancy(points)
    queries, log10_p, squares, size = n, 0.0, 0.0, 0.5
    chains = torch.arange(n)
    for level in range(most_levels):
        if len(torch.unique(values)) <= max(DISTINCT_SHARE * n, 1):
            return _plain(discrepancy, threshold, d, space, plain, generator, queries, level)
        wanted = max(int(share * n), 1)
        reached = float(values.topk(wanted).values[-1])
        hits = values >= threshold
        if reached >= threshold or bool(hits.float().mean() >= share):
            p = float(hits.float().mean())
            squares += _variation(hits, chains)
            return _subset(log10_p + math.log10(p), math.sqrt(squares), queries, level + 1)
        kept = values >= reached
        log10_p += math.log10(float(kept.float().mean()))
        squares += _variation(kept, chains)
        seeds = kept.nonzero()[:, 0]
        chosen = seeds[torch.randint(len(seeds), (n,), generator=generator)]
        points, values, chains = points[chosen].clone(), values[chosen].clone(), chosen
        for _ in range(steps):
            moved = _moved(space, points, size, generator)
            tried = discrepancy(moved)
            queries += n
            accepted = tried >= reached
            points[accepted], values[accepted] = moved[accepted], tried[accepted]
            rate = float(accepted.float().mean())
            size = min(max(size * math.exp(rate - ACCEPTANCE_RATE), 1e-3), 1.0)
    return RareEvent(log10_p, math.nan, -math.inf, log10_p, queries, "exhausted", most_levels)


def _drawn(space: SampleSpace, n: int, d: int, generator: torch.Generator) -> Tensor:
    if space == "gaussian":
        return torch.randn((n, d), generator=generator, dtype=torch.float64)
    return 2 * torch.rand((n, d), generator=generator, dtype=torch.float64) - 1


def _moved(space: SampleSpace, points: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """A step that leaves the distribution of the space as it is."""
    if space == "gaussian":
        noise = torch.randn(points.shape, generator=generator, dtype=points.dtype)
        return math.sqrt(1 - size**2) * points + size * noise
    noise = 2 * torch.rand(points.shape, generator=generator, dtype=points.dtype) - 1
    inside = torch.remainder(points + size * noise + 1, 4)
    return torch.where(inside > 2, 4 - inside, inside) - 1


def _variation(hits: Tensor, chains: Tensor) -> float:
    """Squared coefficient of variation of a share, with particles of one chain as one cluster."""
    n, p = len(hits), float(hits.float().mean())
    sums = torch.zeros(int(chains.max()) + 1, dtype=torch.float64).index_add_(0, chains, hits.double() - p)
    return float(sums.square().sum()) / (n * p) ** 2


def _subset(log10_p: float, variation: float, queries: int, levels: int) -> RareEvent:
    width = 1.96 * variation / math.log(10)
    return RareEvent(log10_p, variation, log10_p - width, log10_p + width, queries, "subset", levels)


def _plain(
    discrepancy: DiscrepancyFunction,
    threshold: float,
    d: int,
    space: SampleSpace,
    n: int,
    generator: torch.Generator,
    queries: int,
    levels: int,
) -> RareEvent:
    """Plain sampling, with the exact interval of a share (Clopper and Pearson 1934)."""
    hits = int((discrepancy(_drawn(space, n, d, generator)) >= threshold).sum())
    tail = (1 - COVERAGE) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    with np.errstate(divide="ignore"):
        logs = [float(np.log10(share)) for share in (hits / n, low, high)]
    variation = math.sqrt((1 - hits / n) / hits) if hits else math.nan
    return RareEvent(logs[0], variation, logs[1], logs[2], queries + n, "plateau", levels)
