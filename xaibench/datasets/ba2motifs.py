"""BA-2Motifs (Luo et al. 2020): a cycle or a house on a Barabasi-Albert tree, with causal checks of edge counting."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from pydantic import PositiveInt

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.ba2motifs_gates import MotifErased
from xaibench.datasets.graph_lists import FOLLOWS_CHANGE, Graph, edge_lists, largest_graph, marked_edges
from xaibench.datasets.splits import generator

BaseVariant = Literal["original", "balanced"]
TruthOfMotif = Literal["motif", "chord"]
MOTIF = 5
"""Nodes of a motif; they are the last of every graph."""
CYCLE, HOUSE = 0, 1
CYCLE_EDGES = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 0))
CHORD = (1, 4)
"""What makes a house of a cycle."""


@dataset("ba2motifs", features="edges", provides={"truth.mask"}, version=1)
def ba2motifs(
    *,
    seed: int,
    variant: BaseVariant = "original",
    truth: TruthOfMotif = "motif",
    neutral: Annotated[float, Ge(0), Le(0.9)] = 0.2,
    n_train: PositiveInt = 400,
    n_test: PositiveInt = 100,
) -> Data:
    """Graphs whose class is the motif that hangs on a Barabasi-Albert tree: a cycle of five nodes, or a house.

    A house is the same cycle and one chord. So the classes differ by a single edge, and also by the number of edges:
    a model that counts edges solves the published data. And a model may learn one class as the default that needs no
    evidence, "a house, or else a cycle"; so some training graphs have their motif erased, with both classes equally
    likely. Gates measure by intervention whether the model looks at the motif: with the motif exchanged the class must
    follow; with another base, or with one more edge in the base, it must stay; with the motif erased neither class may
    be the default. Features are the undirected edges, each listed once and in random order; all nodes have the same
    feature.

    Parameters
    ----------
    seed : int
    variant : {"original", "balanced"}
        The published base is a tree of 20 nodes. *balanced*: 15 to 25 nodes and 0 to 4 further random edges,
        independent of the class, so that the number of edges says nothing.
    truth : {"motif", "chord"}
        The true edges: those of the motif (5 or 6; the link to the base is none), or of houses the chord alone, and
        of cycles nothing.
    neutral : float
        Share of the training graphs whose motif is erased; 0 in the published data.
    n_train, n_test : int
        Graphs; half of them of each class.
    """
    rng = generator("ba2motifs", variant, seed)
    train, test = ([_graph(variant, k % 2, rng) for k in range(n)] for n in (n_train, n_test))
    train, test = ([part[i] for i in rng.permutation(len(part))] for part in (train, test))
    changes = {
        "motif exchanged": [_with_motif(g, 1 - g.label, rng) for g in test],
        "base exchanged": [_on_base(g, test[(i + 1) % n_test], rng) for i, g in enumerate(test)],
        "one more edge in the base": [_with_base_edge(g, rng) for g in test],
    }
    n_edges, n_nodes = largest_graph(train, test, *changes.values())
    inputs, context = edge_lists(test, n_edges, n_nodes)
    train_inputs, train_context = edge_lists(train, n_edges, n_nodes)
    probabilities = np.eye(2, dtype=np.float32)[_labels(train)]
    n_neutral = round(neutral * n_train)
    train_inputs[:n_neutral], probabilities[:n_neutral] = motif_erased(train[:n_neutral], n_edges), 0.5
    if truth == "chord":
        train, test = ([_chord_only(g) for g in part] for part in (train, test))
    return Data(
        "edges",
        train_inputs,
        _labels(train),
        inputs,
        _labels(test),
        train_context=train_context,
        test_context=context,
        test_mask=marked_edges(test, n_edges),
        train_mask=marked_edges(train, n_edges),
        class_names=("cycle", "house"),
        truth_kind="model",
        interventions=tuple(_intervention(name, graphs, n_edges, n_nodes) for name, graphs in changes.items()),
        checks=(MotifErased(motif_erased(test, n_edges)),),
        accuracy_floor=0.95,
        facts={"train_probabilities": probabilities} if n_neutral else {},
        background=train_inputs[n_neutral:],
        background_targets=_labels(train[n_neutral:]),
        background_context={name: values[n_neutral:] for name, values in train_context.items()},
    )


def _labels(graphs: list[Graph]) -> Array:
    return np.array([graph.label for graph in graphs], dtype=np.int64)


def _intervention(name: str, graphs: list[Graph], n_edges: int, n_nodes: int) -> Intervention:
    inputs, context = edge_lists(graphs, n_edges, n_nodes)
    return Intervention(name, inputs, _labels(graphs), np.arange(len(graphs)), at_least=FOLLOWS_CHANGE, context=context)


def _graph(variant: BaseVariant, label: int, rng: np.random.Generator) -> Graph:
    """A random base with the motif of a class."""
    n = 20 if variant == "original" else int(rng.integers(15, 26))
    base = barabasi_albert_tree(n, rng)
    if variant == "balanced":
        for _ in range(int(rng.integers(5))):
            base.append(_new_pair(n, base, rng))
    link = (int(rng.integers(n)), n + int(rng.integers(MOTIF)))
    return _made(n, base, link, label, rng)


def barabasi_albert_tree(n: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Edges of a tree of ``n`` nodes, each new one joined to an old one with probability proportional to its degree.

    Examples
    --------
    >>> import numpy as np
    >>> len(barabasi_albert_tree(20, np.random.default_rng(0)))
    19
    """
    edges = [(0, 1)]
    ends = [0, 1]
    for node in range(2, n):
        old = ends[int(rng.integers(len(ends)))]
        edges.append((old, node))
        ends += [old, node]
    return edges


