"""Metrics under test: does a fidelity order edited truths by their distance from the truth (Zheng et al. 2024)?"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, MinLen
from pydantic import PositiveInt
from scipy.stats import rankdata
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.partial_removal import mean_outputs
from xaibench.metrics.engines.perturbation import clean_scores
from xaibench.metrics.maps.masks import nontrivial_masks, true_mask

FidelityPart = Literal["plus", "minus", "delta"]
Counts = Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)]
ADDED, REMOVED = (0, 4, 12), (0, 1, 3, 5)
_SOURCE = (
    "Zheng et al. 2024, Towards robust fidelity for evaluating explainability of graph neural networks, Section 5.2"
)


@metric(
    "edit_correlation",
    family="sanity",
    construct="metrics under test",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"truth.mask"},
    output="curve",
    place_matters=True,
    source=_SOURCE,
)
def edit_correlation(
    ev: Evaluation,
    *,
    fidelity: FidelityPart = "delta",
    alpha1: float = 0.1,
    alpha2: float = 0.9,
    against: Literal["edit_distance", "f1"] = "edit_distance",
    added: Counts = ADDED,
    removed: Counts = REMOVED,
    n_samples: PositiveInt = 20,
    masker: str = "zero",
) -> Tensor:
    """Spearman correlation of a fidelity with nearness to the truth, over the truth with features added and removed.

    A metric under test, the same for every explanation of a sample: measuring it on the oracle is enough. Random
    features are added to the truth and true ones taken away, in all combinations of the given numbers, and each set is
    scored as an explanation would be. A fidelity that knows good from bad falls with the number of edits.

    Parameters
    ----------
    fidelity : {"plus", "minus", "delta"}
        As in `robust_fid_plus`, `robust_fid_minus` (its sign turned, so that more is better) and `robust_fid_delta`.
    alpha1, alpha2 : float
        1 and 0 are the plain fidelities.
    against : {"edit_distance", "f1"}
        Minus the number of edits, or the F1 score of the set.
    added, removed : tuple of int
        Numbers of features; of fewer, all.
    n_samples : int
        Draws of partial removal; all sets share them.
    masker : str

    Returns
    -------
    Tensor (N,)
        NaN where the truth is empty or everything, or all sets have one score.
    """
    truth = true_mask(ev)
    sets, distance = edited_sets(ev, truth, added, removed)
    scores = torch.stack([_fidelity(ev, s, fidelity, alpha1, alpha2, n_samples, masker) for s in sets.unbind(1)], dim=1)
    if against == "f1":
        hits = (sets & truth.unsqueeze(1)).sum(dim=2)
        wanted = 2 * hits / (sets.sum(dim=2) + truth.sum(dim=1, keepdim=True))
    else:
        wanted = -distance
    found = _spearman(scores, wanted)

    return torch.where(nontrivial_masks(truth), found, torch.nan)


@metric(
    "truth_over_trivial",
    family="sanity",
    construct="metrics under test",
    higher_is_better=True,
    bounds=(-2, 2),
    needs={"truth.mask"},
    output="curve",
    place_matters=True,
    in_output_unit=True,
    source=_SOURCE,
)
def truth_over_trivial(
    ev: Evaluation,
    *,
    fidelity: FidelityPart = "delta",
    alpha1: float = 0.1,
    alpha2: float = 0.9,
    trivial: Literal["empty", "full"] = "empty",
    n_samples: PositiveInt = 20,
    masker: str = "zero",
) -> Tensor:
    """How much better a fidelity scores the truth than the empty explanation, or the one that holds everything.

    A metric under test, the same for every explanation of a sample: measuring it on the oracle is enough. Below 0 the
    fidelity prefers an explanation that says nothing.

    Parameters
    ----------
    fidelity, alpha1, alpha2, n_samples, masker
        As for `edit_correlation`.
    trivial : {"empty", "full"}

    Returns
    -------
    Tensor (N,)
        NaN where the truth is empty or everything.
    """
    truth = true_mask(ev)
    other = torch.full_like(truth, trivial == "full")
    best, least = (_fidelity(ev, s, fidelity, alpha1, alpha2, n_samples, masker) for s in (truth, other))

    return torch.where(nontrivial_masks(truth), best - least, torch.nan)


def edited_sets(ev: Evaluation, truth: Tensor, added: Counts, removed: Counts) -> tuple[Tensor, Tensor]:
    """The truth with random features added and random true ones removed, all combinations.

    Returns
    -------
    sets : Tensor (N, K, F) of bool
    distance : Tensor (N, K) of int64
        Edits that were made of each.
    """
    n_features = truth.shape[1]
    place = ev.draws("edited truths").uniform((n_features,)).to(truth.device)
    inside = torch.where(truth, place, torch.inf).argsort(dim=1).argsort(dim=1)
    outside = torch.where(truth, torch.inf, place).argsort(dim=1).argsort(dim=1)
    sets, distances = [], []
    for more in added:
        for less in removed:
            gone, new = truth & (inside < less), ~truth & (outside < more)
            sets.append(truth & ~gone | new)
            distances.append(gone.sum(dim=1) + new.sum(dim=1))
    return torch.stack(sets, dim=1), torch.stack(distances, dim=1)


def _fidelity(
    ev: Evaluation, chosen: Tensor, fidelity: FidelityPart, alpha1: float, alpha2: float, n_samples: int, masker: str
) -> Tensor:
    """The fidelity (N,) of sets of features (N, F); of fid- minus its value."""
    clean = clean_scores(ev)
    plus = minus = torch.zeros_like(clean)
    if fidelity != "minus":
        plus = clean - mean_outputs(ev, chosen, "inside", alpha1, n_samples=n_samples, masker=masker)
    if fidelity != "plus":
        minus = clean - mean_outputs(ev, chosen, "outside", 1 - alpha2, n_samples=n_samples, masker=masker)
    return plus - minus


def _spearman(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's correlation of rows (N, K), NaN where one of them is constant."""
    ranks = [rankdata(v.cpu().double().numpy(), axis=1) for v in (a, b)]
    centred = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    size = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        found = (centred[0] * centred[1]).sum(axis=1) / np.where(size > 0, size, np.nan)
    return torch.from_numpy(np.clip(found, -1, 1)).to(a)
