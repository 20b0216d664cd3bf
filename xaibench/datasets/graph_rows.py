"""Graphs of different sizes as arrays that are as long as the largest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xaibench.core.graphs import belongs_to
from xaibench.core.types import Array


def stacked_graphs(graphs: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Graphs as arrays (N, ...), with 0 behind the end of what belongs to edges or nodes.

    Parameters
    ----------
    graphs : sequence of mapping of str to array
        Of each what belongs to its edges (``w``, ``src``, ``dst``, ...), to its nodes (``x``, ...) and to the whole
        graph (``target``, ...), by the names of `xaibench.core.graphs`.

    Returns
    -------
    dict of str to array (N, ...)
        With ``nodes`` (N, n) of bool, the nodes that exist, where graphs have ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from xaibench.datasets.graph_rows import stacked_graphs
    >>> ends = lambda *pairs: dict(zip(("src", "dst"), np.array(pairs).T))
    >>> found = stacked_graphs([{"w": np.ones(1), **ends((0, 1))}, {"w": np.ones(2), **ends((0, 1), (1, 2))}])
    >>> found["w"].tolist(), found["dst"].tolist()
    ([[1.0, 0.0], [1.0, 1.0]], [[1, 0], [1, 2]])
    """
    found: dict[str, Array] = {}
    for name in graphs[0]:
        parts = [np.asarray(graph[name]) for graph in graphs]
        if belongs_to(name) == "graph":
            found[name] = np.stack(parts)
            continue
        longest = max(map(len, parts))
        rows = np.zeros((len(parts), longest, *parts[0].shape[1:]), parts[0].dtype)
        for row, part in zip(rows, parts, strict=True):
            row[: len(part)] = part
        found[name] = rows
    if "x" in graphs[0]:
        counts = np.array([len(graph["x"]) for graph in graphs])
        found["nodes"] = np.arange(counts.max()) < counts[:, None]
    return found
