"""Infection (Faber et al. 2021): how far is the nearest infected node? The truth is the one shortest path."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, zip_longest
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from pydantic import PositiveInt

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.errors import DataError
from xaibench.core.types import Array
from xaibench.datasets.graph_lists import FOLLOWS_CHANGE, Graph, edge_lists, largest_graph, marked_edges
from xaibench.datasets.splits import generator


@dataset("infection", features="edges", provides={"truth.mask"}, version=1)
def infection(
    *,
    seed: int,
    layers: Annotated[int, Ge(2), Le(5)] = 4,
    n_nodes: Annotated[int, Ge(50)] = 1000,
    n_infected: PositiveInt = 50,
    degree: float = 4.0,
    n_train: PositiveInt = 100,
    n_test: PositiveInt = 100,
) -> Data:
    """Nodes of directed random graphs, classed by the number of steps from the nearest infected node.

    Four Erdos-Renyi graphs are for training and two for testing. The class of a node is the length of the shortest
    path from an infected node to it, and ``layers + 1`` where it is longer than ``layers``. A sample is one node with
    its computation graph: the edges from which a network of ``layers`` layers can receive a message, the node itself
    first. Only nodes with exactly one shortest path are explained, and the edges of that path are the truth. Gates
    measure by intervention that it is true of the model: with nothing but the path left the class must stay; with the
    whole path erased, and with one of its edges erased, the class must be the distance in what is left.

    Models are trained on all nodes of the whole training graphs, which the facts hold (``whole_src`` and ``whole_dst``,
    ``whole_x``, ``whole_labels``); the training inputs are computation graphs of some of their nodes.

    Parameters
    ----------
    seed : int
    layers : int
        Longest path that counts, and number of layers of the models that go with it.
    n_nodes, n_infected : int
        Of each graph.
    degree : float
        Mean number of edges that end at a node.
    n_train, n_test : int
        Nodes with their computation graphs, at most; all lengths of the path are alike frequent as far as there are
        enough nodes.

    Raises
    ------
    DataError
        If no test node has exactly one shortest path.
    """
    rng = generator("infection", layers, n_nodes, n_infected, degree, seed)
    wholes = [_Whole(n_nodes, degree / n_nodes, n_infected, layers, rng) for _ in range(6)]
    train = [whole.around(node) for whole, node in _chosen(wholes[:4], n_train, rng, unique=False)]
    test = [whole.around(node) for whole, node in _chosen(wholes[4:], n_test, rng, unique=True)]
    if not test:
        raise DataError("no test node has exactly one shortest path", "take more nodes, or fewer infected ones")
    train, test = ([graph.permuted(rng) for graph in part] for part in (train, test))
    width, n = largest_graph(train, test)
    inputs, context = edge_lists(test, width, n)
    train_inputs, train_context = edge_lists(train, width, n)
    for beside, part in ((train_context, train), (context, test)):
        beside["target"] = np.zeros(len(part), dtype=np.int64)
    mask = marked_edges(test, width)
    return Data(
        "edges",
        train_inputs,
        np.array([graph.label for graph in train], dtype=np.int64),
        inputs,
        np.array([graph.label for graph in test], dtype=np.int64),
        train_context=train_context,
        test_context=context,
        test_mask=mask,
        class_names=(*map(str, range(layers + 1)), f"over {layers}"),
        truth_kind="model",
        interventions=_interventions(test, inputs, mask, layers, rng),
        facts=_facts(wholes[:4]),
        accuracy_floor=0.98,
    )


class _Whole:
    """A whole graph: edges, infected nodes, distances, and how many shortest paths there are."""

    def __init__(self, n: int, p: float, n_infected: int, layers: int, rng: np.random.Generator) -> None:
        joined = rng.random((n, n)) < p
        np.fill_diagonal(joined, False)
        self.src, self.dst = (ends.astype(np.int64) for ends in np.nonzero(joined))
        self.infected: Array = np.zeros(n, dtype=bool)
        self.infected[rng.permutation(n)[:n_infected]] = True
        self.layers = layers
        self.distance, self.paths = shortest_paths(self.src, self.dst, self.infected, layers)
        order = np.argsort(self.dst, kind="stable")
        self._incoming = np.split(order, np.searchsorted(self.dst[order], np.arange(1, n)))

    @property
    def x(self) -> Array:
        """Node features (n, 2): healthy, infected."""
        return np.stack([~self.infected, self.infected], axis=1).astype(np.float32)

    def is_reached(self, node: int) -> bool:
        """Whether any edge ends at a node."""
        return len(self._incoming[node]) > 0

    def around(self, target: int) -> Graph:
        """The computation graph of a node, edges in breadth-first order from it; the truth is its shortest path."""
        number, edges, frontier = {target: 0}, [], [target]
        for _ in range(self.layers):
            found = []
            for node in frontier:
                for edge in self._incoming[node].tolist():
                    edges.append(edge)
                    u = int(self.src[edge])
                    if u not in number:
                        number[u] = len(number)
                        found.append(u)
            frontier = found
        chosen = np.array(edges, dtype=np.int64)
        src, dst = (np.array([number[int(v)] for v in ends[chosen]], dtype=np.int64) for ends in (self.src, self.dst))
        truth = np.isin(chosen, self._path(target))
        return Graph(src, dst, self.x[list(number)], int(self.distance[target]), truth)

    def _path(self, target: int) -> list[int]:
        """Edges of the one shortest path to a node; empty where there is another number of paths, or none."""
        if self.paths[target] != 1 or not 0 < self.distance[target] <= self.layers:
            return []
        path, node = [], target
        while not self.infected[node]:
            (edge,) = (
                e for e in self._incoming[node].tolist() if self.distance[self.src[e]] == self.distance[node] - 1
            )
            path.append(edge)
            node = int(self.src[edge])
        return path


def shortest_paths(src: Array, dst: Array, sources: Array, longest: int) -> tuple[Array, Array]:
    """Steps from the nearest source to every node, and how many paths have that length.

    Parameters
    ----------
    src, dst : array (E,) of int64
    sources : array (n,) of bool
    longest : int

    Returns
    -------
    distance : array (n,) of int64
        ``longest + 1`` where the nearest source is further away.
    paths : array (n,) of int64
        0 there.

    Examples
    --------
    Two ways lead from node 0 to node 3, and one from there to node 4:

    >>> import numpy as np
    >>> src, dst = np.array([0, 0, 1, 2, 3]), np.array([1, 2, 3, 3, 4])
    >>> distance, paths = shortest_paths(src, dst, np.arange(5) == 0, longest=2)
    >>> distance.tolist(), paths.tolist()
    ([0, 1, 1, 2, 3], [1, 1, 1, 2, 0])
    """
    distance = np.where(sources, 0, longest + 1)
    paths = sources.astype(np.int64)
    for step in range(1, longest + 1):
        arriving = np.zeros(len(sources), dtype=np.int64)
        last = distance[src] == step - 1
        np.add.at(arriving, dst[last], paths[src[last]])
        reached = (arriving > 0) & (distance > step)
        distance[reached], paths[reached] = step, arriving[reached]
    return distance, paths


def _chosen(wholes: list[_Whole], n: int, rng: np.random.Generator, *, unique: bool) -> list[tuple[_Whole, int]]:
    """Nodes to explain, distances in turn, so that the first K are a fair selection."""
    longest = wholes[0].layers
    found: list[list[tuple[_Whole, int]]] = []
    for distance in range(1, longest + 1) if unique else range(longest + 2):
        nodes = [
            (whole, int(node))
            for whole in wholes
            for node in np.flatnonzero((whole.distance == distance) & ((whole.paths == 1) | (not unique)))
            if whole.is_reached(int(node))
        ]
        found.append([nodes[i] for i in rng.permutation(len(nodes))])
    in_turn = (item for item in chain.from_iterable(zip_longest(*found)) if item is not None)
    return list(in_turn)[:n]


def _interventions(
    graphs: list[Graph], inputs: Array, mask: Array, layers: int, rng: np.random.Generator
) -> tuple[Intervention, ...]:
    """Graphs with nothing but their path, without it, and without one of its edges; each with the distance there."""
    one: Array = np.zeros_like(mask)
    for row, graph in zip(one, graphs, strict=True):
        row[rng.choice(np.flatnonzero(graph.truth))] = True
    left = {"nothing but the path": mask, "path erased": ~mask, "one edge of the path erased": ~one}
    return tuple(
        Intervention(
            name,
            inputs * kept,
            np.array([_distance_left(g, row[: len(g)], layers) for g, row in zip(graphs, kept, strict=True)]),
            np.arange(len(graphs)),
            at_least=FOLLOWS_CHANGE,
        )
        for name, kept in left.items()
    )


def _distance_left(graph: Graph, kept: Array, layers: int) -> int:
    """Class of the first node with some of the edges only."""
    left = replace(graph, src=graph.src[kept], dst=graph.dst[kept])
    return int(shortest_paths(left.src, left.dst, left.x[:, 1] > 0, layers)[0][0])


def _facts(wholes: list[_Whole]) -> dict[str, Array]:
    """All training graphs as one, for models that are trained on every node."""
    offsets = np.cumsum([0, *(len(whole.infected) for whole in wholes[:-1])])
    return {
        "whole_src": np.concatenate([whole.src + o for whole, o in zip(wholes, offsets, strict=True)]),
        "whole_dst": np.concatenate([whole.dst + o for whole, o in zip(wholes, offsets, strict=True)]),
        "whole_x": np.concatenate([whole.x for whole in wholes]),
        "whole_labels": np.concatenate([whole.distance for whole in wholes]).astype(np.int64),
    }
