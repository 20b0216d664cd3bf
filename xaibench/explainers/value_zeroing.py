"""Value zeroing: how much every place changes in a block when the values of another one are set to zero."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.attention import AttentionLayer, AttentionPass, attention_pass
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.attention_scores import explain_places, flow_to_read_places, identity

NOT_MOVED = 1e-12
"""Rows whose distances add up to no more have not moved but for rounding."""


@explainer("value_zeroing", kind="saliency", needs={"text", "attention"}, follows_outputs=False)
def value_zeroing(problem: ProblemView) -> Tensor:
    """Cosine distance of block outputs with and without the values of a place (Mohebbi et al. 2023, Eqs. 2 to 4).

    In every block the values of place j are set to 0 in all heads, while the attention stays:
    ``C_ij = 1 - cos(output_i, output_i without j)``, with rows that sum to 1. The product of these matrices through the
    layers, in the row of the place that the head reads (their mean for a mean over places). Rows in which nothing moved
    stay 0. Nothing about it depends on the output that is explained.

    Returns
    -------
    Tensor (N, *feature_shape)
        At least 0; a word has the sum of its pieces.

    Raises
    ------
    UnsupportedError
        If attention is computed outside of a block; see `xaibench.core.attention`.

    Notes
    -----
    As many passes of every block as there are places, one sample at a time.
    """
    return explain_places(problem, _zeroing)


def _zeroing(view: ProblemView, found: AttentionPass) -> Tensor:
    model = require_module(view.model)
    scores = []
    for row in range(len(view)):
        one = slice(row, row + 1)
        own = view.take(one)
        alone = attention_pass(model, own.inputs, own.context, found.rows[one], found.features[one])
        flow = identity(alone)
        for layer in alone.layers:
            flow = _distances(layer) @ flow
        scores.append(flow_to_read_places(alone, flow))
    return torch.cat(scores)


def _distances(layer: AttentionLayer) -> Tensor:
    """How far every place (1, m, m) moves without the values of each, in shares of what it moves in all."""
    m = layer.weights.shape[-1]
    kept = torch.ones(m + 1, m, dtype=layer.weights.dtype, device=layer.weights.device)
    kept[:m] -= torch.eye(m, dtype=kept.dtype, device=kept.device)
    outputs = layer.again(m + 1, lambda values: values * kept[:, None, :, None].to(values))
    directions = functional.normalize(outputs.double(), dim=2)
    # 1 - cos of two directions, without the rounding of a difference from 1.
    moved = (directions[:m] - directions[m]).square().sum(dim=2).T / 2
    total = moved.sum(dim=1, keepdim=True)
    return torch.where(total > NOT_MOVED, moved / total.clamp(min=NOT_MOVED), 0).to(kept).unsqueeze(0)
