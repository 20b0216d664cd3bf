"""Graphs in the Python API: right numbers for graphs of any size, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.graphs import Graph, NodeNet, SumNet, lists, random_graph, sample
from torch import Tensor, nn

import xaibench as xb

NET = SumNet()


def outputs(graph: Graph, w: np.ndarray | None = None) -> Tensor:
    """Logits (C,) of one graph, alone and without padding."""
    given = {k: torch.from_numpy(v)[None] for k, v in graph.items()}
    weights = given["w"] if w is None else torch.from_numpy(w)[None]
    with torch.no_grad():
        found: Tensor = NET(weights, given["src"], given["dst"], given["x"])[0]
    return found


def without_each(graph: Graph, target: int) -> np.ndarray:
    """Loss of output per edge, each taken out of the list."""
    found = []
    for edge in range(len(graph["w"])):
        rest = np.arange(len(graph["w"])) != edge
        less = {k: v[rest] if k in ("w", "src", "dst") else v for k, v in graph.items()}
        found.append(float(outputs(graph)[target] - outputs(less)[target]))
    return np.array(found)


def padded(graphs: list[Graph], more: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The same as arrays as long as the longest, and ``more``; nodes behind the end are masked."""
    n_edges = max(len(g["w"]) for g in graphs) + more
    n_nodes = max(len(g["x"]) for g in graphs) + more
    w = np.zeros((len(graphs), n_edges), np.float32)
    ends = {name: np.zeros((len(graphs), n_edges), np.int64) for name in ("src", "dst")}
    x, nodes = np.zeros((len(graphs), n_nodes, 3), np.float32), np.zeros((len(graphs), n_nodes), bool)
    for i, g in enumerate(graphs):
        w[i, : len(g["w"])] = g["w"]
        for name in ends:
            ends[name][i, : len(g["w"])] = g[name]
        x[i, : len(g["x"])], nodes[i, : len(g["x"])] = g["x"], True
    return w, {**ends, "x": x, "nodes": nodes}


def with_nodes(w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor) -> Tensor:
    found: Tensor = NET(w, src, dst, x)
    return found


class WithNodes(SumNet):
    """Takes the mask of nodes as well."""

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor) -> Tensor:  # type: ignore[override]
        assert bool(nodes.all()), "no padding is seen"
        return super().forward(w, src, dst, x)


def test_occlusion_is_the_output_lost_by_a_shorter_list() -> None:
    graphs = sample()
    w, context = lists(graphs)
    found = xb.explain("occlusion", model=NET, inputs=w, context=context, features="edges", targets=[1] * 5)
    assert found.shape == (5, 9)
    for row, graph in zip(found, graphs, strict=True):
        n = len(graph["w"])
        np.testing.assert_allclose(row[:n], without_each(graph, 1), atol=1e-5)
        assert np.isnan(row[n:]).all()


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients", "shapley_sampling", "kernel_shap", "random"])
@pytest.mark.parametrize("more", [0, 5])
def test_padded_arrays_lists_and_single_graphs_have_the_same_maps(name: str, more: int) -> None:
    graphs = sample()
    w, context = lists(graphs)
    given: dict[str, Any] = {"features": "edges", "seed": 3}
    from_lists = xb.explain(name, model=NET, inputs=w, context=context, targets=[1] * 5, **given)
    full, arrays = padded(graphs, more)
    from_arrays = xb.explain(name, model=WithNodes(), inputs=full, context=arrays, targets=[1] * 5, **given)
    for i, graph in enumerate(graphs):
        n = len(graph["w"])
        own, beside = padded([graph])
        alone = xb.explain(name, model=WithNodes(), inputs=own, context=beside, targets=[1], **given)
        np.testing.assert_allclose(from_arrays[i, :n], alone[0], rtol=1e-4, atol=1e-6)
        if name in ("gradient", "integrated_gradients"):  # nothing is drawn by what the graph is
            np.testing.assert_allclose(from_lists[i, :n], alone[0], rtol=1e-3, atol=1e-4)
        else:
            own_list, beside_list = lists([graph])
            one = xb.explain(name, model=NET, inputs=own_list, context=beside_list, targets=[1], **given)
            np.testing.assert_array_equal(from_lists[i, :n], one[0])


