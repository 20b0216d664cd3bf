"""The largest edges of an explanation in words, for terminals and for those who do not see a drawing."""

from __future__ import annotations

import numpy as np

from xaibench.core.types import Array
from xaibench.report.labels import number


def top_edges(values: Array, src: Array, dst: Array, n: int = 5) -> str:
    """The edges of largest magnitude, the largest first: ``top 2 edges: 3-7 (0.41), 0-2 (-0.3)``.

    Parameters
    ----------
    values : array (E,)
    src, dst : array (E,) of int
        Ends of the edges; values behind their number are padding.
    n : int

    Examples
    --------
    >>> import numpy as np
    >>> from xaibench.report.edges import top_edges
    >>> top_edges(np.array([0.1, -0.5, 0.2]), np.array([0, 1, 2]), np.array([1, 2, 3]), n=2)
    'top 2 edges: 1-2 (-0.5), 2-3 (0.2)'
    """
    known = np.asarray(values, dtype=float)[: len(src)]
    finite = np.flatnonzero(np.isfinite(known))
    if not len(finite):
        return "no edge has a finite attribution"
    order = finite[np.argsort(-np.abs(known[finite]), kind="stable")][:n]
    said = ", ".join(f"{int(src[e])}-{int(dst[e])} ({number(float(known[e]), 2)})" for e in order)
    return f"top {len(order)} edges: {said}" if len(order) > 1 else f"top edge: {said}"
