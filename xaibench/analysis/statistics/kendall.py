"""Kendall's tau-b of many rankings at once, with ties and gaps."""

from __future__ import annotations

import numpy as np

from xaibench.analysis.statistics.intervals import significant
from xaibench.core.types import Array


def kendall(a: Array, b: Array, *, min_common: int) -> Array:
    """Kendall's tau-b of every row of ``a`` with every row of ``b``.

    Parameters
    ----------
    a : array (A, E, ...)
        Values of E explainers; they are compared to six digits. NaN where one is missing.
    b : array (B, E, ...)
    min_common : int
        Explainers that both rows must have.

    Returns
    -------
    array (A, B, ...)
        NaN where a row is all tied, or where fewer than ``min_common`` values are in both.
    """
    first, second = np.triu_indices(a.shape[1], k=1)
    if a.shape[1] < min_common:
        return np.full((len(a), len(b), *a.shape[2:]), np.nan)

    def signs(rows: Array) -> Array:
        rounded = significant(rows)
        with np.errstate(invalid="ignore"):
            compared: Array = np.sign(rounded[:, first] - rounded[:, second])
        return compared

    x, y = signs(a), signs(b)
    both = [np.isfinite(x).astype(np.float64), np.isfinite(y).astype(np.float64)]
    x, y = np.nan_to_num(x), np.nan_to_num(y)
    untied = np.einsum("ap...,bp...->ab...", x**2, both[1]), np.einsum("ap...,bp...->ab...", both[0], y**2)
    enough = np.einsum("ap...,bp...->ab...", *both) >= min_common * (min_common - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = np.einsum("ap...,bp...->ab...", x, y) / np.sqrt(untied[0] * untied[1])
    return np.where(enough, np.clip(tau, -1, 1), np.nan)


def in_common(values: Array) -> Array:
    """How many columns are finite in both of every two rows of ``values`` (M, E): (M, M) of int64."""
    present = np.isfinite(values).astype(np.int64)
    shared: Array = present @ present.T
    return shared
