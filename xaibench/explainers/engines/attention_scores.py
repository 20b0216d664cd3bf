"""Explanations by scores of the places of a sequence, made of its attention and summed over the pieces of a word."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xaibench.core.attention import AttentionPass, attention_passes
from xaibench.core.problem import ProblemView

ScorePlaces = Callable[[ProblemView, AttentionPass], Tensor]
"""Scores (B, m) of the places of a pass over some samples; the view is that of these samples."""


def explain_places(problem: ProblemView, score: ScorePlaces) -> Tensor:
    """Maps (N, *feature_shape) of scores of places; what stands around a text is dropped."""
    n = problem.layout.n_features
    maps = torch.zeros(len(problem), n, dtype=problem.inputs.dtype, device=problem.inputs.device)
    for found in attention_passes(problem):
        scores = score(problem.take(found.rows), found).detach()
        maps[found.rows] = found.per_feature(scores, n).to(maps)
    return maps.view(len(problem), *problem.layout.feature_shape)


def explained_output(view: ProblemView, found: AttentionPass) -> Tensor:
    """The explained output (B,) of a pass, differentiable."""
    return view.select(found.raw)


def flow_to_read_places(found: AttentionPass, flow: Tensor) -> Tensor:
    """The rows (B, m) of a flow (B, m, m) between places that the head reads."""
    return (found.read_places().to(flow).unsqueeze(1) @ flow).squeeze(1)


def identity(found: AttentionPass) -> Tensor:
    """Identity (B, m, m) in the number type of the attention."""
    weights = found.layers[0].weights
    m = weights.shape[-1]
    return torch.eye(m, dtype=weights.dtype, device=weights.device).expand(len(weights), m, m)
