"""Evidence for and against: whether maps put features of either sign on the right side of those that say nothing."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.similarity import ranks

KS_ALPHA = 0.01
"""Level of the published test."""
_FABER = "Faber et al. 2021, When comparing to ground truth is wrong: on evaluating GNN explanation methods"
_signs = partial(
    metric, family="ground_truth", construct="evidence_signs", needs={"truth.signs"}, higher_is_better=True,
    bounds=(0, 1), undefined_for={"some inputs"},
)  # fmt: skip
"""Declares a metric of the construct ``evidence_signs``."""


def _true_signs(ev: Evaluation) -> Tensor:
    assert ev.truth is not None
    assert ev.truth.signs is not None
    return ev.truth.signs.to(ev.attributions.device).flatten(1)


def _share_above(values: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """Share of pairs (N,) of a feature of ``above`` and one of ``below`` in which the first has the larger value.

    Equal values count half. NaN where there are no pairs.
    """
    both = above | below
    # Features of neither side go to the end, where they do not change the ranks of the others.
    placed = ranks(values.double().where(both, torch.inf))
    n_above, n_below = above.sum(dim=1).double(), below.sum(dim=1).double()
    found = (placed * above).sum(dim=1) - n_above * (n_above - 1) / 2
    return torch.where((n_above > 0) & (n_below > 0), found / (n_above * n_below), torch.nan)


@_signs("negative_below_neutral", skill_valid=True, source=f"{_FABER}, section 5.3, as an area under the ROC curve")
def negative_below_neutral(ev: Evaluation) -> Tensor:
    """Share of pairs of evidence against the class and a neutral feature in which the evidence has less attribution.

    A map that gives evidence against the class more than nothing, as magnitudes and masks in [0, 1] do, scores below
    one half.

    Returns
    -------
    Tensor (N,)
        NaN without evidence against the class, or without neutral features.
    """
    signs = _true_signs(ev)
    return _share_above(-ev.attributions.flatten(1), signs < 0, signs == 0)


@_signs("positive_above_neutral", skill_valid=True, source=f"{_FABER}, section 5.3, as an area under the ROC curve")
def positive_above_neutral(ev: Evaluation) -> Tensor:
    """Share of pairs of evidence for the class and a neutral feature in which the evidence has more attribution.

    Returns
    -------
    Tensor (N,)
        NaN without evidence for the class, or without neutral features.
    """
    signs = _true_signs(ev)
    return _share_above(ev.attributions.flatten(1), signs > 0, signs == 0)


@_signs("negative_separation", source=f"{_FABER}, section 5.3, Kolmogorov-Smirnov test at .01")
def negative_separation(ev: Evaluation) -> Tensor:
    """Whether a Kolmogorov-Smirnov test at .01 tells evidence against the class from neutral features: 1 or 0.

    The published score is the mean over samples. It does not ask on which side the evidence is, so that a map which
    says the opposite passes: do not rank by it, read `negative_below_neutral`.

    Returns
    -------
    Tensor (N,)
        NaN where there are less than two features of either.
    """
    from scipy.stats import ks_2samp

    values, signs = ev.attributions.flatten(1).double().cpu(), _true_signs(ev).cpu()
    found = torch.full((len(values),), torch.nan)
    for i, (row, sign) in enumerate(zip(values, signs, strict=True)):
        against, neutral = row[sign < 0], row[sign == 0]
        if min(len(against), len(neutral)) > 1:
            found[i] = float(ks_2samp(against.numpy(), neutral.numpy()).pvalue < KS_ALPHA)
    return found.to(ev.attributions.device)
