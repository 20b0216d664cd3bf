"""Graphs as samples: lists of edges with a context, how many edges and nodes exist, and what belongs to each of them.

A problem explains one kind of feature. For ``edges`` the input is the weight of every edge ``w`` (N, E), 1 where the
edge is there; for ``nodes`` and ``node_features`` it is the features of the nodes ``x`` (N, n, F). The rest of the
graph is context, which is never perturbed or ranked:

- ``src``, ``dst`` (N, E) of int64: the ends of the edges; messages go from ``src`` to ``dst``, and a model of
  undirected graphs sends them both ways. An undirected edge is one feature.
- ``x`` (N, n, F), or ``w`` (N, E) where nodes are explained, and other names that begin with ``edge_`` or ``node_``.
- ``nodes`` (N, n) of bool: the nodes that exist, the first ones of a row.
- ``target`` (N,) of int64, of node tasks: the node whose output is explained. Other names belong to the whole graph.

Rows are as long as the largest graph. Edges behind the last one of weight above 0 do not exist, and no explainer and no
metric sees them: graphs of equal numbers of edges and of nodes are explained together (see `xaibench.core.groups`).
Removing an edge is setting its weight to 0, with its ends left in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from xaibench.core.draws import keyed_generator
from xaibench.core.errors import DataError
from xaibench.core.features import GRAPH_KINDS
from xaibench.core.keys import sample_digests
from xaibench.core.types import Array

EDGE_COUNTS, NODE_COUNTS = "_n_edges", "_n_nodes"
"""Context (N,) with the sizes of graphs where neither weights nor a mask ``nodes`` say them; no model is given it."""
TARGET_NODE = "target"
"""Context (N,) with the node whose output is explained; only node tasks have it."""
_OF_EDGES, _OF_NODES = ("src", "dst", "w"), ("x", "nodes")


def belongs_to(name: str) -> str:
    """Whether a context of this name has a number per ``edges``, per ``nodes``, or per ``graph``."""
    if name in _OF_EDGES or name.startswith("edge_"):
        return "edges"
    return "nodes" if name in _OF_NODES or name.startswith("node_") else "graph"


def edge_counts(kind: str, inputs: Any, context: Mapping[str, Any]) -> Any:
    """Edges of every graph (N,): up to the last one of weight above 0; without weights, all of them.

    Parameters
    ----------
    kind : {"edges", "nodes", "node_features"}
    inputs : array or Tensor (N, *input_shape)
    context : mapping of str to array or Tensor (N, ...)
    """
    if EDGE_COUNTS in context:
        return context[EDGE_COUNTS]
    weights = inputs if kind == "edges" else context.get("w")
    if weights is None:
        return _all_of(inputs, context["src"].shape[1] if "src" in context else 0)
    return _last(weights != 0)


def node_counts(kind: str, inputs: Any, context: Mapping[str, Any]) -> Any:
    """Nodes of every graph (N,): those of the mask ``nodes``, without one all that rows have room for."""
    if NODE_COUNTS in context:
        return context[NODE_COUNTS]
    if "nodes" in context:
        return _last(context["nodes"] != 0)
    rows = context.get("x") if kind == "edges" else inputs
    return _all_of(inputs, 0 if rows is None else rows.shape[1])


def _all_of(rows: Any, n: int) -> Any:
    """The number ``n`` for every row (N,), in the library of the rows."""
    return np.full(len(rows), n) if isinstance(rows, np.ndarray) else rows.new_full((len(rows),), n, dtype=torch.int64)


def _last(there: Any) -> Any:
    """Place behind the last True of every row of (N, L), 0 where there is none."""
    length = there.shape[1]
    if isinstance(there, np.ndarray):
        return (there * np.arange(1, length + 1)).max(axis=1, initial=0)
    places = there * torch.arange(1, length + 1, device=there.device)
    return places.amax(dim=1) if length else places.sum(dim=1)


def graph_sizes(kind: str, inputs: Any, context: Mapping[str, Any]) -> tuple[Any, Any]:
    """Features along the first axis of every sample (N,), and how many there are of the other: nodes, or edges."""
    edges, nodes = edge_counts(kind, inputs, context), node_counts(kind, inputs, context)
    return (edges, nodes) if kind == "edges" else (nodes, edges)


def cut_graphs(context: Mapping[str, Any], kind: str, size: int, other: int) -> dict[str, Any]:
    """The context of graphs with ``size`` features and ``other`` nodes (of edge problems) or edges, without padding."""
    edges, nodes = (size, other) if kind == "edges" else (other, size)
    lengths = {"edges": edges, "nodes": nodes}
    return {
        name: values if belongs_to(name) == "graph" else values[:, : lengths[belongs_to(name)]]
        for name, values in context.items()
        if name not in (EDGE_COUNTS, NODE_COUNTS)
    }


def cut_sample(context: Mapping[str, Any], row: int, inputs: Any, kind: str) -> dict[str, Any]:
    """The context of a single sample; of graphs without padding, of other kinds as it is."""
    one = slice(row, row + 1)
    own = {name: values[one] for name, values in context.items()}
    if kind not in GRAPH_KINDS:
        return own
    size, other = graph_sizes(kind, inputs[one], own)
    return cut_graphs(own, kind, int(size[0]), int(other[0]))


def graph_digests(kind: str, inputs: Array, context: Mapping[str, Array]) -> tuple[bytes, ...]:
    """Identity of every graph: of what exists of it, so that it is the same alone and padded to the size of others."""
    sizes = graph_sizes(kind, inputs, context)[0].tolist()
    found = (sample_digests(inputs[i : i + 1, :n], cut_sample(context, i, inputs, kind)) for i, n in enumerate(sizes))
    return tuple(digest for (digest,) in found)


def adjacency_bytes(inputs: Any, context: Mapping[str, Any]) -> int:
    """Bytes of a dense adjacency matrix of one graph, which a forward pass may make out of sight; 0 without edges."""
    if "src" not in context:
        return 0
    n_nodes = context["x"].shape[1] if "x" in context else inputs.shape[1]
    return int(4 * n_nodes**2)


def check_graphs(kind: str, inputs: Array, context: Mapping[str, Array], where: str) -> None:
    """Raise DataError if these are not graphs: lists of ends are missing, of another length, or name no node.

    Parameters
    ----------
    kind : {"edges", "nodes", "node_features"}
    inputs : array (N, *input_shape)
    context : mapping of str to array (N, ...)
    where : str
        What messages call them, such as ``train inputs``.
    """
    for name in ("src", "dst"):
        if name not in context:
            raise DataError(
                f"{where} explain {kind} and their context has no {name!r}",
                'give context={"src": ..., "dst": ...}, the ends of every edge (N, E)',
            )
    n_edges = inputs.shape[1] if kind == "edges" else context["src"].shape[1]
    for name, values in context.items():
        if belongs_to(name) == "edges" and (values.ndim < 2 or values.shape[1] != n_edges):
            raise DataError(
                f"{where} are of {n_edges} edges, and context {name!r} has shape {values.shape}",
                "give a number for every edge, in the order of the weights",
            )
    _check_masks(kind, inputs, context, where)
    sizes, others = graph_sizes(kind, inputs, context)
    what = "edges" if kind == "edges" else "nodes"
    if (sizes == 0).any():
        raise DataError(
            f"sample {int((sizes == 0).argmax())} of the {where} has no {what}, so there is nothing to explain",
            "leave such graphs out",
        )
    edges, nodes = (sizes, others) if kind == "edges" else (others, sizes)
    _check_ends(context, edges, nodes, where, known="x" in context or "nodes" in context or kind != "edges")


def _check_masks(kind: str, inputs: Array, context: Mapping[str, Array], where: str) -> None:
    """Raise DataError if nodes do not come first in their rows, or node arrays differ in length."""
    lengths = {name: values.shape[1] for name, values in context.items() if belongs_to(name) == "nodes"}
    lengths |= {} if kind == "edges" else {"the inputs": inputs.shape[1]}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} of {length}" for name, length in sorted(lengths.items()))
        raise DataError(f"{where} have different numbers of nodes: {said}", "give a row for every node, in one order")
    mask = context.get("nodes")
    if mask is not None and ((mask != 0).sum(axis=1) != _last(mask != 0)).any():
        raise DataError(f"the mask 'nodes' of the {where} has gaps", "put the nodes that exist first")


def _check_ends(context: Mapping[str, Array], edges: Array, nodes: Array, where: str, *, known: bool) -> None:
    """Raise DataError if an end of an edge that exists is not the number of a node."""
    for name in ("src", "dst"):
        ends = context[name]
        if ends.dtype.kind not in "iu":
            raise DataError(f"context {name!r} of the {where} is {ends.dtype}", "nodes are whole numbers from 0")
        exists = np.arange(ends.shape[1]) < edges[:, None]
        wrong = exists & ((ends < 0) | ((ends >= nodes[:, None]) if known else False))
        if wrong.any():
            row, place = (int(i) for i in np.argwhere(wrong)[0])
            raise DataError(
                f"edge {place} of sample {row} of the {where} has {name} {int(ends[row, place])}"
                + (f", and there are {int(nodes[row])} nodes" if known else ""),
                "nodes are numbered from 0",
            )


def permuted_edges(
    inputs: Array, context: Mapping[str, Array], *per_edge: Array | None, name: str = "edge order"
) -> tuple[Array, dict[str, Array], tuple[Array | None, ...]]:
    """The same graphs with the list of edges of each in an order that is drawn by what the graph is.

    Generators put the motif's edges last, and a map that is a function of the place in the list then finds them. The
    order is a draw keyed by the digest of the graph, so that it does not depend on the other graphs.

    Parameters
    ----------
    inputs : array (N, E)
        Weights of edges, 0 behind the end.
    context : mapping of str to array (N, ...)
        With ``src`` and ``dst``; what belongs to edges is permuted along.
    *per_edge : array (N, E, ...) or None
        Masks of truth and the like, permuted along.
    name : str
        Names the draw.

    Returns
    -------
    inputs, context, per_edge
        In the new order; padding stays behind the end.

    Examples
    --------
    >>> import numpy as np
    >>> from xaibench.core.graphs import permuted_edges
    >>> ends = {"src": np.arange(6)[None], "dst": np.arange(1, 7)[None]}
    >>> w, moved, (truth,) = permuted_edges(np.ones((1, 6), np.float32), ends, np.arange(6)[None])
    >>> bool((moved["src"] == truth).all()), sorted(truth[0].tolist())
    (True, [0, 1, 2, 3, 4, 5])
    """
    order = np.tile(np.arange(inputs.shape[1]), (len(inputs), 1))
    digests, counts = graph_digests("edges", inputs, context), edge_counts("edges", inputs, context)
    for row, digest, n in zip(order, digests, counts.tolist(), strict=True):
        row[:n] = keyed_generator(0, name, digest.hex()).permutation(n)

    def moved(values: Array) -> Array:
        return np.take_along_axis(values, order.reshape(*order.shape, *(1,) * (values.ndim - 2)), axis=1)

    beside = {k: moved(v) if belongs_to(k) == "edges" else v for k, v in context.items()}
    return moved(inputs), beside, tuple(None if values is None else moved(values) for values in per_edge)
