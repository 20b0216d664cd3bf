"""Models of torch_geometric: removing an edge is the graph without it, for every kind of convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.documentation import blocks
from torch import Tensor, nn

import xaibench as xb
from xaibench.core.errors import DataError, UsageError
from xaibench.models.edge_features import computation_graph, merge_directions

geometric = pytest.importorskip("torch_geometric")


def conv(name: str, before: int, after: int) -> nn.Module:
    if name == "GINConv":
        layers = nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Linear(after, after))
        return geometric.nn.GINConv(layers)  # type: ignore[no-any-return]
    more = {"aggr": "mean"} if name == "GraphConv mean" else {}
    return getattr(geometric.nn, name.partition(" ")[0])(before, after, **more)  # type: ignore[no-any-return]


class Net(nn.Module):
    """Two convolutions and a head, for graphs or for nodes."""

    def __init__(self, name: str, *, node: bool = False, weights: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = conv(name, 3, 8), conv(name, 8, 8)
        self.head = nn.Linear(8, 2)
        self.node = node
        self.weights = weights and name not in ("GINConv", "GATConv", "SAGEConv")

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        given = (edge_index, edge_weight) if self.weights else (edge_index,)
        hidden = self.second(torch.tanh(self.first(x, *given)), *given)
        pooled = hidden if self.node else geometric.nn.global_mean_pool(torch.tanh(hidden), batch)
        out: Tensor = self.head(pooled)
        return out


class NoWeights(Net):
    """A forward that takes no weights."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return super().forward(x, edge_index, None, batch)


