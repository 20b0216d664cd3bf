"""Attention rollout: attention multiplied through the layers, with the residual connection."""

from __future__ import annotations

from torch import Tensor

from xaibench.core.attention import AttentionPass
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.attention_scores import explain_places, flow_to_read_places, identity


@explainer("attention_rollout", kind="saliency", needs={"text", "attention"}, follows_outputs=False)
def attention_rollout(problem: ProblemView) -> Tensor:
    """Product over layers of attention and residual connection in equal parts (Abnar & Zuidema 2020, section 3).

    ``R = I``, then ``R = (A / 2 + I / 2) R`` for every layer, A being the mean over heads; the row of the place that
    the head reads (their mean for a mean over places). What goes to tokens that stand around a text is dropped, and
    nothing is renormalised. Nothing about it depends on the output that is explained.

    Returns
    -------
    Tensor (N, *feature_shape)
        At least 0; a word has the sum of its pieces.
    """
    return explain_places(problem, _rollout)


def _rollout(_problem: ProblemView, found: AttentionPass) -> Tensor:
    whole = identity(found)
    flow = whole
    for layer in found.layers:
        flow = (layer.weights.detach().mean(dim=1) / 2 + whole / 2) @ flow
    return flow_to_read_places(found, flow)
