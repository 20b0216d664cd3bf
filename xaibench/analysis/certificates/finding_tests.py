"""Tests whether an explainer shows a shortcut more often than on the null twin, and than every placebo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtrc, stdtr

from xaibench.analysis.statistics.levels import ALPHA
from xaibench.core.types import Array

LEAST_DECISIVE = 20
"""Decisive rows of a copy below which it ranks no explainer."""
LEAST_COPIES = 3
"""Copies from which on they must agree."""


def sign_test(differences: Array) -> float:
    """One-sided p of "positive differences are no more likely than negative ones"; zeros and NaN are left out.

    The exact binomial test, which for differences of zeros and ones is the signed-rank test.

    Examples
    --------
    >>> import numpy as np
    >>> from xaibench.analysis.certificates.finding_tests import sign_test
    >>> sign_test(np.array([1.0, 1.0, 1.0, 0.0, -1.0]))
    0.3125
    """
    known = differences[np.isfinite(differences)]
    wins, losses = int((known > 0).sum()), int((known < 0).sum())
    return 1.0 if wins == 0 else float(bdtrc(wins - 1, wins + losses, 0.5))


def copies_test(means: Array) -> float:
    """One-sided p of "the mean over copies is 0 or less" (Student's t); 1 of fewer than two copies."""
    n = len(means)
    if n < 2:
        return 1.0
    spread = float(means.std(ddof=1))
    centre = float(means.mean())
    if spread == 0:
        return 0.0 if centre > 0 else 1.0
    return float(1 - stdtr(n - 1, centre / spread * np.sqrt(n)))


def finding_p(differences: Sequence[Array], *, copies_alone: bool = False) -> float:
    """p of one comparison at one level, over the rows and, with three or more copies, over the copies.

    Parameters
    ----------
    differences : sequence of array (N,)
        Of every copy: what was found less what is compared with, in the same test rows; NaN in rows that its plant
        does not decide.
    copies_alone : bool
        Whether copies are the unit, as where a recipe is not deterministic: what rows of one copy have in common may
        be an accident of its fit.

    Returns
    -------
    float
        Of the sign test over rows, each row counted by its mean over copies. With three or more copies it is 1 unless
        they agree: unless Student's test over the means of the copies is below .05 as well. With fewer the result
        is conditional on them. With ``copies_alone`` it is that of Student's test; 1 of a single copy.
    """
    stacked = np.stack(list(differences))
    known = np.isfinite(stacked)
    if copies_alone:
        return copies_test(np.array([row[k].mean() for row, k in zip(stacked, known, strict=True) if k.any()]))
    counted = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        rows = np.where(known, stacked, 0.0).sum(axis=0) / np.where(counted > 0, counted, np.nan)
    p = sign_test(rows)
    if len(stacked) < LEAST_COPIES:
        return p
    copies = [row[k].mean() for row, k in zip(stacked, known, strict=True) if k.any()]
    return p if copies_test(np.array(copies)) <= ALPHA else 1.0
