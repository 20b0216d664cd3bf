"""Maskers of graphs: what stands in the place of an edge, a node or a feature of a node that is removed."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout

_OF_NODES = ("zero", "mean", "marginal")


def graph_fill(name: str, inputs: Tensor, layout: FeatureLayout, pool: Tensor | None, draws: Draws) -> Tensor:
    """Inputs (N, *input_shape) with every edge, or every row of node features, removed.

    An edge is removed by the weight 0, with its ends left in place. Node features take ``zero``, ``mean`` (the column's
    mean over the nodes of the reference samples; without any, of the graph itself) and ``marginal`` (the row of a node
    of the reference samples, drawn for every node).

    Parameters
    ----------
    name : str
    inputs : Tensor (N, E) of weights, or (N, n, F) of node features
    layout : FeatureLayout
    pool : Tensor (M, F) or None
        Nodes of the reference samples.
    draws : Draws

    Raises
    ------
    UnsupportedError
        If the masker has no meaning for graphs, or needs reference samples that are not there.
    """
    if layout.kind == "edges":
        if name != "zero":
            raise UnsupportedError(
                f"the {name} masker is not defined for edges: an edge is there or it is not", 'say masker="zero"'
            )
        return torch.zeros_like(inputs)
    if name == "zero":
        return torch.zeros_like(inputs)
    if name == "mean":
        means = inputs.mean(dim=1, keepdim=True) if pool is None else pool.to(inputs).mean(dim=0)
        return means.expand_as(inputs).clone()
    if name == "marginal":
        if pool is None:
            raise UnsupportedError("the marginal masker needs reference samples", "pass background=, graphs")
        return pool.to(inputs)[draws.integers(len(pool), (inputs.shape[1],))]
    raise UnsupportedError(
        f"the {name} masker is not defined for features of nodes", f"there are {', '.join(_OF_NODES)}"
    )
