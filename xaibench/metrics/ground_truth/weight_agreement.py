"""Agreement with known weights of a linear model, as in OpenXAI (Agarwal et al. 2022; Krishna et al. 2022).

Attributions of every kind are compared as they are. What multiplies slopes by inputs answers
another question, and scores low here because of it.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.orders import TopK, top_size
from xaibench.metrics.maps.similarity import ranks, spearman
from xaibench.metrics.maps.tied_orders import features_shared, ranks_shared

AGREEMENT = "Krishna et al. 2022, The disagreement problem in explainable machine learning; "
TIES_VERSION = 2
"""Of the agreements: raised when ties no longer gave credit."""
OPENXAI = "with true weights in Agarwal et al. 2022, OpenXAI"


_known_weights = partial(
    metric,
    family="ground_truth",
    construct="known_weights",
    higher_is_better=True,
    needs={"truth.weights"},
    skill_valid=True,
    source=AGREEMENT + OPENXAI,
)
"""Declares a metric of the construct ``known_weights``."""


@_known_weights(
    "feature_agreement",
    bounds=(0, 1),
    version=TIES_VERSION,
    sign="absolute",
)
def feature_agreement(ev: Evaluation, *, k: TopK = 0.25, auc: bool = False) -> Tensor:
    """Share of the k features of largest weight that are among the k of largest attribution, by magnitude.

    Features without weight have no order, so k never counts them: it is at most the number of
    weights that are not 0. Neither have features of equal weight: where only some of them are
    among the k, they are those that agree best. Features of equal attribution are
    in a random order, and the score is the mean over all of these orders, so that a constant map
    scores exactly what independent rankings score on average. That is k / d of d features, and more where
    the k-th largest weight is tied with the next, as more than k features will do.

    Parameters
    ----------
    k : int or float
        Number of features, or a share of them, rounded up.
    auc : bool
        Average over 1, 2, ..., k features (trapezoidal rule), instead of k alone.

    Returns
    -------
    Tensor (N,)
        NaN where all weights are 0.

    Raises
    ------
    UnsupportedError
        If there are fewer features than ``k``.
    """
    return _agreement(ev, k, auc)


@_known_weights(
    "rank_agreement",
    bounds=(0, 1),
    version=TIES_VERSION,
    sign="absolute",
)
def rank_agreement(ev: Evaluation, *, k: TopK = 0.25, auc: bool = False) -> Tensor:
    """Share of the k features of largest weight that have the same rank among the attributions, by magnitude.

    As `feature_agreement`, with its parameters: a rank agrees if the feature there has the weight of
    that rank. An independent ranking of d features scores 1 / d on average, and a constant map the
    same; with ties of the weights, the more.

    Returns
    -------
    Tensor (N,)
        NaN where all weights are 0.
    """
    return _agreement(ev, k, auc, same_rank=True)


@_known_weights(
    "sign_agreement",
    bounds=(0, 1),
    version=TIES_VERSION,
)
def sign_agreement(ev: Evaluation, *, k: TopK = 0.25, auc: bool = False) -> Tensor:
    """Share of the k features of largest weight that are among the k of largest attribution, with the same sign.

    As `feature_agreement`, with its parameters: of equal weights those count whose sign agrees, too. The
    weights are slopes of the explained output, so signs are compared as they are. An independent
    ranking of d features scores k / 2d on average; an unsigned map can find positive
    weights only, and an all-zero map none.

    Returns
    -------
    Tensor (N,)
        NaN where all weights are 0.
    """
    return _agreement(ev, k, auc, same_sign=True)


@_known_weights(
    "signed_rank_agreement",
    bounds=(0, 1),
    version=TIES_VERSION,
)
def signed_rank_agreement(ev: Evaluation, *, k: TopK = 0.25, auc: bool = False) -> Tensor:
    """Share of the k features of largest weight that have the same rank and sign among the attributions.

    As `rank_agreement`, with the signs of `sign_agreement`; an independent ranking of d features
    scores 1 / 2d on average.

    Returns
    -------
    Tensor (N,)
        NaN where all weights are 0.
    """
    return _agreement(ev, k, auc, same_rank=True, same_sign=True)


@_known_weights(
    "rank_correlation",
    bounds=(-1, 1),
    sign="absolute",
    undefined_for={"zero maps", "constant maps"},
)
def rank_correlation(ev: Evaluation) -> Tensor:
    """Spearman correlation of the magnitudes of attributions and weights, over all features.

    Tied features get their average rank; OpenXAI's dense ranks let a few ties change all ranks.

    Returns
    -------
    Tensor (N,)
        NaN where the magnitudes of the attributions or of the weights are all equal.
    """
    return spearman(ev.attributions.flatten(1).abs(), true_weights(ev).abs())


@_known_weights(
    "pairwise_rank_agreement",
    bounds=(0, 1),
    version=TIES_VERSION,
    sign="absolute",
)
def pairwise_rank_agreement(ev: Evaluation) -> Tensor:
    """Share of the pairs of features of different weight that the attributions put in the same order, by magnitude.

    Features of equal weight have no order to agree with, and OpenXAI, which counts them as
    disagreement unless the attributions tie, too, would give a constant map more than a random
    one. A pair of equal attributions counts half, as it has a random order.

    Returns
    -------
    Tensor (N,)
        0.5 for a constant map, and on average for an independent ranking. NaN where the magnitudes
        of the weights are all equal, and for a single feature.
    """
    maps, weights = ev.attributions.flatten(1).abs(), true_weights(ev).abs()
    n = maps.shape[1]
    ordered = n * (n - 1) // 2 - _tied(weights)
    undecided = _tied(maps) - _tied(maps, weights)
    return (_concordant(maps, weights) + undecided.double() / 2) / ordered


def true_weights(ev: Evaluation) -> Tensor:
    """The true weights (N, F)."""
    assert ev.truth is not None
    assert ev.truth.weights is not None
    return ev.truth.weights.to(ev.attributions).flatten(1)


def _agreement(ev: Evaluation, k: TopK, auc: bool, *, same_rank: bool = False, same_sign: bool = False) -> Tensor:
    """The four agreements of the largest k, or the area under them for 1, ..., k."""
    if same_sign:
        ev.layout.require_signs("agreement of signs")
    maps, weights = ev.attributions.flatten(1), true_weights(ev)
    largest = top_size(k, weights.shape[1])
    same = maps.sign() == weights.sign() if same_sign else torch.ones_like(weights, dtype=torch.bool)
    shared = (ranks_shared if same_rank else features_shared)(maps.abs(), weights.abs(), same)
    size = (weights != 0).sum(dim=1).clamp(max=largest)
    last = shared(size.clamp(min=1)) / size
    score = last
    if auc:
        curve = [shared(torch.full_like(size, j)) / j for j in range(1, largest + 1)]
        total = torch.stack([torch.where(size >= j, c, 0) for j, c in enumerate(curve, start=1)]).sum(dim=0)
        score = torch.where(size > 1, (total - (curve[0] + last) / 2) / (size - 1), last)
    return torch.where(size > 0, score, torch.nan)


def _concordant(a: Tensor, b: Tensor) -> Tensor:
    """Pairs of columns that the rows of ``a`` and ``b`` (N, F) both order, and in the same way (N,).

    A merge sort counts them, in O(F log^2 F) and without a table of pairs: in the order of b they
    are the pairs of which the later one has the larger a. Falling a among equal b leaves ties of
    b out.
    """
    order = a.argsort(dim=1, descending=True)
    order = order.gather(1, b.gather(1, order).argsort(dim=1, stable=True))
    n, n_features = a.shape
    width = 1 << (n_features - 1).bit_length()
    runs = functional.pad(a.gather(1, order), (0, width - n_features), value=-torch.inf)
    count = torch.zeros(n, dtype=torch.int64, device=a.device)
    half = 1
    while half < width:
        earlier, later = runs.view(n, -1, 2, half).unbind(dim=2)
        count += torch.searchsorted(earlier.contiguous(), later.contiguous()).sum(dim=(1, 2))
        runs = runs.view(n, -1, 2 * half).sort(dim=2).values
        half *= 2
    return count


def _tied(a: Tensor, b: Tensor | None = None) -> Tensor:
    """Pairs of columns that tie in the rows of ``a`` (N, F), and in those of ``b``, if it is given: (N,)."""
    n_features = a.shape[1]
    # Twice an average rank is an integer below 2 F, so that this names a pair of values.
    key = (2 * ranks(a)).long()
    if b is not None:
        key = 2 * n_features * key + (2 * ranks(b)).long()
    key = key.sort(dim=1).values
    position = torch.arange(n_features, device=a.device).expand(key.shape)
    first = torch.ones_like(key, dtype=torch.bool)
    first[:, 1:] = key[:, 1:] != key[:, :-1]
    start = torch.where(first, position, 0).cummax(dim=1).values
    return (position - start).sum(dim=1)
