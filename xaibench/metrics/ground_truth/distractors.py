"""Distractors as ground truth: how much attribution falls on features that look important and are not."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.masks import count_hits, evidence, true_mask
from xaibench.metrics.maps.orders import TopK, ranked, top_size

_NEEDS = {"truth.mask", "truth.distractors"}
_LARGEST_RATIO = 1e12


@metric(
    "distractor_share",
    family="ground_truth",
    construct="distractors",
    higher_is_better=False,
    bounds=(0, 1),
    needs=_NEEDS,
    skill_valid=True,
    sign="absolute",
    source="Shah et al. 2021, Do input gradients highlight discriminative features?, section 5 (null block)",
)
def distractor_share(ev: Evaluation, *, k: TopK = 0.05) -> Tensor:
    """Share of the k largest attributions, by magnitude, that lie in the distractors.

    Parameters
    ----------
    k : int or float
        Number of features, or a share of them, rounded up; of each sample at most as many as its
        true mask has, so that a perfect map scores 0.

    Returns
    -------
    Tensor (N,)
        A random order scores the area of the distractors. NaN where there is no distractor, or no
        true feature.

    Raises
    ------
    UnsupportedError
        If there are fewer features than ``k``.
    """
    mask, distractors = true_mask(ev), _distractors(ev)
    size = mask.sum(dim=1).clamp(max=top_size(k, mask.shape[1]))
    share = count_hits(distractors, ranked(ev, "absolute"), size) / size
    return torch.where(mask.any(dim=1) & distractors.any(dim=1), share, torch.nan)


@metric(
    "distractor_mass",
    family="ground_truth",
    construct="distractors",
    higher_is_better=False,
    bounds=(0, 1),
    needs=_NEEDS,
    skill_valid=True,
    sign="absolute",
    source="Haufe et al. 2014 and Wilming et al. 2023, suppressor variables: |phi2| / (|phi1| + |phi2|)",
    undefined_for={"zero maps"},
)
def distractor_mass(ev: Evaluation) -> Tensor:
    """Sum of the magnitudes in the distractors, as a share of that in the true mask and the distractors.

    Features that are neither play no part. With one feature of each kind it is the share of a
    suppressor, ``|phi2| / (|phi1| + |phi2|)``.

    Returns
    -------
    Tensor (N,)
        A uniform map scores the size of the distractors over that of both. NaN where there is no
        distractor or no true feature, or where both get nothing.
    """
    truth, distractors = _both(ev, evidence(ev, "absolute"))
    return _where_defined(ev, distractors / (truth + distractors))


@metric(
    "distractor_ratio",
    family="ground_truth",
    construct="distractors",
    higher_is_better=False,
    bounds=(0, _LARGEST_RATIO),
    needs=_NEEDS,
    aggregate="median_log10",
    sign="absolute",
    source="Shah et al. 2021, Do input gradients highlight discriminative features?, theorems 1 and 2",
    undefined_for={"zero maps"},
)
def distractor_ratio(ev: Evaluation) -> Tensor:
    """Root mean square of the attributions in the distractors over that in the true mask.

    For blocks of the same size it is the ratio of the norms of the gradient: of the blocks that
    could carry the signal and do not, to the one that does. Small denominators make it heavy-tailed,
    so that it is summed up as the median of log10: 0 there means that distractors get as much as the
    truth. It has no skill, as the oracle's logarithm is minus infinity.

    Returns
    -------
    Tensor (N,)
        1 for a uniform map; 1e12 at most, as where only distractors get something. NaN where there
        is no distractor or no true feature, or where both get nothing.
    """
    values = evidence(ev, "absolute")
    # The largest one first: squares of small numbers would vanish.
    scale = values.max(dim=1, keepdim=True).values.clamp(min=torch.finfo(values.dtype).tiny)
    truth, distractors = _both(ev, (values / scale).square())
    truth, distractors = truth / true_mask(ev).sum(dim=1), distractors / _distractors(ev).sum(dim=1)
    return _where_defined(ev, (distractors / truth).sqrt().clamp(max=_LARGEST_RATIO))


def _distractors(ev: Evaluation) -> Tensor:
    """The distractors (N, F) of bool."""
    assert ev.truth is not None
    assert ev.truth.distractors is not None
    return ev.truth.distractors.to(ev.attributions.device).flatten(1).bool()


def _both(ev: Evaluation, values: Tensor) -> tuple[Tensor, Tensor]:
    """Sums (N,) of values (N, F) over the true mask and over the distractors."""
    return (values * true_mask(ev)).sum(dim=1), (values * _distractors(ev)).sum(dim=1)


def _where_defined(ev: Evaluation, scores: Tensor) -> Tensor:
    """Scores (N,) that are 0 / 0 are undefined by themselves; those without one of the masks are made so."""
    return torch.where(true_mask(ev).any(dim=1) & _distractors(ev).any(dim=1), scores, torch.nan)
