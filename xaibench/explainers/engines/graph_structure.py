"""What a graph's structure says of its nodes and edges without any model: degrees, distances, PageRank, orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.graphs import TARGET_NODE

Ends = Literal["sum", "mean", "nearest"]


@dataclass(frozen=True)
class GraphStructure:
    """Graphs of equal numbers of edges and nodes, without padding.

    Attributes
    ----------
    src, dst : Tensor (N, E) of int64
    n_nodes : int
    target : Tensor (N,) of int64 or None
        The node whose output is explained; None where it is that of the whole graph.
    """

    src: Tensor
    dst: Tensor
    n_nodes: int
    target: Tensor | None = None

    @classmethod
    def of(cls, context: Mapping[str, Tensor], inputs: Tensor, layout: FeatureLayout) -> GraphStructure:
        """The structure of samples of a group, from their context.

        Raises
        ------
        UnsupportedError
            If these are not graphs, or their context does not hold the ends of the edges.
        """
        if "src" not in context or "dst" not in context:
            raise UnsupportedError("these data have no edges", "graphs have them as context 'src' and 'dst'")
        src, dst = context["src"].long(), context["dst"].long()
        rows = inputs if layout.kind != "edges" else context.get("x", context.get("nodes"))
        n_nodes = int(torch.maximum(src.max(), dst.max())) + 1 if rows is None else rows.shape[1]
        target = context.get(TARGET_NODE)
        return cls(src, dst, n_nodes, None if target is None else target.long().view(-1))

    def zeros(self) -> Tensor:
        """A number per node (N, n), 0."""
        return torch.zeros(len(self.src), self.n_nodes, device=self.src.device)

    def degrees(self) -> Tensor:
        """Ends of edges at every node (N, n): a self-loop counts twice."""
        ones = torch.ones_like(self.src, dtype=torch.float32)
        return self.zeros().scatter_add(1, self.src, ones).scatter_add(1, self.dst, ones)

    def neighbour_means(self, values: Tensor) -> Tensor:
        """Mean (N, n) of a number per node over the node itself and its neighbours, in both directions."""
        total = values.scatter_add(1, self.dst, values.gather(1, self.src))
        return total.scatter_add(1, self.src, values.gather(1, self.dst)) / (1 + self.degrees())

    def hops(self, *, directed: bool = False) -> Tensor:
        """Edges on the shortest way from every node to the target (N, n), infinity where there is none.

        Along the messages if ``directed``, else whichever way.

        Raises
        ------
        UnsupportedError
            If the output is that of the whole graph.
        """
        if self.target is None:
            raise UnsupportedError(
                "there is no target node: the output is that of the whole graph",
                f"node tasks say it in the context {TARGET_NODE!r} (N,)",
            )
        found = torch.full_like(self.zeros(), torch.inf).scatter(1, self.target.unsqueeze(1), 0.0)
        for _ in range(self.n_nodes):
            nearer = found.scatter_reduce(1, self.src, found.gather(1, self.dst) + 1, "amin")
            if not directed:
                nearer = nearer.scatter_reduce(1, self.dst, found.gather(1, self.src) + 1, "amin")
            if torch.equal(nearer, found):
                break
            found = nearer
        return found

    def page_ranks(self, damping: float, steps: int, *, directed: bool = False) -> Tensor:
        """PageRank of every node (N, n) by power steps; see `pagerank`."""
        start = torch.full_like(self.zeros(), 1 / self.n_nodes)
        leaving, reached = self.src, self.dst
        if self.target is not None:
            start = self.zeros().scatter(1, self.target.unsqueeze(1), 1.0)
            # From the target back to what sends it messages.
            leaving, reached = self.dst, self.src
        if not directed:
            leaving, reached = torch.cat([leaving, reached], dim=1), torch.cat([reached, leaving], dim=1)
        out = self.zeros().scatter_add(1, leaving, torch.ones_like(leaving, dtype=torch.float32))
        ranks = start
        for _ in range(steps):
            sent = (ranks / out.clamp(min=1)).gather(1, leaving)
            stuck = (ranks * (out == 0)).sum(dim=1, keepdim=True)
            arrived = self.zeros().scatter_add(1, reached, sent) + stuck * start
            ranks = (1 - damping) * start + damping * arrived
        return ranks

    def of_edges(self, values: Tensor, ends: Ends = "sum") -> Tensor:
        """A number per edge (N, E) from one per node (N, n): the sum, the mean or the smaller one of both ends."""
        first, second = values.gather(1, self.src), values.gather(1, self.dst)
        if ends == "nearest":
            return torch.minimum(first, second)
        return first + second if ends == "sum" else (first + second) / 2

    def of_features(self, values: Tensor, layout: FeatureLayout, ends: Ends = "sum") -> Tensor:
        """A number per feature (N, *feature_shape) from one per node (N, n)."""
        if layout.kind == "edges":
            return self.of_edges(values, ends)
        if layout.kind == "nodes":
            return values
        return values.unsqueeze(2).expand(-1, -1, layout.feature_shape[1]).clone()

    def order(self, kind: str) -> Tensor:
        """Edges, or nodes, by distance from the target and then by degree, the smaller first (N, E or n), int64.

        By degree alone where there is no target; equal ones in the order of the list.
        """
        degrees = self.of_edges(self.degrees()) if kind == "edges" else self.degrees()
        order = degrees.argsort(dim=1, stable=True)
        if self.target is None:
            return order
        hops = self.hops()
        hops = self.of_edges(hops, "nearest") if kind == "edges" else hops
        return order.gather(1, hops.gather(1, order).argsort(dim=1, stable=True))
