"""Splitting rows into train and test."""

from __future__ import annotations

from typing import Any

import numpy as np

from xaibench.core.keys import seed as derive_seed
from xaibench.core.types import Array


def generator(*names: Any) -> np.random.Generator:
    """A numpy generator keyed by names, e.g. ``generator("split", "digits", seed)``."""
    return np.random.default_rng(derive_seed(*names))


def split(rows: Array, labels: Array, test_share: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw a stratified split in which identical rows stay on one side.

    Parameters
    ----------
    rows : array (N, ...)
    labels : array (N,)
        Every label (of the first of a group of identical rows) gives the same share to the test side.
    test_share : float
        Share of the rows, in (0, 1), that become test rows; reached up to the size of one group per label.
    rng : numpy.random.Generator

    Returns
    -------
    train, test : array of int64
        Row numbers, both in random order, so that the first K test rows are a fair selection.
    """
    _, first, group = np.unique(rows.reshape(len(rows), -1), axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    sizes = np.bincount(group)
    in_test = np.zeros(len(first), dtype=bool)
    for label in np.unique(labels[first]):
        members = rng.permutation(np.flatnonzero(labels[first] == label))
        filled = np.cumsum(sizes[members])
        in_test[members[filled <= round(test_share * filled[-1])]] = True
    order = rng.permutation(len(rows))
    chosen = in_test[group[order]]
    return order[~chosen], order[chosen]
