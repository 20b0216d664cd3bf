"""Areas under ROC, precision and recall curves of attributions as a detector of the true features."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.average_precision import precision_of_order
from xaibench.metrics.maps.masks import nontrivial_masks, true_mask
from xaibench.metrics.maps.orders import OrderSign, ranked
from xaibench.metrics.maps.similarity import is_constant, ranks

_localisation = partial(
    metric,
    family="ground_truth",
    construct="localisation",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
)
"""Declares a metric of the construct ``localisation``."""


@_localisation(
    "localisation_auc",
    skill_valid=True,
    source="Fawcett 2006, An introduction to ROC analysis; area under the curve of attributions against the mask",
)
def localisation_auc(ev: Evaluation, *, sign: OrderSign = "signed") -> Tensor:
    """ROC AUC of the attributions as a detector of the true features.

    The share of pairs of a true and another feature in which the true one has the larger
    attribution; equal ones count half.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Attributions as they are, or their magnitudes.

    Returns
    -------
    Tensor (N,)
        0.5 for random and for constant maps. NaN where the mask is empty or covers everything.
    """
    mask = true_mask(ev)
    inside = mask.sum(dim=1).double()
    outside = mask.shape[1] - inside
    above = (ranks(_detector(ev, sign)) * mask).sum(dim=1) - inside * (inside - 1) / 2
    return torch.where(nontrivial_masks(mask), above / (inside * outside), torch.nan)


@_localisation(
    "auprc",
    skill_valid=True,
    source="Crabbé & van der Schaar 2021, Explaining time series predictions with dynamic masks; average precision as "
    "in Queen et al. 2023, TimeX",
)
def auprc(ev: Evaluation, *, sign: OrderSign = "signed") -> Tensor:
    """Average precision of the attributions as a detector of the true features.

    The mean, over true features, of the precision among all features with an attribution at least as large.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Attributions as they are, or their magnitudes.

    Returns
    -------
    Tensor (N,)
        The area of the mask for a constant map, a little more for a random one. NaN where the
        mask is empty or covers everything.
    """
    mask = true_mask(ev)
    return precision_of_order(*_ordered(ev, mask, sign))


@_localisation(
    "aup",
    source="Crabbé & van der Schaar 2021, Explaining time series predictions with dynamic masks, area under precision",
    undefined_for={"zero maps", "constant maps"},
)
def aup(ev: Evaluation, *, sign: OrderSign = "signed") -> Tensor:
    """Precision of the features above a threshold, averaged over all thresholds between 0 and 1.

    Attributions are scaled to [0, 1] per sample, and the integral over the threshold is exact. It
    depends on how the values are distributed and not only on their order: monotone transforms of a
    map change it. Compare explainers by `auprc`.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Attributions as they are, or their magnitudes.

    Returns
    -------
    Tensor (N,)
        NaN for a constant map, and where the mask is empty or covers everything.
    """
    mask = true_mask(ev)
    ordered, found = _ordered(ev, mask, sign)
    scaled, defined = _scaled(ordered)
    # The largest j features stay above any threshold between the values of places j and j + 1.
    precision = found.cumsum(dim=1).double() / torch.arange(1, mask.shape[1] + 1, device=mask.device)
    area = ((scaled[:, :-1] - scaled[:, 1:]) * precision[:, :-1]).sum(dim=1)
    return torch.where(nontrivial_masks(mask) & defined, area, torch.nan)


@_localisation(
    "aur",
    source="Crabbé & van der Schaar 2021, Explaining time series predictions with dynamic masks, area under recall",
    undefined_for={"zero maps", "constant maps"},
)
def aur(ev: Evaluation, *, sign: OrderSign = "signed") -> Tensor:
    """Share of the true features above a threshold, averaged over all thresholds between 0 and 1.

    Attributions are scaled to [0, 1] per sample; the integral is then the mean of the true
    features. It depends on how the values are distributed, and a map that calls almost everything
    important scores high: read it beside `aup`, and compare explainers by `auprc`.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Attributions as they are, or their magnitudes.

    Returns
    -------
    Tensor (N,)
        NaN for a constant map, and where the mask is empty or covers everything.
    """
    mask = true_mask(ev)
    scaled, defined = _scaled(_detector(ev, sign))
    return torch.where(nontrivial_masks(mask) & defined, (scaled * mask).sum(dim=1) / mask.sum(dim=1), torch.nan)


def _detector(ev: Evaluation, sign: OrderSign) -> Tensor:
    """What is compared with thresholds (N, F)."""
    flat = ev.attributions.flatten(1)
    return flat.abs() if sign == "absolute" else flat


def _ordered(ev: Evaluation, mask: Tensor, sign: OrderSign) -> tuple[Tensor, Tensor]:
    """Values from the largest down, and whether each belongs to a true feature, both (N, F)."""
    order = ranked(ev, sign)
    return _detector(ev, sign).gather(1, order), mask.gather(1, order)


def _scaled(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values (N, F) scaled to [0, 1] per sample, float64, and whether they vary at all (N,)."""
    low, high = values.double().aminmax(dim=1, keepdim=True)
    return (values - low) / (high - low), ~is_constant(values)
