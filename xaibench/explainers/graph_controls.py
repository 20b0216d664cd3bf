"""Placebos of graphs: what the structure, the node features and the order of the list say without the model."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.graph_structure import GraphStructure

Damping = Annotated[float, Ge(0), Lt(1)]


def structure_of(problem: ProblemView) -> GraphStructure:
    """The graphs of a group."""
    return GraphStructure.of(problem.context, problem.inputs, problem.layout)


@explainer("degree", kind="saliency", needs={"graph"}, control=True)
def degree(problem: ProblemView) -> Tensor:
    """Sum of the degrees of an edge's ends, or the degree of a node: from the structure, not from the model.

    A self-loop counts twice at its node.
    """
    found = structure_of(problem)
    return found.of_features(found.degrees(), problem.layout)


@explainer("negative_degree", kind="contribution", needs={"graph"}, control=True)
def negative_degree(problem: ProblemView) -> Tensor:
    """Minus `degree`: motifs that are attached to a graph of hubs have low degrees, and this finds them."""
    return -degree(problem)


@explainer("pagerank", kind="saliency", needs={"graph"}, control=True)
def pagerank(
    problem: ProblemView, *, damping: Damping = 0.85, steps: PositiveInt = 30, directed: bool = False
) -> Tensor:
    """Sum of the PageRanks of an edge's ends, or that of a node (Page et al. 1999), by power steps.

    Of a node task it is personalised: the walk restarts at the target node and goes against the messages.

    Parameters
    ----------
    damping : float
        Chance that the walk goes on.
    steps : int
        Power steps.
    directed : bool
        Whether the walk follows one direction of an edge only; by default both.
    """
    found = structure_of(problem)
    return found.of_features(found.page_ranks(damping, steps, directed=directed), problem.layout)


@explainer("distance", kind="saliency", needs={"graph"}, control=True)
def distance(problem: ProblemView, *, directed: bool = False) -> Tensor:
    """``1 / (1 + hops)`` from the nearer end of an edge, or from a node, to the target node of a node task.

    Parameters
    ----------
    directed : bool
        Whether hops follow the messages, from ``src`` to ``dst``; the end of an edge is then ``dst``.

    Raises
    ------
    UnsupportedError
        If the output is that of the whole graph: no context ``target`` names a node.
    """
    found = structure_of(problem)
    hops = found.hops(directed=directed)
    if directed and problem.layout.kind == "edges":
        return 1 / (1 + hops.gather(1, found.dst))
    return 1 / (1 + found.of_features(hops, problem.layout, "nearest"))


@explainer("source_feature", kind="saliency", needs={"graph"}, control=True)
def source_feature(problem: ProblemView, *, of: Literal["source", "contrast"] = "source") -> Tensor:
    """How unusual the features of an edge's source are, or how much those of its ends differ.

    The Euclidean distance of the source's features from the mean over the nodes of its graph, or from the features of
    the edge's other end; of a node problem that of the node itself from the mean.

    Parameters
    ----------
    of : {"source", "contrast"}
        Undirected edges have no source but the end that is written first: take the contrast there.

    Raises
    ------
    UnsupportedError
        If nodes have no features.
    """
    layout, found = problem.layout, structure_of(problem)
    x = problem.context.get("x") if layout.kind == "edges" else problem.inputs
    if x is None:
        raise UnsupportedError("nodes have no features", "graphs have them as context 'x' (N, n, F)")
    x = x.float()
    unusual: Tensor = torch.linalg.vector_norm(x - x.mean(dim=1, keepdim=True), dim=2)
    if layout.kind != "edges":
        return found.of_features(unusual, layout)
    if of == "source":
        return unusual.gather(1, found.src)
    source, other = (x.gather(1, e.unsqueeze(2).expand(-1, -1, x.shape[2])) for e in (found.src, found.dst))
    contrast: Tensor = torch.linalg.vector_norm(source - other, dim=2)
    return contrast


@explainer("position", kind="saliency", needs={"graph"}, control=True)
def position(problem: ProblemView) -> Tensor:
    """Place in the list of edges or nodes, from 0 to 1: it finds a motif that a generator has written last.

    Where lists are permuted it is worth as much as `random`.
    """
    shape = problem.layout.feature_shape
    place = torch.arange(1, shape[0] + 1, device=problem.inputs.device, dtype=torch.float32) / shape[0]
    return place.view(1, shape[0], *(1,) * (len(shape) - 1)).repeat(len(problem), 1, *shape[1:])
