"""Distances between concepts of meaning in the taxonomy: nodes on the shortest way through a common ancestor."""

from __future__ import annotations

from functools import cache

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.cards import read_shipped


def concept_distances(concepts: tuple[str, ...]) -> Array:
    """Steps from each concept's node to each other's, up to a common ancestor and down again.

    Parameters
    ----------
    concepts : tuple of str, c
        Names of concepts of meaning.

    Returns
    -------
    array (c, c)
        Infinite where two nodes have no ancestor in common.

    Raises
    ------
    DataError
        If the file of nodes is missing or damaged.
    """
    return _distances(read_shipped("find_words", "nodes.tsv"), concepts)


@cache
def _distances(table: bytes, concepts: tuple[str, ...]) -> Array:
    rows = [line.split("\t") for line in table.decode("utf-8").splitlines()[1:]]
    parents = [[int(p) for p in row[1].split(",") if p] for row in rows]
    node = {row[3]: k for k, row in enumerate(rows) if row[3]}
    steps = np.full((len(concepts), len(rows)), np.inf)
    for i, name in enumerate(concepts):
        _climb(node[name], parents, steps[i])
    return np.array([[float((a + b).min()) for b in steps] for a in steps])


def _climb(start: int, parents: list[list[int]], steps: Array) -> None:
    """Fill in the number of steps from a node to each of its ancestors."""
    level, n = {start}, 0
    while level:
        steps[list(level)] = np.minimum(steps[list(level)], n)
        level, n = {p for k in level for p in parents[k]}, n + 1
