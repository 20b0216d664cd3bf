"""Graphs as padded edge lists: the form in which data sets of graphs hand them to models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from xaibench.core.types import Array

FOLLOWS_CHANGE = 0.95
"""Least share of graphs whose class must be what a change of the graph entails."""


@dataclass(frozen=True)
class Graph:
    """One graph with what is true of it.

    Attributes
    ----------
    src, dst : array (E,) of int64
        Ends of every edge; messages of a directed graph go from ``src`` to ``dst``, an undirected edge is listed once.
    x : array (n, F), float32
        Node features.
    label : int
    truth : array (E,) of bool
        Edges that decide the label.
    """

    src: Array
    dst: Array
    x: Array
    label: int
    truth: Array = field(default_factory=lambda: np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.src)

    @property
    def n_nodes(self) -> int:
        return len(self.x)

    def permuted(self, rng: np.random.Generator) -> Graph:
        """The same graph with its edges in random order, so that the place in the list says nothing."""
        order = rng.permutation(len(self))
        truth = self.truth[order] if len(self.truth) else self.truth
        return replace(self, src=self.src[order], dst=self.dst[order], truth=truth)


def edge_lists(graphs: Sequence[Graph], n_edges: int, n_nodes: int) -> tuple[Array, dict[str, Array]]:
    """Weights of the edges, 1 and 0 behind the end of a list, and what goes to the model beside them.

    Parameters
    ----------
    graphs : sequence of Graph
    n_edges, n_nodes : int
        Length of the lists and number of nodes that graphs are padded to.

    Returns
    -------
    weights : array (N, n_edges), float32
    context : dict of array
        ``src`` and ``dst`` (N, n_edges) of int64, ``x`` (N, n_nodes, F) of float32, ``nodes`` (N, n_nodes) of bool.
    """
    n, width = len(graphs), graphs[0].x.shape[1] if graphs else 1
    weights: Array = np.zeros((n, n_edges), dtype=np.float32)
    src, dst = (np.zeros((n, n_edges), dtype=np.int64) for _ in range(2))
    x: Array = np.zeros((n, n_nodes, width), dtype=np.float32)
    nodes: Array = np.zeros((n, n_nodes), dtype=bool)
    for row, graph in enumerate(graphs):
        weights[row, : len(graph)] = 1.0
        src[row, : len(graph)], dst[row, : len(graph)] = graph.src, graph.dst
        x[row, : graph.n_nodes], nodes[row, : graph.n_nodes] = graph.x, True
    return weights, {"src": src, "dst": dst, "x": x, "nodes": nodes}


def marked_edges(graphs: Sequence[Graph], n_edges: int) -> Array:
    """The true edges of the graphs: array (N, n_edges) of bool, False behind the end of a list."""
    found: Array = np.zeros((len(graphs), n_edges), dtype=bool)
    for row, graph in enumerate(graphs):
        found[row, : len(graph)] = graph.truth
    return found


def largest_graph(*parts: Sequence[Graph]) -> tuple[int, int]:
    """Most edges and most nodes of a graph among several lists of graphs."""
    graphs = [graph for part in parts for graph in part]
    return max(map(len, graphs)), max(graph.n_nodes for graph in graphs)
