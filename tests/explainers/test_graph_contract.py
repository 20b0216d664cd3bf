"""What explainers of graphs promise: right shapes, nothing of padding or order, or one sentence; placebos by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.graphs import Graph, SumNet, lists, sample
from torch import Tensor

import xaibench as xb
from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.registry import components, get

EXPLAINERS = [s for s in components("explainer") if isinstance(s, ExplainerSpec) and not s.needs & {"text", "image"}]
OF_GRAPHS = [s.name for s in EXPLAINERS if "graph" in s.needs]
FEW: dict[str, Any] = {"n_samples": 40, "steps": 8}


class TargetNet(SumNet):
    """The same layers, read at the target node."""

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(w, src, dst, x * (1 + torch.nn.functional.one_hot(target, x.shape[1]).unsqueeze(2)))


NET, OF_NODES = SumNet(), TargetNet()


def node_task(graphs: list[Graph]) -> tuple[list[np.ndarray], dict[str, Any]]:
    w, context = lists(graphs)
    return w, {**context, "target": np.arange(len(graphs)) % 3}


def explained(name: str, graphs: list[Graph], *, task: str = "node", **given: Any) -> np.ndarray:
    w, context = node_task(graphs) if task == "node" else lists(graphs)
    small = {k: v for k, v in FEW.items() if k in get("explainer", name).parameters and k not in given}
    beside, around = node_task(sample(7)) if task == "node" else lists(sample(7))
    model = OF_NODES if task == "node" else NET
    given = {"targets": [1] * len(w), "background": beside, "background_context": around, "truth": None, **given}
    return np.asarray(
        xb.explain(name, model=model, inputs=w, context=context, features="edges", **small, **given), dtype=np.float64
    )


@pytest.mark.filterwarnings("ignore::xaibench.core.errors.UnusedBackgroundWarning")
@pytest.mark.parametrize("name", [s.name for s in EXPLAINERS])
def test_every_explainer_explains_edges_or_says_why_not(name: str) -> None:
    graphs = sample(n=3)
    found = or_reason(lambda: explained(name, graphs))
    if isinstance(found, str):
        assert found
        return
    for row, graph in zip(found, graphs, strict=True):
        n = len(graph["w"])
        assert np.isfinite(row[:n]).all()
        assert np.isnan(row[n:]).all()


def reordered(graph: Graph, order: np.ndarray) -> Graph:
    return {k: v[order] if k in ("w", "src", "dst") else v for k, v in graph.items()}


@pytest.mark.parametrize("name", ["gradient", "feature_ablation", *sorted(set(OF_GRAPHS) - {"position"})])
def test_a_permutation_of_the_list_permutes_maps_and_nothing_else(name: str) -> None:
    if name in ("gnn_explainer", "pg_explainer"):
        pytest.skip("draws are keyed by what the list is")
    graph = sample()[1]
    order = np.random.default_rng(2).permutation(len(graph["w"]))
    try:
        before = explained(name, [graph])[0]
    except xb.UnsupportedError:
        pytest.skip("needs more than this model has")
    after = explained(name, [reordered(graph, order)])[0]
    np.testing.assert_allclose(after, before[order], rtol=1e-4, atol=1e-6)


def or_reason(call: Callable[[], np.ndarray]) -> np.ndarray | str:
    """What a call gives, or why it is unsupported."""
    try:
        return call()
    except xb.UnsupportedError as error:
        return str(error)


CHAIN = {
    "w": np.ones(5, np.float32),
    "src": np.array([1, 2, 3, 1, 4]),
    "dst": np.array([0, 1, 2, 1, 4]),
    "x": np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 2, 0], [0, 0, 0]], np.float32),
}
"""Messages 3 -> 2 -> 1 -> 0, a loop at 1, and node 4 alone with a loop; the target is node 0."""


def chain(name: str, **params: Any) -> list[float]:
    return explained(name, [CHAIN], **params)[0].tolist()


def test_placebos_by_hand() -> None:
    assert chain("degree") == [1 + 4, 2 + 4, 1 + 2, 8, 4]
    assert chain("negative_degree") == [-5, -6, -3, -8, -4]
    assert chain("distance") == pytest.approx([1, 1 / 2, 1 / 3, 1 / 2, 0])
    assert chain("distance", directed=True) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 2, 0])
    assert chain("position") == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    mean = CHAIN["x"].mean(axis=0)
    unusual = np.linalg.norm(CHAIN["x"] - mean, axis=1)
    assert chain("source_feature") == pytest.approx(unusual[CHAIN["src"]].tolist(), rel=1e-5)
    assert chain("source_feature", of="contrast") == pytest.approx([1, 1, 2, 0, 0])
    assert chain("input_edges") == chain("distance")
    assert explained("input_edges", [CHAIN], task="graph")[0].tolist() == chain("degree")
    with pytest.raises(xb.UnsupportedError, match="no target node"):
        explained("distance", [CHAIN], task="graph")


def test_pagerank_is_that_of_the_linear_system() -> None:
    """Personalised from the target, on undirected edges: the fixed point (I - d P) p = (1 - d) start."""
    n, damping = 5, 0.85
    matrix = np.zeros((n, n))
    for a, b in zip(CHAIN["src"], CHAIN["dst"], strict=True):
        matrix[b, a] += 1
        matrix[a, b] += 1
    walk = matrix / matrix.sum(axis=0)
    start = np.eye(n)[0]
    ranks = np.linalg.solve(np.eye(n) - damping * walk, (1 - damping) * start)
    expected = ranks[CHAIN["src"]] + ranks[CHAIN["dst"]]
    assert chain("pagerank", steps=200) == pytest.approx(expected.tolist(), abs=1e-5)
    assert chain("pagerank", steps=30) == pytest.approx(expected.tolist(), abs=0.02)
    graph_task = explained("pagerank", [CHAIN], task="graph", steps=200)[0]
    ranks = np.linalg.solve(np.eye(n) - damping * walk, (1 - damping) * np.full(n, 1 / n))
    np.testing.assert_allclose(graph_task, ranks[CHAIN["src"]] + ranks[CHAIN["dst"]], atol=1e-5)


def test_random_smooth_is_noise_on_nodes_that_edges_share() -> None:
    """Two edges with the same ends have the same number, and the mean over many seeds is 0."""
    twice = {**CHAIN, "src": np.array([1, 1, 3, 1, 4]), "dst": np.array([0, 0, 2, 1, 4])}
    found = explained("random_smooth", [twice])[0]
    assert found[0] == found[1]
    assert len(set(found.tolist())) == 4


def test_another_sample_hands_its_map_over_by_rank() -> None:
    """A chain explained for itself: the edges of both lists are in the order of distance, then of degree."""
    graph = {**CHAIN, "w": np.ones(3, np.float32), "src": np.array([1, 2, 3]), "dst": np.array([0, 1, 2])}
    turned = reordered(graph, np.array([2, 0, 1]))
    w, context = lists([graph])
    around, beyond = lists([turned])
    target = {"target": np.array([0])}
    given: dict[str, Any] = {"features": "edges", "inputs": w, "context": {**context, **target}, "targets": [1]}
    # Of another sample the class is explained that is predicted there.
    predicted = int(xb.Problem(OF_NODES, w, context=given["context"], features="edges").targets[0])
    own = xb.explain("integrated_gradients", model=OF_NODES, **{**given, "targets": [predicted]})
    beyond = {**beyond, **target}
    found = xb.explain("other_sample", model=OF_NODES, background=around, background_context=beyond, **given)
    np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-6)


METRICS = [
    s for s in components("metric")
    if isinstance(s, MetricSpec) and not s.about_programs and "retrain" not in s.needs and s.scope == "sample"
    and not any(n.startswith(("model_pair", "input_pair")) for n in s.needs)
]  # fmt: skip


@pytest.mark.parametrize("name", [s.name for s in METRICS])
def test_every_metric_scores_edges_or_says_why_not(name: str) -> None:
    graphs = sample(n=3)
    w, context = lists(graphs)
    truth = np.zeros((3, 9), bool)
    truth[:, :3] = True
    needs = get("metric", name).needs
    given: dict[str, Any] = {"context": context, "features": "edges", "labels": [0, 1, 1]}
    if any(need.startswith("truth") for need in needs):
        given["truth"] = truth.astype(np.float32) if "truth.weights" in needs else truth
    if "truth.distractors" in needs:
        given["distractors"] = ~truth
    small = {k: v for k, v in FEW.items() if k in get("metric", name).parameters}
    problem = xb.Problem(NET, w, [0, 1, 1], **given)
    made = problem.explain("gradient")
    found = or_reason(lambda: problem.score(name, made, **small))
    if isinstance(found, str):
        assert found
        return
    assert found.shape == (3,)
    assert not np.isinf(found).any()
