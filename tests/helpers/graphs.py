"""Small graphs and a network of graphs, written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Graph = dict[str, np.ndarray]


def send(h: Tensor, w: Tensor, src: Tensor, dst: Tensor) -> Tensor:
    """Sum (N, n, F) of what every node is sent along the edges, from src to dst, times the weights."""
    index = dst.unsqueeze(2).expand(-1, -1, h.shape[2])
    messages = h.gather(1, src.unsqueeze(2).expand_as(index)) * w.unsqueeze(2)
    return torch.zeros_like(h).scatter_add(1, index, messages)


class SumNet(nn.Module):
    """Two layers of own features plus the sum of the neighbours', and logits of the sum over nodes."""

    def __init__(self, n_inputs: int = 3, hidden: int = 8, n_classes: int = 2, *, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(n_inputs, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.head = nn.Linear(hidden, n_classes)
        self.act = nn.Tanh()
        self.eval()

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor) -> Tensor:
        h = x
        for layer in (self.first, self.second):
            h = self.act(layer(h + send(h, w, src, dst) + send(h, w, dst, src)))
        found: Tensor = self.head(h.sum(dim=1))
        return found


class NodeNet(SumNet):
    """The same of node features: the graph is context."""

    def forward(self, x: Tensor, w: Tensor, src: Tensor, dst: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(w, src, dst, x)


def random_graph(rng: np.random.Generator, n_nodes: int, n_edges: int, n_features: int = 3) -> Graph:
    """A simple graph without self-loops, each edge once, with features from N(0, 1)."""
    pairs = np.array([(a, b) for a in range(n_nodes) for b in range(a + 1, n_nodes)])
    chosen = pairs[rng.choice(len(pairs), n_edges, replace=False)]
    return {
        "w": np.ones(n_edges, np.float32),
        "src": chosen[:, 0].astype(np.int64),
        "dst": chosen[:, 1].astype(np.int64),
        "x": rng.standard_normal((n_nodes, n_features)).astype(np.float32),
    }


def lists(graphs: list[Graph]) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Weights and context of graphs as lists with an array for every graph."""
    return [g["w"] for g in graphs], {name: [g[name] for g in graphs] for name in ("src", "dst", "x")}


def sample(seed: int = 0, n: int = 5) -> list[Graph]:
    """Graphs of different numbers of nodes and edges, two of them of equal size."""
    rng = np.random.default_rng(seed)
    sizes = [(5, 6), (7, 9), (5, 6), (4, 3), (7, 6)][:n]
    return [random_graph(rng, nodes, edges) for nodes, edges in sizes]
