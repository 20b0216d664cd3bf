"""Graph explanation accuracy: the Jaccard index of an explanation, as a set of features, and the truth."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.explained_subset import explained_subset
from xaibench.metrics.maps.masks import nontrivial_masks, true_mask


@metric(
    "gea",
    family="ground_truth",
    construct="localisation",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
    skill_valid=True,
    source="Agarwal et al. 2023, Evaluating explainability for graph neural networks, equation 1, with as many "
    "features as the truth has",
)
def gea(ev: Evaluation) -> Tensor:
    """Graph explanation accuracy: true positives over true positives, false positives and false negatives together.

    The explanation is the set of the largest attributions, as many as the truth has; equal ones in a random order.

    Returns
    -------
    Tensor (N,)
        NaN where the mask is empty or covers everything.
    """
    mask = true_mask(ev)
    chosen = explained_subset(ev, mask.sum(dim=1, keepdim=True))
    share = (mask & chosen).sum(dim=1).double() / (mask | chosen).sum(dim=1)
    return torch.where(nontrivial_masks(mask), share, torch.nan)
