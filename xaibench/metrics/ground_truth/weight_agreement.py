"""Ground truth as weights: does an explanation agree with the slopes of a linear model?

Attributions of every kind are compared as they are. What multiplies slopes by inputs answers
another question, and scores low here because of it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.orders import TopK, descending, ranked, ranks_of, top_size
from xaibench.metrics.maps.similarity import ranks, spearman

AGREEMENT = "Krishna et al. 2022, The disagreement problem in explainable machine learning; "
OPENXAI = "with true weights in Agarwal et al. 2022, OpenXAI"


@metric(
    "feature_agreement",
    family="ground_truth",
    construct="known_weights",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.weights"},
    skill_valid=True,
    sign="absolute",
    source=AGREEMENT + OPENXAI,
)
def feature_agreement(ev: Evaluation, *, k: TopK = 0.25, auc: bool = False) -> Tensor:
    """Share of the k features of largest weight that are among the k of largest attribution, by magnitude.

    Features without weight have no order, so k never counts them: it is at most the number of
    weights that are not 0. Exact ties are broken by the same draw for weights and attributions.
    An independent ranking of d features scores k / d on average.

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


@metric(
    "rank_agreement",
    family="ground_truth",
    construct="known_weights",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.weights"},
    skill_valid=True,
    sign="absolute",
    source=AGREEMENT + OPENXAI,
)
def rank_agreement(ev: Evaluation, *, k: TopK = 0.25, auc: bool = False) -> Tensor:
    """Share of the k features of largest weight that have the same rank among the attributions, by magnitude.

    As `feature_agreement`, with its parameters; an independent ranking of d features scores 1 / d on average.

    Returns
    -------
    Tensor (N,)
        NaN where all weights are 0.
    """
    return _agreement(ev, k, auc, same_rank=True)


@metric(
    "sign_agreement",
    family="ground_truth",
    construct="known_weights",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.weights"},
    skill_valid=True,
    source=AGREEMENT + OPENXAI,
)
def sign_agreement(ev: Evaluation, *, k: TopK = 0.25, auc: bool = False) -> Tensor:
    """Share of the k features of largest weight that are among the k of largest attribution, with the same sign.

    As `feature_agreement`, with its parameters. The weights are slopes of the explained output, so
    signs are compared as they are. An independent ranking of d features scores k / 2d on
    average; an unsigned map can find positive weights only.

    Returns
    -------
    Tensor (N,)
        NaN where all weights are 0.
    """
    return _agreement(ev, k, auc, same_sign=True)


@metric(
    "signed_rank_agreement",
    family="ground_truth",
    construct="known_weights",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.weights"},
    skill_valid=True,
    source=AGREEMENT + OPENXAI,
)
def signed_rank_agreement(ev: Evaluation, *, k: TopK = 0.25, auc: bool = False) -> Tensor:
    """Share of the k features of largest weight that have the same rank and sign among the attributions.

    As `feature_agreement`, with its parameters; an independent ranking of d features scores 1 / 2d on average.

    Returns
    -------
    Tensor (N,)
        NaN where all weights are 0.
    """
    return _agreement(ev, k, auc, same_rank=True, same_sign=True)


@metric(
    "rank_correlation",
    family="ground_truth",
    construct="known_weights",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"truth.weights"},
    skill_valid=True,
    sign="absolute",
    source=AGREEMENT + OPENXAI,
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


@metric(
    "pairwise_rank_agreement",
    family="ground_truth",
    construct="known_weights",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.weights"},
    skill_valid=True,
    sign="absolute",
    source=AGREEMENT + OPENXAI,
)
def pairwise_rank_agreement(ev: Evaluation) -> Tensor:
    """Share of all pairs of features that attributions and weights put in the same order, by magnitude.

    A pair that ties on both sides agrees, one that ties on one side does not.

    Returns
    -------
    Tensor (N,)
        0.5 on average for an independent ranking without ties. NaN where the magnitudes of the
        weights are all equal, and for a single feature.
    """
    maps, weights = ev.attributions.flatten(1).abs(), true_weights(ev).abs()
    n = maps.shape[1]
    agree = _concordant(maps, weights) + _tied_in_both(maps, weights)
    varies = weights.amax(dim=1) > weights.amin(dim=1)
    return torch.where(varies, agree.double() / (n * (n - 1) / 2), torch.nan) if n > 1 else agree * torch.nan


def true_weights(ev: Evaluation) -> Tensor:
    """The true weights (N, F)."""
    assert ev.truth is not None
    assert ev.truth.weights is not None
    return ev.truth.weights.to(ev.attributions).flatten(1)


def _agreement(ev: Evaluation, k: TopK, auc: bool, *, same_rank: bool = False, same_sign: bool = False) -> Tensor:
    """The four agreements of the largest k: a feature agrees from the size at which both sides have it in their top."""
    maps, weights = ev.attributions.flatten(1), true_weights(ev)
    largest = top_size(k, weights.shape[1])
    ours = ranks_of(ranked(ev, "absolute")).long()
    theirs = ranks_of(ev.reuse("ranked/weights", lambda: descending(ev, weights.abs()))).long()
    agrees = torch.ones_like(weights, dtype=torch.bool)
    if same_rank:
        agrees &= ours == theirs
    if same_sign:
        agrees &= maps.sign() == weights.sign()
    size = (weights != 0).sum(dim=1).clamp(max=largest)
    joins = torch.maximum(ours, theirs).masked_fill(~agrees, largest).clamp(max=largest)
    count = torch.zeros(len(joins), largest + 1, dtype=torch.int64, device=joins.device)
    count.scatter_add_(1, joins, torch.ones_like(joins))
    sizes = torch.arange(1, largest + 1, device=joins.device)
    curve = count[:, :largest].cumsum(dim=1).double() / sizes
    last = curve.gather(1, (size - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
    score = last
    if auc:
        total = (curve * (sizes <= size.unsqueeze(1))).sum(dim=1)
        score = torch.where(size > 1, (total - (curve[:, 0] + last) / 2) / (size - 1), last)
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


def _tied_in_both(a: Tensor, b: Tensor) -> Tensor:
    """Pairs of columns that tie both in the rows of ``a`` and in those of ``b`` (N, F): (N,)."""
    n_features = a.shape[1]
    # Twice an average rank is an integer below 2 F, so that this names a pair of values.
    key = (2 * ranks(a) * 2 * n_features + 2 * ranks(b)).long().sort(dim=1).values
    position = torch.arange(n_features, device=a.device).expand(key.shape)
    first = torch.ones_like(key, dtype=torch.bool)
    first[:, 1:] = key[:, 1:] != key[:, :-1]
    start = torch.where(first, position, 0).cummax(dim=1).values
    return (position - start).sum(dim=1)
