"""Complexity: how few features carry an explanation. Says nothing about its truth."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric


@metric(
    "sparseness",
    family="complexity",
    higher_is_better=True,
    bounds=(0, 1),
    sign="absolute",
    source="Chalasani et al. 2020, Concise explanations of neural networks using adversarial training; Gini index",
)
def sparseness(ev: Evaluation) -> Tensor:
    """Gini index of the magnitudes: 0 when all are equal, 1 - 1/F when one of F features has everything.

    Returns
    -------
    Tensor (N,)
        NaN for an all-zero map.
    """
    ordered = ev.attributions.flatten(1).double().abs().sort(dim=1).values
    n = ordered.shape[1]
    weights = 2 * torch.arange(1, n + 1, device=ordered.device, dtype=torch.float64) - n - 1
    return (ordered * weights).sum(dim=1) / (n * ordered.sum(dim=1))


@metric(
    "complexity",
    family="complexity",
    higher_is_better=False,
    bounds=(0, None),
    sign="absolute",
    source="Bhatt et al. 2020, Evaluating and aggregating feature-based model explanations, definition 5",
)
def complexity(ev: Evaluation) -> Tensor:
    """Entropy of the shares of the magnitudes, in nats: 0 for a single feature, log(F) for a constant map.

    Returns
    -------
    Tensor (N,)
        NaN for an all-zero map.
    """
    magnitude = ev.attributions.flatten(1).double().abs()
    share = magnitude / magnitude.sum(dim=1, keepdim=True)
    return -torch.xlogy(share, share).sum(dim=1)
