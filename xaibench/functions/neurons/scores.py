"""Scores of programs for neurons over words."""

from __future__ import annotations

import numpy as np
from pydantic import PositiveInt

from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.neurons.generation import FIRING_THRESHOLD
from xaibench.functions.query_efficiency import budgets_of, mean_over_budgets

_OWN = "xaibench's own definition"


@metric(
    "neuron_auroc",
    family="ground_truth",
    construct="neuron_values",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "neuron"},
    skill_valid=True,
    source=f"{_OWN}: by AUROC; Mann and Whitney 1947",
)
def neuron_auroc(ev: ProgramEvaluation) -> Array:
    """Chance that the program gives a held-out word for which the neuron fires more than one for which it does not.

    Exact, over all pairs of such words; ties count 1/2. The neuron fires above .5, without noise.

    Returns
    -------
    array (N,)
        A word without an output is ranked on the wrong side, so that no program at all has 0. NaN
        where the test words are all of one side.
    """
    return np.array([_auroc(ev, i) for i in range(len(ev))])


def _auroc(ev: ProgramEvaluation, i: int) -> float:
    inputs = ev.functions[i].test_inputs
    truth = np.asarray(ev.truth(i, inputs), dtype=np.float64)
    found = np.asarray(ev.predict(i, inputs), dtype=np.float64)
    fires, silent = truth > FIRING_THRESHOLD, truth <= FIRING_THRESHOLD
    if not fires.any() or not silent.any():
        return float("nan")
    high = np.where(np.isnan(found), -np.inf, found)[fires][:, None]
    low = np.where(np.isnan(found), np.inf, found)[silent][None]
    return float(((high > low) + 0.5 * (high == low)).mean())


@metric(
    "neuron_concept_accuracy",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "neuron"},
    skill_valid=True,
    source=f"{_OWN}: the concept, up to equal members",
)
def neuron_concept_accuracy(ev: ProgramEvaluation) -> Array:
    """1 if the program fires (above .5) for the same words as the neuron, in the domain and the test, else 0.

    Concepts that hold the same words are the same concept, whatever they are called.
    """
    return np.array([float(np.array_equal(*_fires(ev, i))) for i in range(len(ev))])


@metric(
    "neuron_iou",
    family="ground_truth",
    construct="neuron_values",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "neuron"},
    skill_valid=True,
    source="Own; intersection over union, as in network dissection (Bau et al. 2017, arXiv:1704.05796)",
)
def neuron_iou(ev: ProgramEvaluation) -> Array:
    """Words of domain and test for which both neuron and program fire (above .5), over those for which either does.

    Returns
    -------
    array (N,)
        NaN where the neuron fires for no word.
    """
    return np.array([_iou(*_fires(ev, i)) for i in range(len(ev))])


def _iou(truth: Array, found: Array) -> float:
    return float((truth & found).sum() / (truth | found).sum()) if truth.any() else float("nan")


@metric(
    "neuron_query_efficiency",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "neuron"},
    skill_valid=True,
    budgets=budgets_of,
    source=f"{_OWN}: area under the score-versus-log(queries) curve",
)
def neuron_query_efficiency(ev: ProgramEvaluation, *, first: PositiveInt = 8, factor: PositiveInt = 2) -> Array:
    """Area under `neuron_auroc` against the logarithm of the allowed questions, divided by its width.

    The interpreter is asked again with ``first``, ``first * factor`` ... questions, up to the budget.

    Parameters
    ----------
    first : int
    factor : int
        At least 2.

    Raises
    ------
    UsageError
        If the budget does not exceed ``first``, or the factor is 1.
    """
    return mean_over_budgets(ev, neuron_auroc, first=first, factor=factor)


def _fires(ev: ProgramEvaluation, i: int) -> tuple[Array, Array]:
    """Whether the neuron and the program fire for each word whose level is known; no output is no agreement."""

    def compute() -> tuple[Array, Array]:
        f = ev.functions[i]
        words = [*f.domain.words, *(w for w in f.test_inputs if w not in set(f.domain.words))]
        truth = np.asarray(ev.truth(i, words), dtype=np.float64)
        found = np.asarray(ev.predict(i, words), dtype=np.float64)
        known = np.isfinite(truth)
        fires = truth[known] > FIRING_THRESHOLD
        return fires, np.where(np.isnan(found[known]), ~fires, found[known] > FIRING_THRESHOLD)

    pair: tuple[Array, Array] = ev.reuse(f"neuron/fires/{i}", compute)
    return pair