def _new_pair(n: int, edges: list[tuple[int, int]], rng: np.random.Generator) -> tuple[int, int]:
    """A pair of the first ``n`` nodes that no edge joins yet."""
    taken = {frozenset(edge) for edge in edges}
    free = [(u, v) for u in range(n) for v in range(u + 1, n) if frozenset((u, v)) not in taken]
    return free[int(rng.integers(len(free)))]


def _made(n: int, base: list[tuple[int, int]], link: tuple[int, int], label: int, rng: np.random.Generator) -> Graph:
    """The graph of a base of ``n`` nodes, a link and the motif of a class, its edges in random order."""
    motif = [(n + u, n + v) for u, v in (*CYCLE_EDGES, *([CHORD] if label == HOUSE else []))]
    src, dst = np.array([*base, link, *motif], dtype=np.int64).T
    truth = np.arange(len(src)) > len(base)
    return Graph(src, dst, np.ones((n + MOTIF, 1), np.float32), label, truth).permuted(rng)


def _parts(graph: Graph) -> tuple[int, list[tuple[int, int]], tuple[int, int]]:
    """Number of nodes of the base, its edges, and the link."""
    n = graph.n_nodes - MOTIF
    pairs = [(int(u), int(v)) for u, v in zip(graph.src, graph.dst, strict=True)]
    base = [pair for pair in pairs if max(pair) < n]
    (link,) = (pair for pair in pairs if min(pair) < n <= max(pair))
    return n, base, link


def _with_motif(graph: Graph, label: int, rng: np.random.Generator) -> Graph:
    """The graph with the motif of another class in its place."""
    n, base, link = _parts(graph)
    return _made(n, base, link, label, rng)


def _on_base(graph: Graph, other: Graph, rng: np.random.Generator) -> Graph:
    """The motif of a graph on the base of another one."""
    n, base, link = _parts(other)
    own = _parts(graph)[2]
    node = own[1] - (graph.n_nodes - MOTIF)
    return _made(n, base, (link[0], n + node), graph.label, rng)


def _with_base_edge(graph: Graph, rng: np.random.Generator) -> Graph:
    """The graph with one more edge in its base."""
    n, base, link = _parts(graph)
    return _made(n, [*base, _new_pair(n, base, rng)], link, graph.label, rng)


def _chord_only(graph: Graph) -> Graph:
    """The graph with the chord of a house as its only true edge."""
    n = graph.n_nodes - MOTIF
    ends = {n + node for node in CHORD}
    found = [{int(u), int(v)} == ends for u, v in zip(graph.src, graph.dst, strict=True)]
    return replace(graph, truth=np.array(found, dtype=bool))


def motif_erased(graphs: list[Graph], n_edges: int) -> Array:
    """Weights (N, n_edges) in which the edges of the motif are 0."""
    weights = edge_lists(graphs, n_edges, max((g.n_nodes for g in graphs), default=0))[0]
    for row, graph in zip(weights, graphs, strict=True):
        n = graph.n_nodes - MOTIF
        inside = np.minimum(graph.src, graph.dst) >= n
        row[: len(graph)][inside] = 0.0
    return weights
