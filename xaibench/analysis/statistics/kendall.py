"""Kendall's tau-b of many rankings at once, with ties and gaps."""

from __future__ import annotations

import numpy as np

from xaibench.core.types import Array

MIN_EXPLAINERS = 4
"""Explainers that a correlation of rankings needs at least; of three there are but four values."""


def kendall(values: Array) -> tuple[Array, Array]:
    """Kendall's tau-b between all rows of values (M, E), over the explainers that both rows have.

    Returns
    -------
    tau : array (M, M)
        NaN where a row says the same of all common explainers, or fewer than 4 are common.
    n : array (M, M) of int
        Explainers in common.
    """
    left, right = np.triu_indices(values.shape[1], 1)
    steps = np.sign(values[:, left] - values[:, right])
    known = np.isfinite(steps).astype(np.float64)
    steps = np.where(known > 0, steps, 0.0)
    moves = steps**2 @ known.T
    present = np.isfinite(values).astype(np.int64)
    n = present @ present.T
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = steps @ steps.T / np.sqrt(moves * moves.T)
    return np.where((n >= MIN_EXPLAINERS) & (moves > 0) & (moves.T > 0), tau, np.nan), n