def test_integrated_gradients_and_shapley_values_add_up() -> None:
    graphs = sample()
    w, context = lists(graphs)
    for name, params in (("integrated_gradients", {"steps": 128}), ("shapley_sampling", {})):
        maps = xb.explain(name, model=NET, inputs=w, context=context, features="edges", targets=[1] * 5, **params)
        for row, graph in zip(maps, graphs, strict=True):
            gap = float(outputs(graph)[1] - outputs(graph, np.zeros_like(graph["w"]))[1])
            assert np.nansum(row) == pytest.approx(gap, abs=2e-3)


def test_a_board_of_graphs_from_nothing() -> None:
    graphs = sample()
    w, context = lists(graphs)
    problem = xb.Problem(NET, w, context=context, features="edges", background=w, background_context=context)
    table = problem.evaluate(["occlusion", "gradient"], ["deletion", "sufficiency"])
    assert set(table.loc[table.explainer.isin(["occlusion", "gradient"]), "status"]) == {"ok"}
    assert table.loc[table.explainer.isin(["occlusion", "gradient"]), "score"].notna().all()


def test_deletion_of_edges_removes_them_by_weight_zero_unless_told_otherwise() -> None:
    graphs = sample(n=1)
    w, context = lists(graphs)
    given: dict[str, Any] = {"model": NET, "inputs": w, "context": context, "features": "edges", "targets": [1]}
    maps = xb.explain("occlusion", **given)
    curve = xb.curve("deletion", attributions=maps, steps=6, **given)
    order = np.argsort(-maps[0])
    probability = []
    for k in range(7):
        weights = graphs[0]["w"].copy()
        weights[order[:k]] = 0
        probability.append(float(torch.softmax(outputs(graphs[0], weights), 0)[1]))
    np.testing.assert_allclose(curve[0], probability, atol=1e-5)
    with pytest.raises(xb.UnsupportedError, match="the mean masker is not defined for edges"):
        xb.score("deletion", attributions=maps, masker="mean", **given)


def test_nodes_and_their_features_are_explained_with_the_edges_as_context() -> None:
    graphs = sample()
    x = [g["x"] for g in graphs]
    context = {name: [g[name] for g in graphs] for name in ("w", "src", "dst")}
    given: dict[str, Any] = {"model": NodeNet(), "inputs": x, "context": context, "targets": [1] * 5}
    by_node = xb.explain("feature_ablation", features="nodes", **given)
    assert by_node.shape == (5, 7)
    cells = xb.explain("feature_ablation", features="node_features", **given)
    assert cells.shape == (5, 7, 3)
    for i, graph in enumerate(graphs):
        for node in range(len(graph["x"])):
            less = graph["x"].copy()
            less[node] = 0
            gap = outputs(graph)[1] - outputs({**graph, "x": less})[1]
            assert by_node[i, node] == pytest.approx(float(gap), abs=1e-5)
    mean = xb.explain("feature_ablation", features="nodes", masker="mean", **given)
    less = graphs[0]["x"].copy()
    less[2] = less.mean(axis=0)
    assert mean[0, 2] == pytest.approx(float(outputs(graphs[0])[1] - outputs({**graphs[0], "x": less})[1]), abs=1e-5)


def call(graphs: list[Graph] | None = None, model: Any = NET, **given: Any) -> Callable[[], Any]:
    w, context = lists(graphs or sample())
    given = {"inputs": w, "context": context, "features": "edges", "targets": [1] * len(w), **given}
    return lambda: xb.explain("occlusion", model=model, **given)


def refused(made: Callable[[], Any], text: str) -> None:
    with pytest.raises(xb.XaibenchError, match=text) as caught:
        made()
    assert caught.value.hint


def test_what_is_no_graph_is_said_in_one_sentence() -> None:
    w, context = lists(sample())
    refused(call(context=None), "there is no context=")
    refused(call(context={"src": context["src"], "x": context["x"]}), "context has no 'dst'")
    refused(call(context={**context, "x": context["x"][:4]}), "context 'x' has 4 rows for 5 graphs")
    refused(call(context={**context, "dst": [d[:-1] for d in context["dst"]]}), "graph 0 has 6 edges, and 'dst' has 5")
    refused(
        call(context={**context, "dst": [d + 9 for d in context["dst"]]}), "edge 0 of sample 0 of the inputs has dst"
    )
    refused(call(context={**context, "src": [d * 1.0 for d in context["src"]]}), "float64")
    empty = {**sample()[0], "w": np.zeros(0, np.float32), "src": np.zeros(0, np.int64), "dst": np.zeros(0, np.int64)}
    refused(call([*sample(n=2), empty]), "sample 2 of the inputs has no edges")
    refused(call([empty]), "sample 0 of the inputs has no edges")
    refused(call(inputs=[v * np.nan for v in w]), "NaN or infinity")
    full, arrays = padded(sample())
    gaps = {**arrays, "nodes": arrays["nodes"][:, ::-1]}
    refused(call(inputs=full, context=gaps, model=WithNodes()), "has gaps")


