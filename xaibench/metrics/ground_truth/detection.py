"""Areas under ROC, precision and recall curves of attributions as a detector of the true features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.average_precision import precision_of_order
from xaibench.metrics.maps.masks import nontrivial_masks, true_mask
from xaibench.metrics.maps.orders import OrderSign, ranked
from xaibench.metrics.maps.similarity import ranks
from xaibench.metrics.maps.threshold_curves import ThresholdCurves, scaled_or_zero, scaled_to_unit

Estimator = Literal["exact", "published"]
"""How the area is computed: by its definition, or by trapezoids over magnitudes as in published software."""
_localisation = partial(
    metric,
    family="ground_truth",
    construct="localisation",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
)
"""Declares a metric of the construct ``localisation``."""
_estimated = partial(
    _localisation,
    ranks={"estimator": "exact"},
    dataset_where={"pooled": True},
    absolute_where={"estimator": "published"},
    unkeyed_defaults={"estimator", "pooled"},
)
"""Declares one with two estimators, of each sample or of all of them together."""


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


@_estimated(
    "auprc",
    skill_valid=True,
    source="Crabbé & van der Schaar 2021, Explaining time series predictions with dynamic masks; average precision as "
    "in Queen et al. 2023, TimeX",
)
def auprc(
    ev: Evaluation, *, sign: OrderSign = "signed", estimator: Estimator = "exact", pooled: bool = False
) -> Tensor:
    """Average precision of the attributions as a detector of the true features.

    The mean, over true features, of the precision among all features with an attribution at least as large.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Attributions as they are, or their magnitudes.
    estimator : {"exact", "published"}
        ``"published"``: the trapezoid of precision over recall, of magnitudes, as DynaMask's and time_interpret's
        software has it. It joins points of the curve by straight lines, which no threshold reaches: a map of zeros and
        ones that is true in half of its ones gets .75 instead of .5. It ranks nothing.
    pooled : bool
        One score over the features of all samples together, after each was scaled to [0, 1].

    Returns
    -------
    Tensor (N,), with ``pooled`` (1,)
        The area of the mask for a constant map, a little more for a random one; with ``"published"`` half of
        (1 + area). NaN where the mask is empty or covers everything.
    """
    if pooled or estimator == "published":
        published, exact = ThresholdCurves.area_over_recall, ThresholdCurves.average_precision
        return _of_curves(ev, sign, pooled, published if estimator == "published" else exact, estimator)
    mask = true_mask(ev)
    return precision_of_order(*_ordered(ev, mask, sign))


@_estimated(
    "aup",
    source="Crabbé & van der Schaar 2021, Explaining time series predictions with dynamic masks, area under precision",
    undefined_for={"zero maps", "constant maps"},
)
def aup(ev: Evaluation, *, sign: OrderSign = "signed", estimator: Estimator = "exact", pooled: bool = False) -> Tensor:
    """Precision of the features above a threshold, averaged over all thresholds between 0 and 1.

    Attributions are scaled to [0, 1] per sample, and the integral over the threshold is exact. It
    depends on how the values are distributed and not only on their order: monotone transforms of a
    map change it. Compare explainers by `auprc`.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Attributions as they are, or their magnitudes.
    estimator : {"exact", "published"}
        ``"published"``: the trapezoid of precision over the distinct values as thresholds, of magnitudes, as
        DynaMask's and time_interpret's software has it. The perfect mask gets (1 + its area) / 2, less than maps with
        many values, and a constant map 0. It ranks nothing.
    pooled : bool
        One score over the features of all samples together, after each was scaled to [0, 1].

    Returns
    -------
    Tensor (N,), with ``pooled`` (1,)
        NaN for a constant map (0 with ``"published"``), and where the mask is empty or covers everything.
    """
    if pooled or estimator == "published":
        rule = _trapezoid if estimator == "published" else _steps
        return _of_curves(ev, sign, pooled, partial(rule, "precision"), estimator)
    mask = true_mask(ev)
    ordered, found = _ordered(ev, mask, sign)
    values, defined = scaled_to_unit(ordered)
    # The largest j features stay above any threshold between the values of places j and j + 1.
    precision = found.cumsum(dim=1).double() / torch.arange(1, mask.shape[1] + 1, device=mask.device)
    area = ((values[:, :-1] - values[:, 1:]) * precision[:, :-1]).sum(dim=1)
    return torch.where(nontrivial_masks(mask) & defined, area, torch.nan)


@_estimated(
    "aur",
    source="Crabbé & van der Schaar 2021, Explaining time series predictions with dynamic masks, area under recall",
    undefined_for={"zero maps", "constant maps"},
)
def aur(ev: Evaluation, *, sign: OrderSign = "signed", estimator: Estimator = "exact", pooled: bool = False) -> Tensor:
    """Share of the true features above a threshold, averaged over all thresholds between 0 and 1.

    Attributions are scaled to [0, 1] per sample; the integral is then the mean of the true
    features. It depends on how the values are distributed, and a map that calls almost everything
    important scores high: read it beside `aup`, and compare explainers by `auprc`.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Attributions as they are, or their magnitudes.
    estimator : {"exact", "published"}
        ``"published"``: the trapezoid of recall over the distinct values as thresholds, of magnitudes, as DynaMask's
        and time_interpret's software has it. Uniform noise gets .5, and a constant map 0. It ranks nothing.
    pooled : bool
        One score over the features of all samples together, after each was scaled to [0, 1].

    Returns
    -------
    Tensor (N,), with ``pooled`` (1,)
        NaN for a constant map (0 with ``"published"``), and where the mask is empty or covers everything.
    """
    if pooled or estimator == "published":
        rule = _trapezoid if estimator == "published" else _steps
        return _of_curves(ev, sign, pooled, partial(rule, "recall"), estimator)
    mask = true_mask(ev)
    values, defined = scaled_to_unit(_detector(ev, sign))
    return torch.where(nontrivial_masks(mask) & defined, (values * mask).sum(dim=1) / mask.sum(dim=1), torch.nan)


def _detector(ev: Evaluation, sign: OrderSign) -> Tensor:
    """What is compared with thresholds (N, F)."""
    flat = ev.attributions.flatten(1)
    return flat.abs() if sign == "absolute" else flat


def _ordered(ev: Evaluation, mask: Tensor, sign: OrderSign) -> tuple[Tensor, Tensor]:
    """Values from the largest down, and whether each belongs to a true feature, both (N, F)."""
    order = ranked(ev, sign)
    return _detector(ev, sign).gather(1, order), mask.gather(1, order)


Area = Callable[[ThresholdCurves], Tensor]
"""An area (N,) under curves of precision and recall."""


def _of_curves(ev: Evaluation, sign: OrderSign, pooled: bool, area: Area, estimator: Estimator) -> Tensor:
    """An area of each sample, or with ``pooled`` of all of them together, under curves of scaled values."""
    mask, values = true_mask(ev), _detector(ev, "absolute" if estimator == "published" else sign)
    if pooled:
        mask, values = mask.reshape(1, -1), scaled_or_zero(values).reshape(1, -1)
    curves = ThresholdCurves.of(scaled_or_zero(values), mask)
    return torch.where(nontrivial_masks(mask), area(curves), torch.nan)


def _trapezoid(curve: str, curves: ThresholdCurves) -> Tensor:
    return curves.area_over_thresholds(getattr(curves, curve))


def _steps(curve: str, curves: ThresholdCurves) -> Tensor:
    return curves.step_area(getattr(curves, curve))
