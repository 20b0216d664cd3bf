"""Trained graph networks of several layers, smooth in the weights of edges: GraphConv with a target node, GIN."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.models.graph_networks import send
from xaibench.models.graph_training import train_graphs, train_whole_graph
from xaibench.models.training import Progress

_DIFFERENTIABLE = {"gradients", "module"}
DENSE = 64
"""Graphs of at most so many nodes are aggregated by a dense product, which is faster there."""


@model("graph_conv", provides=_DIFFERENTIABLE, features={"edges"})
def graph_conv(
    data: Data,
    *,
    seed: int,
    layers: PositiveInt = 4,
    width: PositiveInt = 32,
    epochs: PositiveInt = 200,
    progress: Progress | None = None,
) -> nn.Module:
    """GraphConv layers (Morris et al. 2019) on a directed graph; one node of every graph, the target, is classified.

    A node's new state is ``relu(W h + V sum of h over the edges that end at it)``; a linear head reads the states of
    all layers. A sum needs no degree, so the computation graph of a node gives what the whole graph gives. Trained on
    every node of the whole training graphs that the facts of the data set hold.

    Parameters
    ----------
    data : Data
        With the facts of `infection`.
    seed : int
    layers, width : int
    epochs : int
        Passes over all nodes at once.
    """
    n_features = int(data.train_context["x"].shape[2])

    def build() -> nn.Module:
        return GraphConvNet(n_features, data.n_classes, layers, width)

    return train_whole_graph(build, data, seed=seed, epochs=epochs, learning_rate=1e-2, progress=progress)


@model("gin", provides=_DIFFERENTIABLE, features={"edges"})
def gin(
    data: Data,
    *,
    seed: int,
    layers: PositiveInt = 3,
    width: PositiveInt = 20,
    epochs: PositiveInt = 25,
    progress: Progress | None = None,
) -> nn.Module:
    """Graph isomorphism network (Xu et al. 2019) on an undirected graph, the graph is classified.

    A layer adds the states of a node's neighbours to its own, and applies two linear layers, each followed by batch
    normalisation over nodes and ReLU. The head reads the mean and the largest value of every unit over the nodes. With
    layer normalisation, or none, training stays at chance on many seeds of `ba2motifs`.

    Parameters
    ----------
    data : Data
    seed : int
    layers, width, epochs : int
    """
    n_features = int(data.train_context["x"].shape[2])

    def build() -> nn.Module:
        return GIN(n_features, data.n_classes, layers, width)

    return train_graphs(build, data, seed=seed, epochs=epochs, learning_rate=8e-3, progress=progress)


def aggregate(hidden: Tensor, w: Tensor, src: Tensor, dst: Tensor) -> Tensor:
    """Sum over the edges that end at a node of weight times state of the edge's other end.

    Parameters
    ----------
    hidden : Tensor (B, n, H)
    w : Tensor (B, E)
    src, dst : Tensor (B, E) of int64

    Returns
    -------
    Tensor (B, n, H)
    """
    b, n, _ = hidden.shape
    if n <= DENSE:
        cells = (dst * n + src).expand(b, -1)
        adjacency = w.new_zeros(b, n * n).scatter_add(1, cells, w)
        return adjacency.view(b, n, n) @ hidden
    return send(hidden, w, src, dst)


class GraphConvLayer(nn.Module):
    """``relu(W h + V aggregate(h))``."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.own = nn.Linear(before, after)
        self.neighbours = nn.Linear(before, after, bias=False)
        self.relu = nn.ReLU()

    def forward(self, hidden: Tensor, w: Tensor, src: Tensor, dst: Tensor) -> Tensor:
        new: Tensor = self.relu(self.own(hidden) + self.neighbours(aggregate(hidden, w, src, dst)))
        return new


class GraphConvNet(nn.Module):
    """Logits (B, C) of the target node of every graph; see `graph_conv`."""

    def __init__(self, n_features: int, n_classes: int, layers: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GraphConvLayer(width if k else n_features, width) for k in range(layers))
        self.head = nn.Linear(layers * width, n_classes)

    def states(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        """States of all layers (B, n, layers * width)."""
        hidden, found = x, []
        for layer in self.layers:
            hidden = layer(hidden, w, src, dst)
            found.append(hidden)
        return torch.cat(found, dim=-1)

    def embed(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor, target: Tensor) -> Tensor:
        """What the head reads of every node (B, n, layers * width)."""
        return self.states(w, src, dst, x)

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor, target: Tensor) -> Tensor:
        states = self.states(w, src, dst, x)
        logits: Tensor = self.head(states[torch.arange(len(states), device=states.device), target])
        return logits

    def of_all_nodes(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        """Logits (B, n, C) of every node."""
        logits: Tensor = self.head(self.states(w, src, dst, x))
        return logits


class GINLayer(nn.Module):
    """Two linear layers with batch normalisation and ReLU, on the sum of a node's state and its neighbours'."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(before, after),
            nn.BatchNorm1d(after),
            nn.ReLU(),
            nn.Linear(after, after),
            nn.BatchNorm1d(after),
            nn.ReLU(),
        )

    def forward(self, hidden: Tensor, w: Tensor, src: Tensor, dst: Tensor, nodes: Tensor) -> Tensor:
        """New states (B, n, H); 0 of nodes that are absent."""
        summed = hidden + aggregate(hidden, w, src, dst) + aggregate(hidden, w, dst, src)
        # Absent nodes must not count in the statistics of training.
        found = self.mlp(summed[nodes])
        new: Tensor = found.new_zeros(*nodes.shape, found.shape[1]).masked_scatter(nodes.unsqueeze(-1), found)
        return new


class GIN(nn.Module):
    """Logits (B, C) of graphs; see `gin`. Edges of weight 0 and absent nodes change nothing."""

    def __init__(self, n_features: int, n_classes: int, layers: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GINLayer(width if k else n_features, width) for k in range(layers))
        self.head = nn.Linear(2 * width, n_classes)

    def embed(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor) -> Tensor:
        """States of the nodes after the last layer (B, n, width)."""
        hidden = x
        for layer in self.layers:
            hidden = layer(hidden, w, src, dst, nodes)
        return hidden

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor) -> Tensor:
        hidden = self.embed(w, src, dst, x, nodes)
        mean = hidden.sum(dim=1) / nodes.sum(dim=1, keepdim=True)
        # States are at least 0, so that an absent node never has the largest one.
        largest = hidden.amax(dim=1)
        logits: Tensor = self.head(torch.cat([mean, largest], dim=1))
        return logits
