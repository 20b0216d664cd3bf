"""Looks at a growing sample and the level of the test at each: Pocock-type alpha spending (Lan & DeMets 1983)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from xaibench.core.types import Array

N_LOOKS = 8
FIRST_LOOK = 12
"""Samples at the first look."""
_GRID = 801


def looks_at(n: int, first: int = FIRST_LOOK, count: int = N_LOOKS) -> tuple[int, ...]:
    """Sample sizes of the looks, in a geometric series from the first one to all ``n`` samples.

    Examples
    --------
    >>> looks_at(500)
    (12, 20, 35, 59, 101, 172, 293, 500)
    >>> looks_at(10)
    (10,)
    """
    if n <= first:
        return (n,)
    sizes = [round(first * (n / first) ** (k / (count - 1))) for k in range(count)]
    return tuple(sorted({*sizes[:-1], n}))


def pocock_spending(share: float, alpha: float) -> float:
    """Level that may have been spent when this share of the samples is there: alpha ln(1 + (e - 1) t)."""
    return alpha * math.log(1 + (math.e - 1) * share)


@lru_cache(maxsize=256)
def nominal_levels(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Two-sided p-value below which a test rejects at every look, so that all looks together have level ``alpha``.

    The statistics of the looks are those of a random walk: between two looks it gains a normal increment. Its density,
    as far as it has not crossed a bound before, is integrated on a grid from look to look (Armitage, McPherson & Rowe
    1969), and each bound is put where the probability to cross it first there is what the spending function allows.

    Parameters
    ----------
    looks : tuple of int
        Sample sizes, rising.
    alpha : float

    Returns
    -------
    tuple of float
        One per look.
    """
    from scipy.stats import norm

    times = np.array(looks, dtype=np.float64) / looks[-1]
    spent = [pocock_spending(float(t), alpha) for t in times]
    levels = [spent[0]]
    bound = float(norm.isf(spent[0] / 2))
    edge = bound * math.sqrt(times[0])
    grid = np.linspace(-edge, edge, _GRID)
    density: Array = norm.pdf(grid, scale=math.sqrt(times[0]))
    for k in range(1, len(times)):
        step = math.sqrt(times[k] - times[k - 1])
        wanted = spent[k] - spent[k - 1]
        weights = density * (grid[1] - grid[0])
        weights[[0, -1]] /= 2
        low, high = 0.0, 40.0
        for _ in range(60):
            bound = (low + high) / 2
            edge = bound * math.sqrt(times[k])
            crossed = norm.sf((edge - grid) / step) + norm.cdf((-edge - grid) / step)
            low, high = (bound, high) if float(weights @ crossed) > wanted else (low, bound)
        levels.append(float(2 * norm.sf(bound)))
        edge = bound * math.sqrt(times[k])
        following = np.linspace(-edge, edge, _GRID)
        density = norm.pdf(following[:, None] - grid[None], scale=step) @ weights
        grid = following
    return tuple(levels)