def test_self_loops_and_isolated_nodes_are_right() -> None:
    rng = np.random.default_rng(3)
    graph = random_graph(rng, 6, 5)
    looped = {**graph, "w": np.ones(6, np.float32)}
    looped["src"], looped["dst"] = np.append(graph["src"], 2), np.append(graph["dst"], 2)
    lonely = {**graph, "x": np.vstack([graph["x"], rng.standard_normal((2, 3)).astype(np.float32)])}
    found = call([looped, lonely])()
    np.testing.assert_allclose(found[0], without_each(looped, 1), atol=1e-5)
    np.testing.assert_allclose(found[1, :5], without_each(lonely, 1), atol=1e-5)


class Directed(SumNet):
    """Messages from src to dst only."""

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        h = x
        for layer in (self.first, self.second):
            index = dst.unsqueeze(2).expand(-1, -1, h.shape[2])
            sent = torch.zeros_like(h).scatter_add(
                1, index, h.gather(1, src.unsqueeze(2).expand_as(index)) * w[..., None]
            )
            h = self.act(layer(h + sent))
        found: Tensor = self.head(h.sum(dim=1))
        return found


def test_directed_edges_given_once_go_one_way() -> None:
    graph = random_graph(np.random.default_rng(5), 5, 6)
    net = Directed()
    found = call([graph], model=net)()
    turned = call([{**graph, "src": graph["dst"], "dst": graph["src"]}], model=net)()
    assert np.abs(found - turned).max() > 1e-3
    given = {k: torch.from_numpy(v)[None] for k, v in graph.items()}
    less = given["w"].clone()
    less[0, 0] = 0
    with torch.no_grad():
        beside = given["src"], given["dst"], given["x"]
        gap = net(given["w"], *beside)[0, 1] - net(less, *beside)[0, 1]
    assert found[0, 0] == pytest.approx(float(gap), abs=1e-5)


class ReadsAbsent(SumNet):
    """A mean over neighbours whose degree does not know of weights."""

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        return super().forward(torch.ones_like(w), src, dst, x)


class ReadsPlaces(SumNet):
    """Weights that depend on the place in the list."""

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        return super().forward(w * torch.linspace(0.5, 1, w.shape[1]), src, dst, x)


class MixesGraphs(SumNet):
    """Adds what other graphs of the batch have."""

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        found: Tensor = super().forward(w.mean(dim=0, keepdim=True).expand_as(w), src, dst, x)
        return found


class FixedLength(nn.Module):
    """Takes six edges and no other number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(6, 2)

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        found: Tensor = self.layer(torch.sort(w, dim=1).values)
        return found


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (ReadsAbsent(), "the model reads edges of weight 0: without edge 0 of sample 0"),
        (ReadsPlaces(), "depends on the order of the list of edges"),
        (MixesGraphs(), "weight 0|other samples of"),
        (FixedLength().eval(), "does not take 5 of the 6 edges of sample 0"),
    ],
)
def test_models_that_are_not_of_graphs_are_told_so(model: nn.Module, text: str) -> None:
    refused(call([sample()[0], sample()[2]], model=model), text)


def test_noise_means_nothing_on_edges() -> None:
    w, context = lists(sample())
    given: dict[str, Any] = {"model": NET, "inputs": w, "context": context, "features": "edges"}
    maps = xb.explain("gradient", **given)
    for metric in ("max_sensitivity", "avg_sensitivity", "infidelity", "input_invariance"):
        with pytest.raises(xb.UnsupportedError, match="an edge is there or it is not"):
            xb.score(metric, attributions=maps, explain="gradient", **given)
    with pytest.raises(xb.UnsupportedError, match="an edge is there or it is not"):
        xb.explain("smoothgrad", **given)
    with pytest.raises(xb.UnsupportedError, match="needs image or series"):
        xb.score("road_morf", attributions=maps, **given)
    assert np.isfinite(xb.score("rerun_stability", attributions=maps, explain="gradient", **given)).all()
