"""Correlation with leave-one-out effects, and the linear datamodelling score (Park et al. 2023)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array


@metric(
    "leave_one_out_correlation",
    family="ground_truth",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"case", "influence"},
    skill_valid=True,
    source="Koh and Liang 2017, Understanding black-box predictions via influence functions: figure 2",
)
def leave_one_out_correlation(ev: CaseEvaluation) -> Array:
    """Pearson correlation of scores with the exact effect of leaving each row out, mean over test rows.

    Returns
    -------
    array (N,)
        A test row whose scores are all equal counts 0. A score that is NaN counts as the lowest one of its test row;
        where all of them are, the test row counts -1.
    """
    return np.array([_loo(ev.scores(i), ev.truth(i)) for i in range(len(ev))])


def _loo(scores: Tensor, truth: Tensor) -> float:
    silent = torch.isnan(scores).all(dim=1)
    found = row_correlations(lowest_for_nan(scores).numpy(), truth.numpy())
    return float(np.where(silent.numpy(), -1.0, found).mean())


@metric(
    "linear_datamodelling_score",
    family="ground_truth",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"case", "influence"},
    source="Park et al. 2023, TRAK: Attributing model behavior at scale (arXiv:2303.14186): linear datamodelling score",
)
def linear_datamodelling_score(ev: CaseEvaluation) -> Array:
    """Spearman correlation of summed scores with outputs of models fitted to subsets, mean over test rows.

    The scores of the rows of each of 100 random halves are summed, and compared with the output of the
    regression that is fitted to that half: exact, since fitting is. Leaving one out is not the best possible
    answer to this question, so there is no skill.

    Returns
    -------
    array (N,)
        As in `leave_one_out_correlation`.
    """
    cases = ((ev.scores(i), ev.cases[i].hidden) for i in range(len(ev)))
    return np.array([_lds(scores, hidden["subsets"], hidden["outputs"]) for scores, hidden in cases])


def _lds(scores: Tensor, subsets: Tensor, outputs: Tensor) -> float:
    silent = torch.isnan(scores).all(dim=1)
    sums = (lowest_for_nan(scores) @ subsets.to(scores.dtype).T).numpy()
    constant = np.ptp(lowest_for_nan(scores).numpy(), axis=1) == 0
    ranks = rankdata(np.where(constant[:, None], 0.0, sums), axis=1)
    found = row_correlations(ranks, rankdata(outputs.T.numpy(), axis=1))
    return float(np.where(silent.numpy(), -1.0, found).mean())


def lowest_for_nan(scores: Tensor) -> Tensor:
    """Scores (Q, U) with the lowest one of each row for NaN, and 0 in rows that hold nothing else."""
    known = torch.where(torch.isnan(scores), torch.inf, scores).amin(dim=1, keepdim=True)
    lowest = torch.where(torch.isfinite(known), known, 0.0)
    return torch.where(torch.isnan(scores), lowest, scores)


def row_correlations(a: Array, b: Array) -> Array:
    """Pearson correlation of each row of two arrays (q, n), 0 where a row is constant: (q,)."""
    constant = (np.ptp(a, axis=1) == 0) | (np.ptp(b, axis=1) == 0)
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    a, b = (x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(float).tiny) for x in (a, b))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found = (a * b).sum(axis=1) / np.where(constant, 1.0, size)
    return np.asarray(np.clip(np.where(constant, 0.0, found), -1.0, 1.0))
