"""torch_geometric 2.8: what is equal, and every deliberate difference in a line.

- A mask has one value per direction of an undirected edge there, and one per edge here.
- `GNNExplainer` counts the regularisers from the second step on there, from the first one here.
- `unfaithfulness` is KL(masked, original) there and KL(original, masked), as its text says, here.
- `characterization_score` divides by zero there where fidelity+ is 0, and is 0 here.
- Masks act on messages there: with GCNConv that is not the removal of an edge.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.pyg_twins import GINTwin, GraphConvTwin, graphs_of
from torch import nn

import xaibench as xb
from xaibench.datasets.ba2motifs import ba2motifs
from xaibench.datasets.infection import infection
from xaibench.models.message_passing import GIN, GraphConvNet

geometric = pytest.importorskip("torch_geometric")
explain = pytest.importorskip("torch_geometric.explain")


def untrained_gin() -> GIN:
    torch.manual_seed(0)
    return GIN(1, 2, 3, 20).eval()


def test_gin_and_its_twin_agree_and_masked_messages_are_removal() -> None:
    data = ba2motifs(seed=1, n_train=2, n_test=6)
    net = untrained_gin()
    twin = GINTwin(net).eval()
    graphs = graphs_of(data, 6, undirected=True)
    context = {name: torch.from_numpy(values) for name, values in data.test_context.items()}
    inputs = torch.from_numpy(data.test_inputs)
    edges = int((inputs[0] > 0).sum())
    removed = inputs.clone()
    removed[0, 3] = 0
    with torch.no_grad():
        ours, without = net(inputs, **context), net(removed, **context)[0]
        theirs = torch.cat([twin(g.x, g.edge_index, torch.zeros(len(g.x), dtype=torch.int64)) for g in graphs])
        mask = torch.ones(2 * edges)
        mask[[3, 3 + edges]] = 0
        utils = pytest.importorskip("torch_geometric.explain.algorithm.utils")
        utils.set_masks(twin, mask, graphs[0].edge_index, apply_sigmoid=False)
        masked = twin(graphs[0].x, graphs[0].edge_index, torch.zeros(25, dtype=torch.int64))[0]
        utils.clear_masks(twin)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(without, masked, rtol=1e-4, atol=1e-5)


def test_graph_conv_and_its_twin_agree() -> None:
    data = infection(seed=1, layers=3, n_nodes=200, n_infected=10, n_train=4, n_test=6)
    torch.manual_seed(0)
    net = GraphConvNet(2, 5, 3, 16).eval()
    twin = GraphConvTwin(net).eval()
    with torch.no_grad():
        ours = net(torch.from_numpy(data.test_inputs), **{k: torch.from_numpy(v) for k, v in data.test_context.items()})
        theirs = torch.cat([twin(g.x, g.edge_index)[:1] for g in graphs_of(data, 6, undirected=False)])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_their_masks_of_the_two_directions_of_an_edge_differ() -> None:
    data = ba2motifs(seed=1, n_train=2, n_test=2)
    twin = GINTwin(untrained_gin()).eval()
    (graph,) = graphs_of(data, 1, undirected=True)
    torch.manual_seed(0)
    found = explain.Explainer(
        twin, explain.GNNExplainer(epochs=30, lr=0.05), explanation_type="model", edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"},
    )(graph.x, graph.edge_index, batch=torch.zeros(25, dtype=torch.int64)).edge_mask  # fmt: skip
    one, other = found.chunk(2)
    assert float((one - other).abs().max()) > 0.1


def test_characterization_is_zero_where_theirs_divides_by_zero() -> None:
    metric = pytest.importorskip("torch_geometric.explain.metric")
    with pytest.raises(ZeroDivisionError):
        metric.characterization_score(0.0, 0.3)
    flat = nn.Linear(4, 2)
    nn.init.zeros_(flat.weight)
    found = xb.score("characterization", model=flat, inputs=np.ones((1, 4), np.float32), attributions=np.eye(4)[:1])
    assert found.tolist() == [0.0]
    expected = metric.characterization_score(0.6, 0.2)
    assert pytest.approx(float(expected)) == 1 / (0.5 / 0.6 + 0.5 / 0.8)
