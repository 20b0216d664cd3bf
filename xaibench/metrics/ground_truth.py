"""Ground truth: do the attributions lie where the truth says that the evidence is?"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.perturbation import descending

Sign = Literal["absolute", "positive"]


@metric(
    "relevance_rank",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
    skill_valid=True,
    source="Arras et al. 2022, CLEVR-XAI, relevance rank accuracy",
)
def relevance_rank(ev: Evaluation, *, sign: Sign = "positive") -> Tensor:
    """Share of the K largest attributions that lie in the true mask, K being the size of the mask.

    Parameters
    ----------
    sign : {"positive", "absolute"}
        Rank by signed value, evidence for the target first, or by magnitude.

    Returns
    -------
    Tensor (N,)
        A random order scores the area of the mask. NaN where the mask is empty or covers everything.
    """
    mask = _mask(ev)
    values = ev.attributions.abs() if sign == "absolute" else ev.attributions
    order = descending(ev, values)
    k = mask.sum(dim=1, keepdim=True)
    top = torch.arange(order.shape[1], device=order.device) < k
    hits = (mask.gather(1, order) & top).sum(dim=1)
    return torch.where(_informative(mask), hits / k.squeeze(1), torch.nan)


@metric(
    "relevance_mass",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
    skill_valid=True,
    source="Arras et al. 2022, CLEVR-XAI, relevance mass accuracy (positive pooling)",
)
def relevance_mass(ev: Evaluation, *, sign: Sign = "positive") -> Tensor:
    """Share of the relevance that lies in the true mask.

    Parameters
    ----------
    sign : {"positive", "absolute"}
        Sum positive attributions only, as published, or magnitudes.

    Returns
    -------
    Tensor (N,)
        A uniform map scores the area of the mask. NaN where the mask is empty or covers
        everything, or where there is no relevance to sum.
    """
    mask = _mask(ev)
    values = ev.attributions.flatten(1).double()
    values = values.abs() if sign == "absolute" else values.clamp(min=0)
    total = values.sum(dim=1)
    inside = (values * mask).sum(dim=1)
    return torch.where(_informative(mask) & (total > 0), inside / total, torch.nan)


def _mask(ev: Evaluation) -> Tensor:
    """The true mask (N, F) of bool."""
    assert ev.truth is not None
    assert ev.truth.mask is not None
    return ev.truth.mask.to(ev.attributions.device).flatten(1).bool()


def _informative(mask: Tensor) -> Tensor:
    """Whether each mask leaves something to get right and something to get wrong (N,)."""
    return mask.any(dim=1) & ~mask.all(dim=1)
