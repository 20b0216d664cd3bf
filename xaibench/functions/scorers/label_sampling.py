"""F1 of descriptions from a few labels: drawn uniformly, by halves from the top, or by importance with weights."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.program_registry import interpreter
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.scorers.tables import TABLE_SCORES, Tables

SamplingScheme = Literal["uniform", "top_and_random", "importance"]
"""How the inputs are drawn at which a description is labelled."""


@interpreter("sampled_f1", takes={"scorer"})
def sampled_f1(
    case: CaseView, draws: np.random.Generator, *, sampling: SamplingScheme = "importance", labels: PositiveInt = 500
) -> Scores:
    """F1 of each description, estimated from labels at some inputs; the neuron is known at all of them.

    A label says whether the description holds at an input, and is what costs: a person or a language model gives it.
    Inputs are drawn with replacement, the same ones for all descriptions of the case.

    Parameters
    ----------
    sampling : {"uniform", "top_and_random", "importance"}
        ``uniform``: each of n inputs with probability 1/n. The other two draw half of the labels from the k inputs at
        which the neuron is active, and half from all. ``top_and_random`` is F1 on that sample, as if it
        were all inputs. ``importance`` weights each label by one over the probability q of its input,
        1/(2k) + 1/(2n) or 1/(2n), so that the counts of true positives and of the description are unbiased
        (Horvitz and Thompson 1952; for draws with replacement Hansen and Hurwitz 1943).
    labels : int

    Notes
    -----
    With ``uniform`` and ``importance`` F1 is 2 TP / (k + size) with the number k of active inputs, which is known. As a
    ratio of estimates it is unbiased in the limit only.
    """
    active = case.given.activation.numpy()
    candidates = case.given.candidates.numpy()
    rows, chances = sampled_inputs(active, sampling, labels, draws)
    if sampling == "top_and_random":
        values = TABLE_SCORES["f1"].of(Tables.of(active[rows], candidates[:, rows]))
    else:
        counted = candidates[:, rows] / chances / labels
        true_positives, size = counted[:, active[rows]].sum(axis=1), counted.sum(axis=1)
        total = active.sum() + size
        values = np.divide(2 * true_positives, total, out=np.full(len(total), np.nan), where=total > 0)
    return Scores(torch.from_numpy(np.array(values, dtype=np.float64)), facts={"range": 1.0, "labels": labels})


def sampled_inputs(
    active: Array, sampling: SamplingScheme, labels: int, draws: np.random.Generator
) -> tuple[Array, Array]:
    """Numbers of drawn inputs (labels,), and the probability with which each of them is drawn.

    Half of the draws, rounded down, is from the active inputs, except with ``uniform``.
    """
    n, k = len(active), int(active.sum())
    top = 0 if sampling == "uniform" or not k else labels // 2
    chances = np.where(active, top / max(k, 1), 0.0) / labels + (labels - top) / labels / n
    rows = np.concatenate([draws.choice(np.flatnonzero(active), size=top), draws.integers(n, size=labels - top)])
    return rows, chances[rows]


@metric(
    "f1_error",
    family="ground_truth",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"case", "scorer"},
    scale_invariant=False,
    source="xaibench's own definition",
)
def f1_error(ev: CaseEvaluation) -> Array:
    """Mean difference of the ratings from the exact F1 of each description, by size.

    Says how well F1 is estimated, and not whether F1 is a good score.

    Returns
    -------
    array (N,)
        At most 1; a description without a rating counts 1.
    """
    return np.array([_error(ev, i) for i in range(len(ev))])


def _error(ev: CaseEvaluation, i: int) -> float:
    given = ev.cases[i].given
    exact = TABLE_SCORES["f1"].of(Tables.of(given.activation.numpy(), given.candidates.numpy()))
    error = np.abs(ev.scores(i).numpy() - exact)
    return float(np.where(np.isnan(error), 1.0, np.minimum(error, 1.0)).mean())
