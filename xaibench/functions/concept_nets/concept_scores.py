"""How well importances of concepts agree with their effects on the output."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor

from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array

NEGLIGIBLE = 1e-9
"""Scores below this share of the largest are rounding, and count as 0."""
_SOURCE = "xaibench's own definition, against effects by intervention"


def floored(scores: Tensor) -> Array:
    """Scores (K,), 0 at rounding level and where there is none."""
    known = scores.nan_to_num(nan=0.0)
    found: Array = torch.where(known.abs() < NEGLIGIBLE * known.abs().max(), 0.0, known).numpy()
    return found


_of_concepts = partial(
    metric,
    family="ground_truth",
    needs={"case", "concepts"},
    source=_SOURCE,
)
"""A score of concepts against their effects."""


@_of_concepts("concept_spearman", higher_is_better=True, bounds=(-1, 1), skill_valid=True)
def concept_spearman(ev: CaseEvaluation) -> Array:
    """Rank correlation of the scores with the true effects, signs included.

    Returns
    -------
    array (N,)
        0 for scores that are all equal.
    """
    found = []
    for i in range(len(ev)):
        scores = floored(ev.scores(i))
        found.append(float(spearmanr(scores, floored(ev.truth(i))).statistic) if np.ptp(scores) > 0 else 0.0)
    return np.array(found)


@_of_concepts("concept_sign", higher_is_better=True, bounds=(0, 1), skill_valid=True)
def concept_sign(ev: CaseEvaluation) -> Array:
    """Share of the concepts with an effect whose score has its sign; a score of 0 counts one half.

    Returns
    -------
    array (N,)
    """
    found = []
    for i, case in enumerate(ev.cases):
        used = case.hidden["used"].numpy() > 0
        agreement = np.sign(floored(ev.scores(i))) * np.sign(floored(ev.truth(i)))
        found.append(float((1 + agreement[used]).mean() / 2))
    return np.array(found)


@_of_concepts("concept_auroc", higher_is_better=True, bounds=(0, 1), skill_valid=True)
def concept_auroc(ev: CaseEvaluation) -> Array:
    """Probability that a concept with an effect has a larger score, by size, than one without; ties count one half.

    Returns
    -------
    array (N,)
    """
    sizes = [np.abs(floored(ev.scores(i))) for i in range(len(ev))]
    return np.array([roc_auc_score(case.hidden["used"].numpy(), s) for case, s in zip(ev.cases, sizes, strict=True)])


@_of_concepts("concept_false_positives", higher_is_better=False, bounds=(0, 1))
def concept_false_positives(ev: CaseEvaluation) -> Array:
    """Share of the concepts without an effect that have a score other than 0; 1 for methods without a test.

    Returns
    -------
    array (N,)
    """
    return np.array([_reported(ev, i, used=False) for i in range(len(ev))])


@_of_concepts("concept_power", higher_is_better=True, bounds=(0, 1))
def concept_power(ev: CaseEvaluation) -> Array:
    """Share of the concepts with an effect that have a score other than 0; 1 for methods without a test.

    Returns
    -------
    array (N,)
    """
    return np.array([_reported(ev, i, used=True) for i in range(len(ev))])


@_of_concepts("concept_false_discoveries", higher_is_better=False, bounds=(0, 1))
def concept_false_discoveries(ev: CaseEvaluation) -> Array:
    """Share of the concepts with a score other than 0 that have no effect; 0 where there is none, 1/2 without a test.

    Returns
    -------
    array (N,)
    """
    found = []
    for i, case in enumerate(ev.cases):
        reported = floored(ev.scores(i)) != 0
        unused = case.hidden["used"].numpy() == 0
        found.append(float((reported & unused).sum() / max(reported.sum(), 1)))
    return np.array(found)


def _reported(ev: CaseEvaluation, i: int, *, used: bool) -> float:
    chosen = (ev.cases[i].hidden["used"].numpy() > 0) == used
    return float((floored(ev.scores(i))[chosen] != 0).mean())


@_of_concepts("correlated_null_gap", higher_is_better=False, bounds=(-1, 1))
def correlated_null_gap(ev: CaseEvaluation) -> Array:
    """Mean size of scores of unused concepts whose partner is used, less that of others, as a share of the largest.

    Returns
    -------
    array (N,)
        0 for scores that are all 0.
    """
    found = []
    for i, case in enumerate(ev.cases):
        sizes = np.abs(floored(ev.scores(i)))
        partner = case.hidden["partner_used"].numpy() > 0
        other = (case.hidden["used"].numpy() == 0) & ~partner
        gap = sizes[partner].mean() - sizes[other].mean()
        found.append(float(gap / sizes.max()) if sizes.max() > 0 else 0.0)
    return np.array(found)
