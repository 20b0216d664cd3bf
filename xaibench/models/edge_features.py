"""Edges of torch_geometric's edge_index as features: both directions of an edge merged, computation graphs of nodes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from xaibench.core.types import Array

NONE = -1
"""No column of the edge_index."""


@dataclass(frozen=True)
class EdgeFeatures:
    """The edges of one graph, both directions of an edge as one feature.

    Attributes
    ----------
    src, dst : array (E,) of int64
    forward : array (E,) of int64
        Column of the edge_index that goes from ``src`` to ``dst``.
    backward : array (E,) of int64
        Column that goes from ``dst`` to ``src``, -1 where the edge has one direction only, as self-loops do.
    """

    src: Array
    dst: Array
    forward: Array
    backward: Array

    def __len__(self) -> int:
        return len(self.src)

    @property
    def both(self) -> Array:
        """Whether there are two directions (E,) of bool."""
        found: Array = self.backward != NONE
        return found

    def per_direction(self, values: Array) -> Array:
        """Values of the columns (M, ...) for both directions of every edge (E, 2, ...), 0 for one that is not there."""
        found = np.stack([values[self.forward], values[self.backward]], axis=1)
        found[~self.both, 1] = 0
        return found


def merge_directions(edge_index: Array) -> EdgeFeatures:
    """Pair every column (u, v) with a column (v, u), in the order in which edges first appear.

    Columns that are there several times are several edges. A column without a counterpart is an edge of one direction.

    Parameters
    ----------
    edge_index : array (2, M) of int64

    Examples
    --------
    >>> import numpy as np
    >>> found = merge_directions(np.array([[0, 1, 1, 2], [1, 0, 2, 2]]))
    >>> found.src.tolist(), found.dst.tolist(), found.both.tolist()
    ([0, 1, 2], [1, 2, 2], [True, False, False])
    """
    waiting: dict[tuple[int, int], deque[int]] = {}
    forward: list[int] = []
    backward: list[int] = []
    for column, (u, v) in enumerate(edge_index.T.tolist()):
        counterparts = waiting.get((v, u))
        if u != v and counterparts:
            backward[counterparts.popleft()] = column
            continue
        waiting.setdefault((u, v), deque()).append(len(forward))
        forward.append(column)
        backward.append(NONE)
    chosen = np.array(forward, dtype=np.int64)
    src, dst = edge_index[:, chosen].astype(np.int64)
    return EdgeFeatures(src, dst, chosen, np.array(backward, dtype=np.int64))


def computation_graph(edge_index: Array, n_nodes: int, target: int, hops: int) -> tuple[Array, Array]:
    """The nodes from which messages reach a node in some steps, and the columns that messages may take.

    Parameters
    ----------
    edge_index : array (2, M) of int64
        Messages go from row 0 to row 1.
    n_nodes, target, hops : int

    Returns
    -------
    nodes : array (n,) of int64
        In breadth-first order, the target first.
    columns : array (m,) of int64
        Columns between these nodes of which one end at least is less than ``hops`` steps away.
    """
    src, dst = edge_index
    steps = np.full(n_nodes, hops + 1)
    steps[target] = 0
    order = [np.array([target])]
    for step in range(1, hops + 1):
        found = np.unique(src[(steps[dst] == step - 1) & (steps[src] > hops)])
        steps[found] = step
        order.append(found)
    inside = (steps[src] <= hops) & (steps[dst] <= hops) & (np.minimum(steps[src], steps[dst]) < max(hops, 1))
    return np.concatenate(order).astype(np.int64), np.flatnonzero(inside)
