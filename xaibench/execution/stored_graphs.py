"""What a report needs to draw graphs: ends of edges, numbers of edges and nodes, the target, a class of every node."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from xaibench.core.features import GRAPH_KINDS
from xaibench.core.graphs import TARGET_NODE, edge_counts, node_counts
from xaibench.core.problem import Samples

NO_TARGET = -1


def graph_structure(samples: Samples, rows: Tensor) -> dict[str, Tensor]:
    """The structure of some of the samples, by name; empty for other data.

    Returns
    -------
    dict of str to Tensor
        ``src``, ``dst`` (n, E), ``edges``, ``nodes`` (n,), ``target`` (n,), -1 where the output is that of the whole
        graph, and ``classes`` (n, n_nodes): which feature of a node is 1, where one of several is; -1 elsewhere.
    """
    if samples.layout.kind not in GRAPH_KINDS or "src" not in samples.context:
        return {}
    context: Mapping[str, Tensor] = {name: values[rows] for name, values in samples.context.items()}
    inputs, kind = samples.inputs[rows], samples.layout.kind
    nodes = node_counts(kind, inputs, context)
    if int(nodes.max()) == 0:
        nodes = torch.maximum(context["src"], context["dst"]).amax(dim=1) + 1
    x = context.get("x") if kind == "edges" else inputs
    found = {
        "src": context["src"],
        "dst": context["dst"],
        "edges": edge_counts(kind, inputs, context),
        "nodes": nodes,
        "target": context.get(TARGET_NODE, torch.full((len(inputs),), NO_TARGET)).view(-1),
        "classes": torch.full((len(inputs), int(nodes.max())), NO_TARGET) if x is None else _classes(x, nodes),
    }
    return {name: values.to(torch.int32).cpu().contiguous() for name, values in found.items()}


def _classes(x: Tensor, nodes: Tensor) -> Tensor:
    """Which of several features is 1 at every node (n, n_nodes), -1 where they are not one-hot."""
    there = torch.arange(x.shape[1], device=x.device) < nodes.unsqueeze(1)
    one_hot = ((x == 0) | (x == 1)).all(dim=2) & (x.sum(dim=2) == 1)
    whole = (one_hot | ~there).all() & torch.tensor(x.shape[2] > 1)
    return torch.where(whole & there, x.argmax(dim=2), NO_TARGET)
