"""Issues of relevance (Huang & Marques-Silva 2023): sizes of attributions that contradict which features matter."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.masks import true_mask

Issue = Literal["credited", "reversed", "ignored", "credited_and_ignored", "all_reversed"]
ZERO_SHARE = 1e-5
"""Attributions, and differences of them, below this share of the largest are 0 but for rounding."""


@metric(
    "relevance_issue",
    family="ground_truth",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"truth.mask"},
    sign="absolute",
    source="Huang & Marques-Silva 2023, The inadequacy of Shapley values for explainability, issues I1 to I5",
    favours={"zero maps", "constant maps"},
)
def relevance_issue(ev: Evaluation, *, issue: Issue = "reversed") -> Tensor:
    """Whether a map contradicts which features are relevant: 1 if it has the issue, 0 if not.

    Sizes are compared; what is below 1e-5 of the largest is 0. Maps that say nothing have only some of the issues:
    read it beside `localisation_auc`.

    Parameters
    ----------
    issue : {"credited", "reversed", "ignored", "credited_and_ignored", "all_reversed"}
        I1, an irrelevant feature has an attribution; I2, an irrelevant one has a larger one than a relevant one;
        I3, a relevant one has none; I4, I1 and I3; I5, some irrelevant one has a larger one than all relevant ones.

    Returns
    -------
    Tensor (N,)
        NaN where nothing is relevant.
    """
    mask = true_mask(ev)
    size = ev.attributions.flatten(1).double().abs()
    little = ZERO_SHARE * size.amax(dim=1)
    size = torch.where(size <= little.unsqueeze(1), 0.0, size)
    undefined = torch.isnan(size).any(dim=1) | ~mask.any(dim=1)
    irrelevant = torch.where(mask, -torch.inf, size).amax(dim=1)
    smallest = torch.where(mask, size, torch.inf).amin(dim=1)
    largest = torch.where(mask, size, -torch.inf).amax(dim=1)
    credited, ignored = irrelevant > 0, smallest == 0
    found = {
        "credited": credited,
        "reversed": irrelevant > smallest + little,
        "ignored": ignored,
        "credited_and_ignored": credited & ignored,
        "all_reversed": irrelevant > largest + little,
    }[issue]
    return torch.where(undefined, torch.nan, found.double())
