"""Random graphs for a linear graph network, whose Shapley values of edges are sums over walks."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import UsageError
from xaibench.core.graphs import permuted_edges
from xaibench.core.types import Array
from xaibench.datasets.graph_rows import stacked_graphs
from xaibench.datasets.splits import generator

WALK_LENGTH = 3
"""Steps of the walks that the output sums over."""


@dataset("linear_gnn", features="edges")
def linear_gnn(
    *,
    seed: int,
    nodes: Annotated[int, Ge(2)] = 8,
    edges: PositiveInt = 11,
    train: PositiveInt = 50,
    test: PositiveInt = 50,
) -> Data:
    """Undirected random graphs with a number from N(0, 1) at every node; the value is a sum over walks from a target.

    The value is ``(A(w)^3 x)`` at the target node, which the model `walk_sum` computes: the sum over all walks of three
    edges that start at the target, of the number where they end. The target has at least one edge.

    Parameters
    ----------
    seed : int
    nodes, edges : int
        Of each graph.
    train, test : int
        Graphs.

    Raises
    ------
    UsageError
        If there are more edges than pairs of nodes.
    """
    pairs = np.array([(a, b) for a in range(nodes) for b in range(a + 1, nodes)])
    if edges > len(pairs):
        raise UsageError(f"{nodes} nodes have {len(pairs)} pairs, and edges = {edges}", "ask for fewer edges")
    rng = generator("linear_gnn", seed, nodes, edges)
    found = stacked_graphs([_graph(rng, pairs, nodes, edges) for _ in range(train + test)])
    weights, context, _ = permuted_edges(found.pop("w"), found)
    lists = zip(context["src"], context["dst"], context["x"][:, :, 0], strict=True)
    values = np.array([walk_values(*graph, 0) for graph in lists])
    first, last = slice(0, train), slice(train, train + test)
    return Data(
        "edges",
        weights[first],
        np.zeros(train, np.int64),
        weights[last],
        np.zeros(test, np.int64),
        class_names=("value",),
        train_values=values[first].astype(np.float32),
        test_values=values[last].astype(np.float32),
        train_context={name: rows[first] for name, rows in context.items()},
        test_context={name: rows[last] for name, rows in context.items()},
        truth_kind="model",
        accuracy_floor=0.999,
    )


def _graph(rng: np.random.Generator, pairs: Array, nodes: int, edges: int) -> dict[str, Array]:
    """One graph whose target, node 0, has an edge."""
    while True:
        chosen = pairs[rng.choice(len(pairs), edges, replace=False)]
        if (chosen == 0).any():
            break
    return {
        "w": np.ones(edges, np.float32),
        "src": chosen[:, 0].astype(np.int64),
        "dst": chosen[:, 1].astype(np.int64),
        "x": rng.standard_normal((nodes, 1)).astype(np.float32),
        "target": np.array(0),
    }


def walk_values(src: Array, dst: Array, x: Array, target: int, steps: int = WALK_LENGTH) -> float:
    """The sum over walks, float64: entry ``target`` of the adjacency matrix to the power ``steps`` times ``x`` (n,)."""
    matrix = np.zeros((len(x), len(x)))
    np.add.at(matrix, (src, dst), 1.0)
    np.add.at(matrix, (dst, src), 1.0)
    return float((np.linalg.matrix_power(matrix, steps) @ x.astype(np.float64))[target])
