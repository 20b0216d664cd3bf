"""Which predicate does a neuron over pictures fire for? From exemplars, from natural pictures, and by edits."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.core.types import Array
from xaibench.functions.scenes.generation import SceneNeuron
from xaibench.functions.scenes.predicates import FACTOR_SIZES, N_VALUES, has_values, members

N_EXEMPLARS = 15
N_SEEN = 24
"""Natural pictures that an explainer sees before it edits."""


@interpreter("exemplars", takes=["scene"])
def exemplars(case: CaseView, draws: np.random.Generator) -> Scores:
    """How much more frequent a value is among the loudest 15 of all natural pictures; no opinion on pairs."""
    given: SceneNeuron = case.given
    values = has_values(given.natural)
    loudest = values[loudest_first(given.activations)[:N_EXEMPLARS]]
    scores = np.full(len(case.units), np.nan)
    scores[:N_VALUES] = loudest.mean(axis=0) / np.maximum(values.mean(axis=0), 1 / len(values))
    return Scores(torch.from_numpy(scores))


@interpreter("passive_pictures", takes=["scene"])
def passive_pictures(case: CaseView, draws: np.random.Generator, *, n_pictures: PositiveInt = 2000) -> Scores:
    """Correlation of activations of natural pictures with each predicate.

    Parameters
    ----------
    n_pictures : int
        That are looked at, at most all 2,000.
    """
    given: SceneNeuron = case.given
    seen = draws.permutation(len(given.natural))[:n_pictures]
    return Scores(torch.from_numpy(correlations(given.natural[seen], given.activations[seen])))


@interpreter("edited_pictures", takes=["scene"])
def edited_pictures(
    case: CaseView,
    draws: np.random.Generator,
    *,
    start: Literal["blind", "exemplars"] = "exemplars",
    n_edits: PositiveInt = 40,
) -> Scores:
    """The same with pictures in which one factor of a loud picture was changed.

    Parameters
    ----------
    start : {"blind", "exemplars"}
        Whether 24 natural pictures are looked at, or all 2,000; edits are of the loudest ones of these.
    n_edits : int
        Pictures that are asked for.
    """
    given: SceneNeuron = case.given
    seen = draws.permutation(len(given.natural))[: N_SEEN if start == "blind" else None]
    natural, activations = given.natural[seen], given.activations[seen]
    edits = one_factor_edits(natural[loudest_first(activations)], n_edits, draws)
    answers = np.array([given.probe(spec) for spec in edits])
    looked, asked = correlations(natural, activations), correlations(edits, answers)
    return Scores(torch.from_numpy(looked + asked))


@interpreter("frequent_values", takes=["scene"], control=True)
def frequent_values(case: CaseView, draws: np.random.Generator) -> Scores:
    """How many natural pictures a predicate is true for; a placebo that never looks at activations."""
    given: SceneNeuron = case.given
    return Scores(torch.from_numpy(members(given.natural).mean(axis=0)))


def loudest_first(activations: Array) -> Array:
    """Numbers of pictures (n,), the loudest first."""
    found: Array = np.argsort(-activations, kind="stable")
    return found


def correlations(specs: Array, activations: Array) -> Array:
    """Correlation (856,) of activations (n,) with each predicate; 0 for one that is true, or false, for all pictures.

    Predicates that are true for the same of these pictures have the same score to the last digit.
    """
    inside = members(specs).astype(np.float64)
    n, rate = len(specs), inside.mean(axis=0)
    y = activations - activations.mean()
    covariance = np.array([float(y[column > 0].sum()) for column in inside.T]) / n
    spread = np.sqrt(rate * (1 - rate)) * max(float(activations.std()), 1e-12)
    found: Array = np.divide(covariance, spread, out=np.zeros_like(rate), where=spread > 0)
    return found


def one_factor_edits(loudest: Array, n: int, draws: np.random.Generator) -> Array:
    """Pictures (n, 5) that differ in one factor from the loudest, then from the next one, in drawn order."""
    found: list[Array] = []
    for base in loudest:
        edits = []
        for factor, size in enumerate(FACTOR_SIZES):
            for value in range(size):
                if value != base[factor]:
                    edit = base.copy()
                    edit[factor] = value
                    edits.append(edit)
        found += [edits[i] for i in draws.permutation(len(edits))]
        if len(found) >= n:
            break
    return np.array(found[:n])
