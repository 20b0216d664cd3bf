"""Metrics of scores of descriptions: does the true description win, by how much, and against every corruption."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.scorers.candidates import RELATIONS

_NEURONEVAL = "Oikarinen et al. 2025, Evaluating neuron explanations: a unified framework with sanity checks (ICML)"


@metric(
    "description_preference",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "scorer"},
    skill_valid=True,
    source="xaibench's own definition",
)
def description_preference(ev: CaseEvaluation) -> Array:
    """Share of the wrong descriptions that are rated below the true one; ties count 1/2.

    Returns
    -------
    array (N,)
        A description without a rating ranks last.
    """
    return np.array([_preference(*_ratings(ev, i)) for i in range(len(ev))])


def _preference(true: float, others: Array) -> float:
    return float(((true > others) + 0.5 * (true == others)).mean())


@metric(
    "description_margin",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "scorer"},
    skill_valid=True,
    scale_invariant=False,
    source=_NEURONEVAL,
)
def description_margin(ev: CaseEvaluation, *, threshold: Annotated[float, Ge(0)] = 0.001) -> Array:
    """Share of the wrong descriptions that are rated below the true one by more than a threshold.

    Parameters
    ----------
    threshold : float
        As a share of the range of the score, which is ``facts["range"]``, or 1.

    Returns
    -------
    array (N,)
        A description without a rating ranks last. NaN for scores without a finite range (WPMI).
    """
    return np.array([_margin(ev, i, threshold) for i in range(len(ev))])


def _margin(ev: CaseEvaluation, i: int, threshold: float) -> float:
    size = range_of(ev, i)
    true, others = _ratings(ev, i)
    if size is None:
        return float("nan")
    if np.isneginf(true):
        return 0.0
    return float((true - others > threshold * size).mean())


@metric(
    "description_sensitivity",
    family="ground_truth",
    higher_is_better=True,
    bounds=(None, None),
    worst=-1.0,
    needs={"case", "scorer"},
    scale_invariant=False,
    source=f"{_NEURONEVAL}: missing and extra labels test",
)
def description_sensitivity(ev: CaseEvaluation) -> Array:
    """Mean fall of the rating from the true description to wrong ones, for the sort of mistake with the smallest fall.

    A score of descriptions passes if this is above .001 whatever the firing rate.

    Returns
    -------
    array (N,)
        As a share of the range of the score, ``facts["range"]`` or 1. Descriptions without a rating are left
        out; -1 where the true one has none, NaN where no wrong one of a sort has one, and for scores without a
        finite range.
    """
    return np.array([_sensitivity(ev, i) for i in range(len(ev))])


def _sensitivity(ev: CaseEvaluation, i: int) -> float:
    size = range_of(ev, i)
    values, relation = ev.scores(i).numpy(), ev.cases[i].hidden["relation"].numpy()
    (true,) = values[relation == 0]
    if size is None:
        return float("nan")
    if np.isnan(true):
        return -1.0
    falls = []
    for k in np.unique(relation[relation > 0]):
        known = values[relation == k]
        known = known[~np.isnan(known)]
        falls.append((true - known.mean()) / size if len(known) else np.nan)
    return float(np.min(falls))


def range_of(ev: CaseEvaluation, i: int) -> float | None:
    """Largest less smallest possible value of the score that answered for case i; 1 where it does not say."""
    answer = ev.answers[i]
    assert isinstance(answer, Scores)
    found = answer.facts.get("range", 1.0)
    return None if found is None else float(found)


def _ratings(ev: CaseEvaluation, i: int) -> tuple[float, Array]:
    """Rating of the true description, and of the others; -inf without one."""
    relation: Tensor = ev.cases[i].hidden["relation"]
    values = np.nan_to_num(ev.scores(i).numpy(), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    mask = (relation == RELATIONS.index("true")).numpy()
    return float(values[mask][0]), values[~mask]
