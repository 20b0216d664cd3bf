"""Scores of descriptions as explainers: each rates the candidate descriptions of a neuron."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.core.types import Array
from xaibench.functions.scorers.tables import TABLE_SCORES, Tables

ScoreName = Literal[
    "recall", "precision", "f1", "iou", "accuracy", "balanced_accuracy", "inverse_balanced_accuracy", "auc",
    "inverse_auc", "difference_of_means", "correlation", "spearman", "cosine", "auprc", "inverse_auprc", "wpmi",
    "spearman_random_ties", "correlation_top_and_random",
]  # fmt: skip


@interpreter("description_score", takes={"scorer"})
def description_score(case: CaseView, draws: np.random.Generator, *, score: ScoreName = "f1") -> Scores:
    """Rate each candidate description of a binary neuron by one score of the literature.

    ``facts["range"]`` is the largest minus the smallest possible value, None where there is no bound (WPMI).

    Parameters
    ----------
    score : str
        ``recall`` is P(description | neuron), ``precision`` P(neuron | description). ``inverse_*`` take the
        description as the label. ``spearman`` gives ties their average rank, ``spearman_random_ties`` a random
        one. ``correlation_top_and_random`` is the correlation on a sample of which half are the active inputs and
        half are drawn from all. ``auprc`` is the step sum. ``wpmi`` has lambda 1 and memberships of at least 1e-8.

    Notes
    -----
    A description that holds everywhere or nowhere has no correlation: no opinion, which ranks last.
    """
    active = case.given.activation.numpy()
    candidates = case.given.candidates.numpy()
    if score == "spearman_random_ties":
        return _answer(_random_ties(active, candidates, draws), 2.0)
    if score == "correlation_top_and_random":
        rows = np.concatenate([np.flatnonzero(active), draws.integers(len(active), size=int(active.sum()))])
        correlation = TABLE_SCORES["correlation"]
        return _answer(correlation.of(Tables.of(active[rows], candidates[:, rows])), correlation.range)
    chosen = TABLE_SCORES[score]
    return _answer(chosen.of(Tables.of(active, candidates)), chosen.range)


def _answer(values: Array, size: float | None) -> Scores:
    return Scores(torch.from_numpy(np.array(values, dtype=np.float64)), facts={"range": size})


def _random_ties(active: Array, candidates: Array, draws: np.random.Generator) -> Array:
    """Spearman's correlation (J,) with equal values in random order."""
    ranks = _random_ranks(active, draws)
    return np.array([np.corrcoef(ranks, _random_ranks(c, draws))[0, 1] for c in candidates])


def _random_ranks(values: Array, draws: np.random.Generator) -> Array:
    """Ranks (n,) of binary values, equal ones in random order."""
    ranks = np.empty(len(values))
    k = int(values.sum())
    ranks[~values] = draws.permutation(len(values) - k)
    ranks[values] = len(values) - k + draws.permutation(k)
    return ranks


@interpreter("description_size", takes={"scorer"}, control=True)
def description_size(case: CaseView, draws: np.random.Generator) -> Scores:
    """Share of the inputs at which a description holds; never looks at the neuron."""
    return Scores(case.given.candidates.double().mean(dim=1), facts={"range": 1.0})
