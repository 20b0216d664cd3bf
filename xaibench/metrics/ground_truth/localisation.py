"""Localisation against a mask: pointing game, relevance mass and rank (Arras et al. 2022), top-k intersection."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.masks import EvidenceSign, count_hits, dilate, mass_inside, nontrivial_masks, true_mask
from xaibench.metrics.maps.orders import OrderSign, TopK, ranked, top_size

_localisation = partial(
    metric,
    family="ground_truth",
    construct="localisation",
    higher_is_better=True,
    needs={"truth.mask"},
    skill_valid=True,
)
"""Declares a metric of the construct ``localisation``."""


@_localisation(
    "relevance_rank",
    bounds=(0, 1),
    source="Arras et al. 2022, CLEVR-XAI, relevance rank accuracy",
)
def relevance_rank(ev: Evaluation, *, sign: EvidenceSign = "positive") -> Tensor:
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
    mask = true_mask(ev)
    k = mask.sum(dim=1)
    hits = count_hits(mask, ranked(ev, "absolute" if sign == "absolute" else "signed"), k)
    return torch.where(nontrivial_masks(mask), hits / k, torch.nan)


@_localisation(
    "top_k_intersection",
    bounds=(0, 1),
    source="Theiner et al. 2022, Interpretable semantic photo geolocation, top-k intersection",
)
def top_k_intersection(ev: Evaluation, *, k: TopK = 0.02, sign: OrderSign = "signed") -> Tensor:
    """Share of the k largest attributions that lie in the true mask.

    The number k is the same for all samples, where `relevance_rank` takes the size of each mask. A
    small k asks for the peaks of a map only; one above the size of the mask keeps even the best
    map below 1.

    Parameters
    ----------
    k : int or float
        Number of features, or a share of them, rounded up. The published 1000 pixels of 224 x 224 are 0.02.
    sign : {"signed", "absolute"}
        Rank by signed value, evidence for the target first, or by magnitude.

    Returns
    -------
    Tensor (N,)
        A random order scores the area of the mask. NaN where the mask is empty or covers everything.

    Raises
    ------
    UnsupportedError
        If there are fewer features than ``k``.
    """
    mask = true_mask(ev)
    size = top_size(k, mask.shape[1])
    hits = count_hits(mask, ranked(ev, sign), torch.full_like(mask[:, 0], size, dtype=torch.int64))
    return torch.where(nontrivial_masks(mask), hits / size, torch.nan)


@_localisation(
    "pointing_game",
    bounds=(0, 1),
    source="Zhang et al. 2018, Top-down neural attention by excitation backprop, pointing game",
)
def pointing_game(ev: Evaluation, *, tolerance: NonNegativeInt = 0, sign: OrderSign = "signed") -> Tensor:
    """Whether the largest attribution lies in the true mask: 1 or 0.

    Of several equal maxima one is drawn, so that a flat map scores the area of the mask on average.

    Parameters
    ----------
    tolerance : int
        Images: a miss by at most this many pixels counts as a hit (published: 15 at full
        resolution). The mask grows by a disc of this radius.
    sign : {"signed", "absolute"}

    Returns
    -------
    Tensor (N,)
        NaN where the mask, grown by the tolerance, is empty or covers everything.

    Raises
    ------
    UnsupportedError
        If there is a tolerance, and features are not pixels.
    """
    mask = true_mask(ev)
    if tolerance:
        if ev.layout.kind != "image":
            raise UnsupportedError("a tolerance in pixels needs images", "leave tolerance at 0")
        mask = dilate(mask.view(-1, *ev.layout.feature_shape), tolerance).flatten(1)
    hit = mask.gather(1, ranked(ev, sign)[:, :1]).squeeze(1)
    return torch.where(nontrivial_masks(mask), hit.double(), torch.nan)


@_localisation(
    "relevance_mass",
    bounds=(0, 1),
    sign="positive",
    source="Arras et al. 2022, CLEVR-XAI, relevance mass accuracy (positive pooling)",
    undefined_for={"zero maps"},
)
def relevance_mass(ev: Evaluation, *, sign: EvidenceSign = "positive") -> Tensor:
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
    return mass_inside(ev, sign)


@_localisation(
    "positive_attribution_ratio",
    bounds=(0, 1),
    sign="positive",
    source="Cedro & Chlebus, Beyond the black box: do more complex deep learning models provide superior XAI "
    "explanations?, positive attribution ratio",
    undefined_for={"zero maps"},
)
def positive_attribution_ratio(ev: Evaluation) -> Tensor:
    """Share of the positive attributions that lies in the true mask.

    The same number as `relevance_mass` with ``sign="positive"``, under the name of its paper.

    Returns
    -------
    Tensor (N,)
        NaN where the mask is empty or covers everything, or where nothing is positive.
    """
    return mass_inside(ev, "positive")


@_localisation(
    "attribution_localisation",
    bounds=(0, None),
    sign="positive",
    source="Kohlbrenner et al. 2020, Towards best practice in explaining neural network decisions with LRP, "
    "weighted inside-total ratio",
    undefined_for={"zero maps"},
)
def attribution_localisation(ev: Evaluation, *, weighted: bool = True, sign: EvidenceSign = "positive") -> Tensor:
    """Share of the relevance in the true mask, as a multiple of the mask's share of the features.

    Parameters
    ----------
    weighted : bool
        Divide by the area of the mask: a uniform map scores 1, a perfect one 1 / area, and
        averages favour samples with small masks. False gives the share alone, as in `relevance_mass`.
    sign : {"positive", "absolute"}
        Sum positive attributions only, as published, or magnitudes.

    Returns
    -------
    Tensor (N,)
        NaN where the mask is empty or covers everything, or where there is no relevance to sum.
    """
    inside = mass_inside(ev, sign)
    return inside / true_mask(ev).double().mean(dim=1) if weighted else inside
