"""Sparseness (Gini index), entropy and effective complexity of maps. They say nothing about truth."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric


@metric(
    "sparseness",
    family="complexity",
    construct="concentration",
    higher_is_better=True,
    bounds=(0, 1),
    sign="absolute",
    source="Chalasani et al. 2020, Concise explanations of neural networks using adversarial training; Gini index",
    undefined_for={"zero maps"},
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
    construct="concentration",
    higher_is_better=False,
    bounds=(0, None),
    sign="absolute",
    source="Bhatt et al. 2020, Evaluating and aggregating feature-based model explanations, definition 5",
    undefined_for={"zero maps"},
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


@metric(
    "effective_complexity",
    family="complexity",
    construct="concentration",
    higher_is_better=False,
    bounds=(0, None),
    sign="absolute",
    source="Nguyen & Martinez 2020, On quantitative aspects of model interpretability; as counted by Quantus",
    scale_invariant=False,
    favours={"zero maps"},  # they show nothing
)
def effective_complexity(ev: Evaluation, *, epsilon: NonNegativeFloat = 1e-5) -> Tensor:
    """Number of features with an attribution above a threshold, in magnitude.

    The paper asks for the fewest features that keep the model's performance; this count, by which
    the name is known today, never calls the model. The threshold is absolute: the size of the
    explained output matters, and explainers of different units cannot be compared.

    Parameters
    ----------
    epsilon : float
        Threshold, in the units of the attributions; a magnitude equal to it does not count.

    Returns
    -------
    Tensor (N,)
        0 for an all-zero map.
    """
    return (ev.attributions.flatten(1).double().abs() > epsilon).sum(dim=1)
