"""Negative evidence (Faber et al. 2021): white nodes whose class is the majority of their blue and red neighbours."""

from __future__ import annotations

import numpy as np
from pydantic import PositiveInt

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.graphs import permuted_edges
from xaibench.core.types import Array
from xaibench.datasets.graph_rows import stacked_graphs
from xaibench.datasets.splits import generator

WHITE, BLUE, RED = 0, 1, 2
MOST = 10
"""Blue nodes of a graph, and red ones; a white node has from 1 to so many neighbours of each."""
LINK = 0.015
"""Probability of an edge between two white nodes."""
GATE_ACCURACY = 0.99
"""Accuracy that the model, and the model under every intervention, must have."""


@dataset("negative_evidence", features="edges", provides={"truth.signs"})
def negative_evidence(
    *, seed: int, whites: PositiveInt = 1980, graphs: PositiveInt = 2, test: PositiveInt = 200
) -> Data:
    """Nodes with their incoming edges, from blue, red and white neighbours; the class is the majority of the colours.

    White nodes are linked with probability .015. White node i has b blue and r red neighbours, all 90 unequal pairs of
    1 to 10 in turn. A sample is a white node, node 0, with its neighbours and incoming edges; test samples have
    ``|b - r| > 1`` and at least two neighbours of the minority. Edges from the majority are evidence for the class,
    those from the minority against it, white ones neither. Nodes with equal numbers of each colour are the same but for
    the order of their lists, and occur in all graphs, as in the published data.

    Parameters
    ----------
    seed : int
    whites : int
        White nodes of a graph.
    graphs : int
        Graphs for training; one more is for testing.
    test : int
        Test samples, at most.
    """
    rng = generator("negative_evidence", seed, whites, graphs)
    nodes = [node for _ in range(graphs) for node in _graph(rng, whites)]
    chosen = [node for node in _graph(rng, whites) if _clear(node)]
    chosen = [chosen[i] for i in rng.permutation(len(chosen))[:test]]
    n_train, labels = len(nodes), np.array([int(node["red"] > node["blue"]) for node in (*nodes, *chosen)])
    found = stacked_graphs([{k: v for k, v in node.items() if k not in ("red", "blue")} for node in (*nodes, *chosen)])
    weights, context, _ = permuted_edges(found.pop("w"), found)
    colours = np.where(weights > 0, np.take_along_axis(context["x"].argmax(axis=2), context["src"], axis=1), -1)
    majority = np.where(labels == 1, RED, BLUE)[:, None]
    signs = np.where(colours == majority, 1, np.where(colours == BLUE + RED - majority, -1, 0)).astype(np.int8)
    first, last = slice(0, n_train), slice(n_train, None)
    return Data(
        "edges",
        weights[first],
        labels[first],
        weights[last],
        labels[last],
        class_names=("blue", "red"),
        train_context={name: rows[first] for name, rows in context.items()},
        test_context={name: rows[last] for name, rows in context.items()},
        test_signs=signs[last],
        truth_kind="model",
        interventions=_interventions(weights[last], signs[last], labels[last]),
        accuracy_floor=GATE_ACCURACY,
    )


def _clear(node: dict[str, Array]) -> bool:
    blue, red = int(node["blue"]), int(node["red"])
    return abs(blue - red) > 1 and min(blue, red) >= 2


def _graph(rng: np.random.Generator, whites: int) -> list[dict[str, Array]]:
    """Every white node of a graph with its neighbours: colours as one-hot features, edges towards node 0."""
    linked = np.triu(rng.random((whites, whites)) < LINK, 1)
    n_white = (linked | linked.T).sum(axis=1)
    pairs = [(b, r) for b in range(1, MOST + 1) for r in range(1, MOST + 1) if b != r]
    found = []
    for i in range(whites):
        blue, red = pairs[i % len(pairs)]
        neighbours = rng.permutation([WHITE] * int(n_white[i]) + [BLUE] * blue + [RED] * red)
        colours = np.array([WHITE, *neighbours])
        n = len(neighbours)
        found.append(
            {
                "w": np.ones(n, np.float32),
                "src": np.arange(1, n + 1),
                "dst": np.zeros(n, np.int64),
                "x": np.eye(3, dtype=np.float32)[colours],
                "target": np.array(0),
                "blue": np.array(blue),
                "red": np.array(red),
            }
        )
    return found


def _interventions(weights: Array, signs: Array, labels: Array) -> tuple[Intervention, ...]:
    """The class stays without neutral edges and without evidence against it; without evidence for it, it changes."""
    rows = np.arange(len(labels))
    changes = {"white edges erased": (0, labels), "minority erased": (-1, labels), "majority erased": (1, 1 - labels)}
    return tuple(
        Intervention(name, np.where(signs == sign, 0, weights).astype(np.float32), wanted, rows, at_least=GATE_ACCURACY)
        for name, (sign, wanted) in changes.items()
    )
