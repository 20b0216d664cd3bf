"""Attention itself as an explanation: of the last layer, and the mean over all layers."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.attention import AttentionPass
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.attention_scores import explain_places, flow_to_read_places


@explainer("attention_last", kind="saliency", needs={"text", "attention"}, follows_outputs=False)
def attention_last(problem: ProblemView) -> Tensor:
    """Where the place that the head reads looks in the last layer (Jain & Wallace 2019).

    The mean over heads of the last attention, in the row of the place that is read: that of ``[CLS]``, of the last
    token in a decoder, the mean over rows where the head takes the mean. What goes to tokens that stand around a text
    is dropped, and nothing is renormalised. Attention says where a model looks, and not what it needs: nothing about
    it depends on the output that is explained.

    Returns
    -------
    Tensor (N, *feature_shape)
        At least 0; a word has the sum of its pieces.
    """
    return explain_places(problem, _last)


@explainer("attention_mean", kind="saliency", needs={"text", "attention"}, follows_outputs=False)
def attention_mean(problem: ProblemView) -> Tensor:
    """Attention that a token gets, as the mean over layers, heads and the places that look (Jain & Wallace 2019).

    Returns
    -------
    Tensor (N, *feature_shape)
        At least 0; a word has the sum of its pieces. Nothing about it depends on the output that is explained.
    """
    return explain_places(problem, _mean)


def _last(_problem: ProblemView, found: AttentionPass) -> Tensor:
    weights = found.layers[-1].weights.detach().mean(dim=1)
    return flow_to_read_places(found, weights)


def _mean(_problem: ProblemView, found: AttentionPass) -> Tensor:
    return torch.stack([layer.weights.detach().mean(dim=(1, 2)) for layer in found.layers]).mean(dim=0)
