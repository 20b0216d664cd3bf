"""The package's own graph networks as models of torch_geometric, with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.models.message_passing import GIN, GraphConvNet


class GINTwin(nn.Module):
    """`GIN` by GINConv."""

    def __init__(self, net: GIN) -> None:
        super().__init__()
        from torch_geometric.nn import GINConv

        self.layers = nn.ModuleList(GINConv(layer.mlp) for layer in net.layers)
        self.head = net.head

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        from torch_geometric.nn import global_max_pool, global_mean_pool

        for layer in self.layers:
            x = layer(x, edge_index)
        out: Tensor = self.head(torch.cat([global_mean_pool(x, batch), global_max_pool(x, batch)], dim=1))
        return out


class GraphConvTwin(nn.Module):
    """`GraphConvNet` by GraphConv, a row per node."""

    def __init__(self, net: GraphConvNet) -> None:
        super().__init__()
        from torch_geometric.nn import GraphConv

        self.layers = nn.ModuleList()
        for layer in net.layers:
            twin = GraphConv(layer.own.in_features, layer.own.out_features)
            # Theirs has the bias beside the neighbours, ours beside the node itself: the sum is the same.
            twin.lin_rel.weight, twin.lin_rel.bias = layer.neighbours.weight, layer.own.bias
            twin.lin_root.weight = layer.own.weight
            self.layers.append(twin)
        self.head = net.head

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        found = []
        for layer in self.layers:
            x = torch.relu(layer(x, edge_index))
            found.append(x)
        out: Tensor = self.head(torch.cat(found, dim=1))
        return out


def graphs_of(data: Data, n: int, *, split: str = "test", undirected: bool) -> list[Any]:
    """The first ``n`` graphs of a data set as those of torch_geometric; of undirected edges both directions."""
    from torch_geometric.data import Data as Graph

    inputs, context = getattr(data, f"{split}_inputs"), getattr(data, f"{split}_context")
    found = []
    for row in range(n):
        there = inputs[row] > 0
        ends = torch.from_numpy(np.stack([context["src"][row][there], context["dst"][row][there]]))
        edge_index = torch.cat([ends, ends.flip(0)], dim=1) if undirected else ends
        found.append(Graph(torch.from_numpy(context["x"][row][context["nodes"][row]]), edge_index))
    return found
