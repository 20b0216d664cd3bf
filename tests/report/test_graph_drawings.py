"""Graphs in reports: one deterministic layout, edges as lines, truth outlined, words for those who do not see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_view
from helpers.graphs import sample

from xaibench.core.features import FeatureLayout
from xaibench.execution.stored_graphs import graph_structure
from xaibench.report.html.content import Gallery, GraphShape, Instance, Map
from xaibench.report.html.graph_layout import positions
from xaibench.report.html.graphs import MOST_EDGES, drawing, drawn_as_graphs, graph_pictures
from xaibench.store.examples import Examples, StoredExamples
from xaibench.store.files import LocalFiles


def shape(n_nodes: int = 8, n_edges: int = 12, target: int = -1, seed: int = 0) -> GraphShape:
    rng = np.random.default_rng(seed)
    pairs = np.array([(a, b) for a in range(n_nodes) for b in range(a)])
    chosen = pairs[rng.choice(len(pairs), n_edges, replace=False)]
    return GraphShape(chosen[:, 0], chosen[:, 1], n_nodes, target, np.full(n_nodes, -1))


def gallery(graph: GraphShape, features: str = "edges", *, truth: bool = True, padding: int = 3) -> Gallery:
    n = len(graph.src) if features == "edges" else graph.n_nodes
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=n), np.zeros(padding)])
    mask = np.concatenate([np.arange(n) < 3, np.zeros(padding, bool)]) if truth else None
    maps = (Map("<b>mine</b>", "contribution", values, 0.5), Map("size", "saliency", np.abs(values), np.nan))
    one = Instance("id", 4, "drawn", np.ones(n + padding), mask, "explained: a", maps, graph=graph)
    return Gallery("suite", "problem", features, (), "gea", True, (one,))


@pytest.mark.parametrize("target", [-1, 0, 5])
def test_the_layout_is_deterministic_and_no_two_nodes_share_a_place(target: int) -> None:
    graph = shape(target=target)
    found = positions(graph.src, graph.dst, graph.n_nodes, target)
    np.testing.assert_array_equal(found, positions(graph.src, graph.dst, graph.n_nodes, target))
    turned = positions(graph.dst, graph.src, graph.n_nodes, target)
    np.testing.assert_array_equal(found, turned)
    assert found.min() >= 0
    assert found.max() <= 1
    gaps = np.linalg.norm(found[:, None] - found[None], axis=2) + np.eye(len(found))
    assert gaps.min() > 0.02
    if target >= 0:
        np.testing.assert_allclose(found[target], 0.5)


def test_rings_are_distances_from_the_target() -> None:
    src, dst = np.array([1, 2, 3]), np.array([0, 1, 2])
    found = positions(src, dst, 5, 0)
    away = np.linalg.norm(found - found[0], axis=1)
    np.testing.assert_allclose(away / away[1], [0, 1, 2, 3, 4], rtol=1e-6)


def test_graphs_without_edges_and_of_one_node_have_places() -> None:
    none = np.zeros(0, np.int64)
    assert positions(none, none, 1).tolist() == [[0.5, 0.5]]
    assert np.isfinite(positions(none, none, 4)).all()
    assert np.isfinite(positions(none, none, 4, 2)).all()


def test_every_edge_is_a_line_and_the_truth_is_outlined() -> None:
    found = gallery(shape())
    assert drawn_as_graphs(found)
    own, mine, size = graph_pictures(found, found.instances[0])
    assert own.svg.count('class="edge"') == 12
    assert own.svg.count('class="truth"') == 3
    assert "12 edges, 8 nodes" in own.below
    assert mine.svg.count('class="for"') + mine.svg.count('class="against"') == 12
    assert size.svg.count('class="unsigned"') == 12
    assert "<b>" not in mine.svg
    assert "&lt;b&gt;mine" in mine.svg
    values = found.instances[0].maps[0].values[:12]
    first = int(np.abs(values).argmax())
    graph = found.instances[0].graph
    assert graph is not None
    assert f"top 5 edges: {graph.src[first]}-{graph.dst[first]} (" in mine.alt


def test_of_many_edges_the_largest_and_the_true_ones_are_drawn() -> None:
    graph = shape(20, 100)
    found = gallery(graph)
    _, mine, _ = graph_pictures(found, found.instances[0])
    values = np.abs(found.instances[0].maps[0].values[:100])
    top = set(np.argsort(-values)[:MOST_EDGES].tolist()) | {0, 1, 2}
    assert mine.svg.count('class="edge"') == len(top)
    assert f"{100 - len(top)} more edges" in mine.below


def test_loops_are_circles_and_constant_maps_are_pale() -> None:
    graph = GraphShape(np.array([0, 1]), np.array([1, 1]), 2, -1, np.array([0, 1]))
    one = Instance("id", 0, "", np.ones(2), None, "", (Map("same", "contribution", np.ones(2), 1.0),), graph=graph)
    found = Gallery("s", "p", "edges", (), "", True, (one,))
    own, same = graph_pictures(found, one)
    assert 'class="loop edge"' in own.svg
    assert 'class="node n1"' in own.svg
    assert 'class="for"' not in same.svg


def test_maps_of_nodes_are_shades_of_the_nodes() -> None:
    found = gallery(shape(), "nodes")
    own, mine, _ = graph_pictures(found, found.instances[0])
    assert own.svg.count('class="node truth"') == 3
    assert mine.svg.count('class="dot ') >= 6
    figure = drawing(found, found.instances[0])
    assert len(figure.axes) == 3


def test_structures_survive_the_store(tmp_path: Path) -> None:
    structure = {"src": torch.tensor([[0, 1]], dtype=torch.int32), "edges": torch.tensor([2], dtype=torch.int32)}
    stored = StoredExamples(("a",), (0,), 1, torch.ones(1, 2), None, ("t",), ("",), "edges", (), (), structure)
    examples = Examples(LocalFiles(tmp_path))
    examples.save_examples("ab12", stored)
    loaded = examples.load_examples("ab12")
    assert loaded is not None
    assert set(loaded.structure) == set(structure)
    assert all(torch.equal(loaded.structure[k], v) for k, v in structure.items())


def test_classes_of_nodes_are_those_of_one_hot_features() -> None:
    graph = sample()[0]
    view = make_view(linear((6,)), torch.ones(1, 6))
    x = torch.eye(3)[torch.tensor([0, 2, 1, 1, 0])][None]
    context = {"src": torch.from_numpy(graph["src"])[None], "dst": torch.from_numpy(graph["dst"])[None], "x": x}
    samples = replace(view, layout=FeatureLayout("edges", (6,)), context=context)
    found = graph_structure(samples, torch.tensor([0]))
    assert found["classes"].tolist() == [[0, 2, 1, 1, 0]]
    assert found["target"].tolist() == [-1]
    assert (found["edges"].tolist(), found["nodes"].tolist()) == ([6], [5])
    other = replace(samples, context={**context, "x": x * 2})
    assert graph_structure(other, torch.tensor([0]))["classes"].tolist() == [[-1] * 5]
    assert graph_structure(view, torch.tensor([0])) == {}
