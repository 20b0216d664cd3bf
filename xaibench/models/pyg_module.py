"""A torch_geometric model as a module of edge weights: a batch of graphs becomes one graph with offsets."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError, UsageError

Weighting = Literal["argument", "message", "none"]
"""Where the weight of an edge goes: to an argument of forward, onto the messages, or nowhere, edges being left out."""
KNOWN = ("x", "edge_index", "edge_attr", "batch", "batch_size")
"""Arguments of a model's forward that can be filled, beside that for the weights of edges."""


class PyGModule(nn.Module):
    """Outputs (B, C) of graphs whose edges have weights; see `xaibench.from_pyg`.

    Parameters
    ----------
    model : torch.nn.Module
        Of torch_geometric.
    weighting : {"argument", "message", "none"}
    argument : str
        Name of the argument of the model's forward that takes the weights.
    node_task : bool
        The model returns a row per node, and that of ``target`` is read.
    """

    def __init__(self, model: nn.Module, weighting: Weighting, argument: str, *, node_task: bool) -> None:
        super().__init__()
        self.model = model
        self.weighting: Weighting = weighting
        self.argument = argument
        self.node_task = node_task
        self.takes = forward_arguments(model, argument, node_task=node_task)

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor, **beside: Tensor) -> Tensor:
        big = _BigGraph(w, src, dst, x, nodes, beside, drop=self.weighting == "none")
        out = self._called(big)
        if self.node_task:
            return out[big.first + beside["target"]]
        return out

    def embed(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor, **beside: Tensor) -> Tensor:
        """States of the nodes (B, n, h) after the last layer that passes messages."""
        from torch_geometric.nn import MessagePassing

        big = _BigGraph(w, src, dst, x, nodes, beside, drop=self.weighting == "none")
        layers = [layer for layer in self.model.modules() if isinstance(layer, MessagePassing)]
        if not layers:
            raise UnsupportedError("the model has no layer that passes messages, and so no states of nodes")
        found: list[Tensor] = []
        handle = layers[-1].register_forward_hook(lambda _layer, _given, out: found.append(out))
        try:
            self._called(big)
        finally:
            handle.remove()
        states = x.new_zeros(*nodes.shape, found[-1].shape[-1])
        states[nodes] = found[-1]
        return states

    def _called(self, big: _BigGraph) -> Tensor:
        """What the model returns for the big graph."""
        given: dict[str, Any] = {"x": big.x, "edge_index": big.edge_index}
        if "edge_attr" in self.takes:
            given["edge_attr"] = big.edge_attr
        if "batch" in self.takes:
            given["batch"] = big.batch
        if "batch_size" in self.takes:
            given["batch_size"] = big.n_graphs
        if self.argument in self.takes:
            given[self.argument] = big.weights if self.weighting == "argument" else big.base_weights
        if "data" in self.takes:
            from torch_geometric.data import Data

            data = Data(**given, num_nodes=len(big.x))
            data.batch = big.batch
            given = {"data": data}
        with _on_messages(self.model, big) if self.weighting == "message" else _nothing():
            out: Tensor = self.model(**given)
        rows = len(big.x) if self.node_task else big.n_graphs
        if not isinstance(out, Tensor) or len(out) != rows:
            shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            what = "nodes" if self.node_task else "graphs"
            raise UsageError(
                f"the model returned {shape} for {rows} {what}",
                "a row for every node" if self.node_task else "a row for every graph, by pooling over batch",
            )
        return out


class _BigGraph:
    """A batch of graphs as one, in the form of torch_geometric."""

    def __init__(
        self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, nodes: Tensor, beside: dict[str, Tensor], *, drop: bool
    ) -> None:
        there = nodes.flatten()
        number = (there.cumsum(0) - 1).view_as(nodes)
        self.n_graphs = len(w)
        self.x = x.flatten(0, 1)[there]
        self.batch = torch.arange(len(w), device=w.device).repeat_interleave(nodes.sum(dim=1))
        self.first = number[:, 0]
        u, v = number.gather(1, src), number.gather(1, dst)
        ends = torch.stack([torch.stack([u, v], dim=-1), torch.stack([v, u], dim=-1)], dim=2)
        both = beside["edge_both"].bool()
        used = torch.stack([torch.ones_like(both), both], dim=-1)
        if drop:
            if w.requires_grad:
                raise UnsupportedError(
                    "edges are left out of the list, so that the model has no gradient with respect to their weights"
                )
            if bool(((w != 0) & (w != 1)).any()):
                raise UnsupportedError(
                    "the model takes whole edges only, and the weight of one is neither 0 nor 1",
                    "let its forward take edge_weight, or explain by removal",
                )
            used = used & (w != 0).unsqueeze(-1)
        # Of both directions of an edge, one after the other: (B, E, direction, end) to (2, edges).
        self.edge_index = ends[used].t()
        per_edge = w.unsqueeze(-1).expand(*w.shape, 2)
        given = beside.get("edge_given_weight")
        ones = torch.ones_like(per_edge)
        self.base_weights = (ones if given is None else given)[used]
        self.weights = (per_edge if given is None else per_edge * given)[used]
        self.masks = per_edge[used]
        attributes = beside.get("edge_attributes")
        self.edge_attr = None if attributes is None else attributes[used]


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _on_messages(model: nn.Module, big: _BigGraph) -> Iterator[None]:
    """Multiply the messages of every layer by the weights of the edges, as torch_geometric's explainers do."""
    from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

    set_masks(model, big.masks, big.edge_index, apply_sigmoid=False)
    try:
        yield
    finally:
        clear_masks(model)


def forward_arguments(model: nn.Module, argument: str, *, node_task: bool) -> frozenset[str]:
    """Names of the arguments of a model's forward that are filled.

    Raises
    ------
    UsageError
        If it wants something that is not known, or a model of graphs does not take ``batch``.
    """
    parameters = inspect.signature(model.forward).parameters.values()
    named = {p.name: p.default is p.empty for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    if list(named)[:1] == ["data"]:
        return frozenset({"data", "edge_attr", argument})
    unknown = [name for name, wanted in named.items() if wanted and name not in (*KNOWN, argument)]
    if unknown:
        raise UsageError(
            f"the forward of the model takes {unknown[0]!r}, which is not known here",
            f"known: {', '.join((*KNOWN, argument))}, or one argument data; wrap the model in one that takes these",
        )
    for name in ("x", "edge_index", *(() if node_task else ("batch",))):
        if name not in named:
            hint = "let it take batch and pool over it, as global_add_pool(x, batch) does"
            raise UsageError(f"the forward of the model does not take {name!r}", hint if name == "batch" else None)
    return frozenset(named) & {*KNOWN, argument}