def graph(seed: int, n: int, m: int, *, directed: bool = False) -> Any:
    """A random simple graph with ``m`` edges, columns in random order."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(u, v) for u in range(n) for v in range(u + 1, n)])[rng.permutation(n * (n - 1) // 2)[:m]].T
    columns = pairs if directed else np.concatenate([pairs, pairs[::-1]], axis=1)
    columns = columns[:, rng.permutation(columns.shape[1])]
    x = torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32))
    return geometric.data.Data(x, torch.from_numpy(columns))


def without(data: Any, u: int, v: int) -> Any:
    """The graph without an edge, both directions."""
    src, dst = data.edge_index
    keep = ~(((src == u) & (dst == v)) | ((src == v) & (dst == u)))
    return geometric.data.Data(data.x, data.edge_index[:, keep])


GRAPHS = [(0, 7, 9), (1, 5, 6), (2, 8, 12)]
CONVS = ["GCNConv", "GraphConv", "GINConv", "GATConv", "SAGEConv", "GraphConv mean"]


@pytest.mark.parametrize("name", CONVS)
def test_leaving_one_out_is_the_model_on_the_graph_without_the_edge(name: str) -> None:
    net = Net(name).eval()
    graphs = [graph(*g) for g in GRAPHS]
    model, inputs, context = xb.from_pyg(net, graphs, returns="logit")
    targets = [0, 1, 0]
    found = xb.explain(
        "occlusion", model=model, inputs=inputs, context=context, targets=targets, features="edges", masker="zero"
    )
    for row, data in enumerate(graphs):
        with torch.no_grad():
            batch = torch.zeros(len(data.x), dtype=torch.int64)
            whole = net(data.x, data.edge_index, batch=batch)[0, targets[row]]
            n = int(inputs[row].sum())
            assert n == data.edge_index.shape[1] // 2
            for edge in range(n):
                less = without(data, int(context["src"][row, edge]), int(context["dst"][row, edge]))
                value = whole - net(less.x, less.edge_index, batch=batch)[0, targets[row]]
                assert found[row, edge] == pytest.approx(float(value), abs=2e-5)
        assert np.isnan(np.asarray(found)[row, n:]).all()


@pytest.mark.parametrize("name", CONVS)
def test_gradients_are_there_where_they_are_right(name: str) -> None:
    model, inputs, context = xb.from_pyg(Net(name), [graph(*GRAPHS[0])], returns="logit")
    given = {"model": model, "inputs": inputs, "context": context, "targets": [0], "features": "edges"}
    if name in ("GCNConv", "GraphConv"):
        found = np.asarray(xb.explain("gradient", **given))
        h = 1e-3
        for edge in range(inputs.shape[1]):
            moved = np.repeat(inputs, 2, axis=0)
            moved[:, edge] = 1 - h, 1 + h
            twice = {k: torch.from_numpy(np.repeat(v, 2, axis=0)) for k, v in context.items()}
            low, high = model.module.double()(
                torch.from_numpy(moved).double(),
                **{k: v.double() if v.is_floating_point() else v for k, v in twice.items()},
            ).detach()[:, 0]
            model.module.float()
            assert found[0, edge] == pytest.approx(float(high - low) / (2 * h), abs=1e-3)
        return
    with pytest.raises(xb.UnsupportedError, match="left out of the list"):
        xb.explain("gradient", **given)


def test_weights_on_messages_where_they_are_removal() -> None:
    """GINConv has gradients by messages; GCNConv has counted the edge by then, and is refused."""
    data = graph(*GRAPHS[0])
    model, inputs, context = xb.from_pyg(Net("GINConv"), [data], edge_weight="message", returns="logit")
    given = {"model": model, "inputs": inputs, "context": context, "targets": [0], "features": "edges"}
    assert np.isfinite(np.asarray(xb.explain("gradient", **given))).all()
    with pytest.raises(UsageError, match="not a removed edge"):
        xb.from_pyg(Net("GCNConv"), [data], edge_weight="message")


def test_nodes_give_what_the_whole_graph_gives() -> None:
    data = graph(4, 30, 60)
    for name in ("GCNConv", "GraphConv", "GINConv", "GATConv"):
        net = Net(name, node=True).eval()
        model, inputs, context = xb.from_pyg(net, data, kind="node", index=[3, 17, 5], returns="logit")
        with torch.no_grad():
            whole = net(data.x, data.edge_index)[[3, 17, 5]]
            found = model.predict(torch.from_numpy(inputs), {k: torch.from_numpy(v) for k, v in context.items()})
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)


def test_computation_graphs_hold_what_reaches_the_node() -> None:
    edge_index = np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
    nodes, columns = computation_graph(edge_index, 6, target=4, hops=2)
    assert nodes.tolist() == [4, 3, 2]
    assert columns.tolist() == [2, 3]


def test_directions_loops_and_repeated_edges() -> None:
    edges = merge_directions(np.array([[0, 1, 2, 1, 0, 1], [1, 0, 2, 2, 1, 0]]))
    assert list(zip(edges.src.tolist(), edges.dst.tolist(), strict=True)) == [(0, 1), (2, 2), (1, 2), (0, 1)]
    assert edges.both.tolist() == [True, False, False, True]
    assert edges.per_direction(np.arange(6.0)).tolist() == [[0, 1], [2, 0], [3, 0], [4, 5]]


def test_directed_graphs_self_loops_and_weights_of_ones_own() -> None:
    data = graph(5, 8, 10, directed=True)
    data.edge_index = torch.cat([data.edge_index, torch.tensor([[2], [2]])], dim=1)
    data.edge_weight = torch.rand(data.edge_index.shape[1], generator=torch.Generator().manual_seed(0)) + 0.5
    net = Net("GraphConv").eval()
    model, inputs, context = xb.from_pyg(net, [data], returns="logit")
    assert inputs.shape == (1, 11)
    assert not context["edge_both"].any()
    found = np.asarray(
        xb.explain("occlusion", model=model, inputs=inputs, context=context, targets=[1], features="edges")
    )
    batch = torch.zeros(8, dtype=torch.int64)
    with torch.no_grad():
        whole = net(data.x, data.edge_index, data.edge_weight, batch)[0, 1]
        for edge in range(11):
            rest = torch.arange(11) != edge
            value = whole - net(data.x, data.edge_index[:, rest], data.edge_weight[rest], batch)[0, 1]
            assert found[0, edge] == pytest.approx(float(value), abs=2e-5)


def test_forwards_of_one_data_object_and_attributes_of_edges() -> None:
    class OfData(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv = geometric.nn.GATConv(3, 4, edge_dim=2)
            self.head = nn.Linear(4, 2)

        def forward(self, data: Any) -> Tensor:
            hidden = self.conv(data.x, data.edge_index, data.edge_attr)
            out: Tensor = self.head(geometric.nn.global_add_pool(hidden, data.batch))
            return out

    data = graph(6, 6, 8)
    data.edge_attr = torch.rand(16, 2, generator=torch.Generator().manual_seed(0))
    net = OfData().eval()
    model, inputs, context = xb.from_pyg(net, [data, data], returns="logit")
    found = np.asarray(
        xb.explain("occlusion", model=model, inputs=inputs, context=context, targets=[0, 1], features="edges")
    )
    src, dst = data.edge_index
    u, v = int(context["src"][0, 3]), int(context["dst"][0, 3])
    keep = ~(((src == u) & (dst == v)) | ((src == v) & (dst == u)))
    less = geometric.data.Data(data.x, data.edge_index[:, keep], data.edge_attr[keep])
    for one in (data, less):
        one.batch = torch.zeros(6, dtype=torch.int64)
    with torch.no_grad():
        value = (net(data) - net(less))[0]
    assert found[:, 3] == pytest.approx([float(value[0]), float(value[1])], abs=2e-5)


def test_what_cannot_be_explained_is_said_in_a_sentence() -> None:
    data = graph(*GRAPHS[0])
    bare = geometric.data.Data(data.x, torch.zeros(2, 0, dtype=torch.int64))
    with pytest.raises(DataError, match="graph 1 has no edges"):
        xb.from_pyg(Net("GINConv"), [data, bare])
    with pytest.raises(DataError, match="no node features"):
        xb.from_pyg(Net("GINConv"), [geometric.data.Data(edge_index=data.edge_index, num_nodes=7)])
    alone = geometric.data.Data(torch.cat([data.x, torch.ones(1, 3)]), data.edge_index)
    with pytest.raises(DataError, match="no edge ends at node 7"):
        xb.from_pyg(Net("GINConv", node=True), alone, kind="node", index=[7])
    with pytest.raises(UsageError, match="nodes of one graph"):
        xb.from_pyg(Net("GINConv", node=True), [data, data], kind="node")
    with pytest.raises(UsageError, match="does not have"):
        xb.from_pyg(Net("GINConv", node=True), data, kind="node", index=[9])

    class Mixes(Net):
        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:  # type: ignore[override]
            return super().forward(x, edge_index, None, batch) + x.mean()

    with pytest.raises(UsageError, match="in one batch"):
        xb.from_pyg(Mixes("GINConv"), [data, graph(*GRAPHS[1])])

    class Unbatched(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return x.sum(dim=0, keepdim=True)

    with pytest.raises(UsageError, match="does not take 'batch'"):
        xb.from_pyg(Unbatched(), [data])

    class Wants(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, pos: Tensor, batch: Tensor) -> Tensor:
            return x

    with pytest.raises(UsageError, match="takes 'pos'"):
        xb.from_pyg(Wants(), [data])


def test_the_callers_model_stays_as_it_was() -> None:
    net = Net("GATConv").train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    xb.from_pyg(net, [graph(*GRAPHS[0])])
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


@pytest.mark.slow
def test_the_page_does_what_it_shows() -> None:
    graphs = [graph(seed, 7, 9) for seed in range(8)]
    names: dict[str, Any] = {"net": Net("GINConv").eval(), "graphs": graphs}
    python = [text for language, _, text in blocks("how-to/pyg-models.md") if language == "python"]
    for text in python[:2]:
        exec(compile(text, "pyg-models.md", "exec"), names)
    assert {"occlusion", "shapley_sampling", "degree"} <= set(names["scores"]["explainer"])
    names |= {"net": Net("GCNConv", node=True).eval(), "data": graph(4, 30, 60)}
    exec(compile(python[2], "pyg-models.md", "exec"), names)
    assert len(names["inputs"]) == 2
