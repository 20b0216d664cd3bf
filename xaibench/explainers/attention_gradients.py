"""Attention weighed by its gradient: their product, and the rules of Chefer et al. for how it flows."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.attention import AttentionPass
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.attention_scores import explain_places, explained_output, flow_to_read_places, identity


@explainer("attention_x_gradient", kind="contribution", needs={"text", "attention"})
def attention_x_gradient(problem: ProblemView) -> Tensor:
    """Attention times the gradient of the output by it, summed over layers, heads and the places that look.

    After Serrano & Smith 2019, section 4; signed. It is not complete: the values, and what goes past attention, have
    no part.

    Returns
    -------
    Tensor (N, *feature_shape)
        In units of the output; a word has the sum of its pieces.
    """
    return explain_places(problem, _product)


@explainer("generic_attention", kind="saliency", needs={"text", "attention"})
def generic_attention(problem: ProblemView) -> Tensor:
    """Positive attention times gradient, carried through the layers (Chefer et al. 2021, Eqs. 5 and 6).

    ``R = I``, then ``R = R + mean_h max(A * dA, 0) R`` for every layer; the row of the place that the head reads (their
    mean for a mean over places), without what it has of itself from the start.

    Returns
    -------
    Tensor (N, *feature_shape)
        At least 0; a word has the sum of its pieces.
    """
    return explain_places(problem, _flow)


def _product(view: ProblemView, found: AttentionPass) -> Tensor:
    slopes = found.weight_gradients(explained_output(view, found))
    parts = [(layer.weights.detach() * g).sum(dim=(1, 2)) for layer, g in zip(found.layers, slopes, strict=True)]
    return torch.stack(parts).sum(dim=0)


def _flow(view: ProblemView, found: AttentionPass) -> Tensor:
    whole = identity(found)
    flow = whole
    slopes = found.weight_gradients(explained_output(view, found))
    for layer, slope in zip(found.layers, slopes, strict=True):
        flow = flow + (layer.weights.detach() * slope).clamp(min=0).mean(dim=1) @ flow
    return flow_to_read_places(found, flow - whole)
