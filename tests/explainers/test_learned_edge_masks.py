"""GNNExplainer and PGExplainer: against torch_geometric's own, and on a network whose deciding edges are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xaibench as xb
from xaibench.explainers.engines.edge_masks import mask_penalty
from xaibench.models.message_passing import GIN, aggregate

N_NODES = 7


class Marked(nn.Module):
    """Class 1 if edges between marked nodes outweigh a threshold; nothing else is read."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(6.0))

    def embed(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        return torch.cat([x, 1 - x], dim=-1)

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        both = x.squeeze(-1).gather(1, src) * x.squeeze(-1).gather(1, dst)
        score = self.gain * ((w * both).sum(dim=1) - 1)
        return torch.stack([torch.zeros_like(score), score], dim=1)


def graphs(n: int, *, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Rings of seven nodes with two chords, three nodes in a row marked: two or three edges decide."""
    rng = np.random.default_rng(seed)
    ring = [(k, (k + 1) % N_NODES) for k in range(N_NODES)]
    rows = [rng.permutation([*ring, (0, 3), (1, 5)]) for _ in range(n)]
    src, dst = (np.stack([row[:, end] for row in rows]) for end in (0, 1))
    x = np.zeros((n, N_NODES, 1), np.float32)
    for row, first in zip(x, rng.integers(N_NODES, size=n), strict=True):
        row[[(first + k) % N_NODES for k in range(3)]] = 1
    marked = x[..., 0]
    truth = (np.take_along_axis(marked, src, 1) * np.take_along_axis(marked, dst, 1)) > 0
    return np.ones(src.shape, np.float32), {"src": src, "dst": dst, "x": x}, truth


def explained(name: str, n: int = 6, **params: Any) -> tuple[np.ndarray, np.ndarray]:
    inputs, context, truth = graphs(6)
    inputs, context, truth = inputs[:n], {name: values[:n] for name, values in context.items()}, truth[:n]
    more, around, _ = graphs(24, seed=1)
    found = xb.explain(
        name, model=Marked(), inputs=inputs, context=context, targets=[1] * n, features="edges",
        **({"background": more, "background_context": around} if name == "pg_explainer" else {}), **params,
    )  # fmt: skip
    return np.asarray(found), truth


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("gnn_explainer", {"entropy": 0.0, "size": 0.05}),
        ("pg_explainer", {"epochs": 40, "learning_rate": 0.03, "entropy": 0.0, "size": 0.1}),
    ],
)
def test_deciding_edges_come_first(name: str, params: dict[str, Any]) -> None:
    found, truth = explained(name, **params)
    assert found.min() >= 0
    assert found.max() <= 1
    for row, true in zip(found, truth, strict=True):
        assert row[true].min() > row[~true].max()


def test_the_entropy_sends_edges_that_change_nothing_to_the_side_on_which_they_start() -> None:
    """Why the published settings rank such edges above others: half of them end near 1, by their first draw."""
    found, truth = explained("gnn_explainer")
    idle = found[~truth]
    assert ((idle < 0.1) | (idle > 0.9)).all()
    assert 0.2 < (idle > 0.9).mean() < 0.8


def test_a_mask_does_not_depend_on_the_other_graphs() -> None:
    both, _ = explained("gnn_explainer", n=6)
    alone, _ = explained("gnn_explainer", n=2)
    np.testing.assert_allclose(alone, both[:2], atol=1e-6)
    small, _ = explained("gnn_explainer", n=6, batch_size=1)
    np.testing.assert_allclose(small, both, atol=1e-5)


def test_the_trained_network_is_the_same_again_and_another_one_with_another_seed() -> None:
    first, _ = explained("pg_explainer", epochs=2)
    again, _ = explained("pg_explainer", epochs=2)
    np.testing.assert_array_equal(first, again)
    other, _ = explained("pg_explainer", epochs=2, seed=1)
    assert not np.allclose(first, other)


def test_training_changes_neither_the_model_nor_the_global_generator() -> None:
    model = Marked()
    inputs, context, _ = graphs(2)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    xb.explain(
        "pg_explainer", model=model, inputs=inputs, context=context, targets=[1, 1], features="edges",
        background=inputs, background_context=context, epochs=1,
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert model.gain.grad is None


def test_without_states_of_nodes_there_is_one_sentence() -> None:
    class Bare(Marked):
        embed = None  # type: ignore[assignment]

    inputs, context, _ = graphs(2)
    with pytest.raises(xb.UnsupportedError, match="states of nodes"):
        xb.explain(
            "pg_explainer", model=Bare(), inputs=inputs, context=context, targets=[1, 1], features="edges",
            background=inputs, background_context=context,
        )  # fmt: skip


def test_the_penalty_is_that_of_the_paper() -> None:
    mask = torch.tensor([[0.2, 0.9, 0.5]])
    entropy = -(mask * mask.log() + (1 - mask) * (1 - mask).log()).mean()
    assert float(mask_penalty(mask, 0.005, 1.0)) == pytest.approx(0.005 * 1.6 + float(entropy), abs=1e-6)


def test_sums_over_edges_are_those_of_a_dense_matrix_and_of_a_list() -> None:
    generator = torch.Generator().manual_seed(0)
    w = torch.rand(3, 20, generator=generator)
    src, dst = (torch.randint(0, 70, (3, 20), generator=generator) for _ in range(2))
    hidden = torch.rand(3, 70, 4, generator=generator)
    expected = torch.zeros(3, 70, 4)
    for b in range(3):
        for e in range(20):
            expected[b, dst[b, e]] += w[b, e] * hidden[b, src[b, e]]
    torch.testing.assert_close(aggregate(hidden, w, src, dst), expected)
    few = aggregate(hidden[:, :9], w, src % 9, dst % 9)
    padded = torch.cat([hidden[:, :9], torch.zeros(3, 70, 4)], dim=1)
    torch.testing.assert_close(aggregate(padded, w, src % 9, dst % 9)[:, :9], few)


def test_absent_nodes_and_edges_of_weight_zero_change_nothing() -> None:
    torch.manual_seed(0)
    net = GIN(1, 2, 3, 20).eval()
    src, dst = torch.tensor([[0, 1, 2, 0]]), torch.tensor([[1, 2, 0, 3]])
    small = net(torch.ones(1, 4), src, dst, torch.ones(1, 4, 1), torch.ones(1, 4, dtype=torch.bool))
    w = torch.cat([torch.ones(1, 4), torch.zeros(1, 3)], dim=1)
    longer = [torch.cat([ends, torch.zeros(1, 3, dtype=torch.int64)], dim=1) for ends in (src, dst)]
    x = torch.cat([torch.ones(1, 4, 1), torch.zeros(1, 5, 1)], dim=1)
    large = net(w, *longer, x, x.squeeze(-1) > 0)
    torch.testing.assert_close(large, small)


@pytest.mark.slow
def test_the_mask_is_that_of_torch_geometric_from_the_same_start() -> None:
    """Same start, step and regularisers on a directed graph, where there is one direction for every edge."""
    geometric = pytest.importorskip("torch_geometric")
    explain = pytest.importorskip("torch_geometric.explain")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = (geometric.nn.GraphConv(k, 8) for k in (3, 8))
            self.head = nn.Linear(8, 3)

        def forward(
            self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, batch: Tensor | None = None
        ) -> Tensor:
            hidden = torch.tanh(
                self.second(torch.tanh(self.first(x, edge_index, edge_weight)), edge_index, edge_weight)
            )
            out: Tensor = self.head(geometric.nn.global_add_pool(hidden, batch))
            return out

    rng = np.random.default_rng(0)
    pairs = np.array([(u, v) for u in range(8) for v in range(8) if u < v])[rng.permutation(28)[:12]].T
    data = geometric.data.Data(torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32)), torch.from_numpy(pairs))
    net = Net().eval()
    model, inputs, context = xb.from_pyg(net, [data], returns="logit")
    starts: list[Tensor] = []
    normal = xb.Draws.normal

    def recorded(self: xb.Draws, shape: Any) -> Tensor:
        starts.append(normal(self, shape))
        return starts[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xb.Draws, "normal", recorded)
        ours = np.asarray(
            xb.explain("gnn_explainer", model=model, inputs=inputs, context=context, targets=[2], features="edges")
        )

    class SameStart(explain.GNNExplainer):  # type: ignore[misc, name-defined]
        def _initialize_masks(self, x: Tensor, edge_index: Tensor) -> None:
            self.node_mask = self.hard_node_mask = None
            self.edge_mask = nn.Parameter(0.1 * starts[-1][0].clone())
            self.hard_edge_mask = torch.ones(12, dtype=torch.bool)

    theirs = explain.Explainer(
        net, SameStart(epochs=100, lr=0.05), explanation_type="phenomenon", edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"},
    )(data.x, data.edge_index, target=torch.tensor([2]), batch=torch.zeros(8, dtype=torch.int64))  # fmt: skip
    np.testing.assert_allclose(ours[0], theirs.edge_mask.numpy(), atol=1e-4)
