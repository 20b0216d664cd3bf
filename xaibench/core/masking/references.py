"""Selection of a few reference rows that represent a background, for removal one row after the other."""

from __future__ import annotations

import numpy as np

from xaibench.core.types import Array


def kmeans_centres(rows: Array, n: int, *, rounded: bool) -> tuple[Array, Array]:
    """Centres of ``n`` clusters (MacQueen 1967).

    The same rows give the same centres; the number of threads plays no role.

    Parameters
    ----------
    rows : array (M, ...), float32
    n : int
        At most; no more than there are different rows.
    rounded : bool
        Move every number to the nearest one that its column holds. Otherwise columns of zeros and
        ones get shares, which no row has.

    Returns
    -------
    centres : array (K, ...), float32
    shares : array (K,), float64
        Share of the rows that each centre stands for.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    flat = rows.reshape(len(rows), -1)
    k = min(n, len(np.unique(flat, axis=0)))
    with threadpool_limits(1):
        found = KMeans(k, n_init=1, random_state=0).fit(flat)
    centres = found.cluster_centers_.astype(flat.dtype)
    for j, column in enumerate(flat.T if rounded else ()):
        held = np.unique(column)
        centres[:, j] = held[np.abs(centres[:, j, None] - held).argmin(axis=1)]
    return centres.reshape(k, *rows.shape[1:]), np.bincount(found.labels_, minlength=k) / len(rows)


def evenly_spaced(rows: Array, n: int) -> tuple[Array, Array]:
    """At most ``n`` of the rows, evenly spaced, all with the same share; see `kmeans_centres`."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, n).astype(int))
    return rows[chosen], np.full(len(chosen), 1 / len(chosen))
