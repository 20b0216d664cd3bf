"""Placebos of texts: maps that know words and places, and nothing of what the model does with them."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer


@explainer("embedding_norm", kind="saliency", needs={"text", "gradients"}, control=True)
def embedding_norm(problem: ProblemView) -> Tensor:
    """Length of the embedding of every token: it looks at the table, and at nothing that comes after it.

    Words that decide tend to have long vectors after training, so that this map may look like an explanation. Lengths
    that differ by less than a millionth of the text's largest one are equal, so that rounding orders nothing.
    """
    norms = problem.layout.reduce(problem.inputs.nan_to_num(0.0).square()).sqrt()
    largest = norms.amax(dim=1, keepdim=True).clamp(min=torch.finfo(norms.dtype).tiny)
    return (norms / largest).round(decimals=6) * largest


@explainer("token_frequency", kind="saliency", needs={"text", "background"}, control=True)
def token_frequency(problem: ProblemView, *, rare: bool = False) -> Tensor:
    """How often each token is in the reference texts, as a share of their tokens.

    Words that are planted are frequent words. Without reference texts all tokens are alike.

    Parameters
    ----------
    rare : bool
        One minus the share: the rarest tokens have the highest values.
    """
    shares = _shares(problem)
    return 1 - shares if rare else shares


@explainer("token_position", kind="saliency", needs={"text"}, control=True)
def token_position(problem: ProblemView, *, last: bool = False) -> Tensor:
    """Nearness to the beginning of the text: 1 for the first token, 1 / n for the last of n.

    Parameters
    ----------
    last : bool
        Nearness to the end instead.
    """
    n = problem.layout.feature_shape[0]
    nearness = torch.arange(n, 0, -1, device=problem.inputs.device, dtype=torch.float32) / n
    return (nearness.flip(0) if last else nearness).expand(len(problem), n).clone()


def _shares(problem: ProblemView) -> Tensor:
    """Share (N, n) of the tokens of the reference texts that are the token in each place."""
    own = problem.layout.by_feature(problem.inputs.nan_to_num(0.0))
    found = torch.zeros(own.shape[:2], device=own.device)
    if problem.pool is None:
        return found
    pool = problem.pool.nan_to_num(0.0).flatten(1).to(own)
    width = max(pool.shape[1], own.shape[2])
    pool, own = (torch.nn.functional.pad(part, (0, width - part.shape[-1])) for part in (pool, own))
    kinds, number = torch.unique(torch.cat([pool, own.flatten(0, 1)]), dim=0, return_inverse=True)
    counts = torch.bincount(number[: len(pool)], minlength=len(kinds))
    return (counts[number[len(pool) :]] / len(pool)).view_as(found)
