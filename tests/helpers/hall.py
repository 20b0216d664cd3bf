"""Student's and Hall's test of a mean, row by row and from the book: what the vectorised one must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats as sps


def hall_p(values: Any) -> float:
    """One-sided p of "the mean is 0 or less" (Hall 1992, equation 2.6), between Student's at T and at T / 2.

    Not below 2^-m of the m values that are not 0.
    """
    x = np.asarray(values, dtype=float)
    n = len(x)
    t = float(sps.ttest_1samp(x, 0).statistic)
    a = float(sps.skew(x)) / np.sqrt(n)
    # The cube of the line through (t, a): a^2 t^3 / 27 + a t^2 / 3 + t, and the bias of t itself, a / 6.
    bent = ((1 + a * t / 3) ** 3 - 1) / a + a / 6 if abs(a) > 1e-6 else t
    low, high = sorted((t / 2, t))
    return max(float(sps.t.sf(min(max(bent, low), high), n - 1)), 0.5 ** np.count_nonzero(x))


def two_sided_p(values: Any) -> float:
    """Twice the smaller one-sided p, 1 at most."""
    x = np.asarray(values, dtype=float)
    return min(2 * min(hall_p(x), hall_p(-x)), 1.0)
