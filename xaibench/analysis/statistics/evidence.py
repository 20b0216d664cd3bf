"""Tests and intervals for the mean of independent units: what claims are decided by."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.levels import ONE_SIDED_ALPHA
from xaibench.analysis.statistics.mean_tests import mean_tests
from xaibench.core.types import Array

EXACT_UNITS = 14
"""Sign flips of at most this many units are all tried."""
N_FLIPS = 9999


@dataclass(frozen=True)
class Evidence:
    """What n independent units say about a mean, shifted so that 0 is the border.

    Attributes
    ----------
    mean, low, high : float
        Mean and its 95 % interval. Where all units are equal the interval is that one
        value, and NaN of a single unit.
    n : int
        Independent units.
    p_above, p_below : float
        One-sided p of "the mean is 0 or less", and of "0 or more".
    decidable : bool
        Whether any values of so many units could pass a test.
    n_informative : int
        Units that differ: those whose difference is not 0; all, of shares and of groups.
    """

    mean: float
    low: float
    high: float
    n: int
    p_above: float
    p_below: float
    decidable: bool
    n_informative: int

    @property
    def above(self) -> bool:
        """Significantly above 0, by test and interval."""
        return self.p_above <= ONE_SIDED_ALPHA and self.low > 0

    @property
    def below(self) -> bool:
        """Significantly below 0, by test and interval."""
        return self.p_below <= ONE_SIDED_ALPHA and self.high < 0


def of_differences(differences: Array, seed: int) -> Evidence:
    """Evidence of paired differences (n,): tests of the mean and Student's t interval.

    The p-value is the larger one of two tests. The sign-flip test is exact where swapping the two sides of a
    pair changes nothing but the sign (Fisher 1935); up to 14 units all flips are tried, beyond that 9,999 seeded
    ones and the data. `mean_tests` allows for skewed differences, as those to a number or a margin often are.
    Where a few units differ and most are equal, or one tail is very heavy, both and the interval are too optimistic.
    """
    n = len(differences)
    centre = float(differences.mean()) if n else np.nan
    low, high = (float(b[0]) for b in intervals.t_interval(differences[None]))
    if n > 1 and differences.min() == differences.max():
        low = high = centre
    informative = int(np.count_nonzero(differences))
    tests = zip(_sign_flip(differences, seed), mean_tests(differences[None]), strict=True)
    p_above, p_below = (float(np.maximum(flips, skewed[0])) for flips, skewed in tests)
    return Evidence(centre, low, high, n, p_above, p_below, 0.5**n <= ONE_SIDED_ALPHA, informative)


def _sign_flip(differences: Array, seed: int) -> tuple[float, float]:
    """One-sided p-values (above 0, below 0) of the sum under random signs."""
    n = len(differences)
    if n == 0:
        return np.nan, np.nan
    if n <= EXACT_UNITS:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.float64)
        sums = signs @ differences
        observed = sums[0]
    else:
        rng = np.random.Generator(np.random.Philox(seed))
        observed = differences.sum()
        sums = np.concatenate([[observed], *(_flipped(differences, rng, size) for size in _chunks(n))])
    slack = 1e-12 * np.abs(differences).sum()
    return float((sums >= observed - slack).mean()), float((sums <= observed + slack).mean())


def _chunks(n: int) -> list[int]:
    size = max(1, 2**24 // n)
    return [min(size, N_FLIPS - start) for start in range(0, N_FLIPS, size)]


def _flipped(differences: Array, rng: np.random.Generator, size: int) -> Array:
    signs = rng.integers(2, size=(size, len(differences)), dtype=np.int8)
    total: Array = 2 * (signs @ differences) - differences.sum()
    return total


def of_share(values: Array, number: float) -> Evidence:
    """Evidence of a share less a number: values (n,) are 0 or 1; exact binomial test and interval (Clopper-Pearson)."""
    from scipy.stats import binomtest

    n, hits = len(values), int(values.sum())
    inside = min(max(number, 0.0), 1.0)
    above, below = (binomtest(hits, n, inside, alternative=side) for side in ("greater", "less"))
    low, high = binomtest(hits, n).proportion_ci(1 - 2 * ONE_SIDED_ALPHA, method="exact")
    p_above, p_below = float(above.pvalue), float(below.pvalue)
    if not 0 <= number <= 1:
        p_above, p_below = float(number > 1), float(number < 0)
    decidable = min((1 - inside) ** n, inside**n) <= ONE_SIDED_ALPHA if 0 < number < 1 else 0.5**n <= ONE_SIDED_ALPHA
    return Evidence(hits / n - number, float(low) - number, float(high) - number, n, p_above, p_below, decidable, n)


def of_groups(a: Array, b: Array, shift: float = 0.0) -> Evidence:
    """Evidence of the difference of two means of units that are not paired (Welch 1947); n is the smaller group."""
    n = min(len(a), len(b))
    centre = float(a.mean() - b.mean()) - shift if n else np.nan
    if n < 2:
        return Evidence(centre, np.nan, np.nan, n, np.nan, np.nan, False, n)
    if np.ptp(a) == np.ptp(b) == 0:
        return Evidence(centre, centre, centre, n, float(centre <= 0), float(centre >= 0), False, n)
    from scipy.stats import ttest_ind

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that are nearly equal
        found = ttest_ind(a - shift, b, equal_var=False)
    low, high = found.confidence_interval(1 - 2 * ONE_SIDED_ALPHA)
    p_above = float(found.pvalue / 2 if found.statistic > 0 else 1 - found.pvalue / 2)
    return Evidence(centre, float(low), float(high), n, p_above, 1 - p_above, True, n)
