"""Scores of dictionaries against the features of a world: directions, firing, uniqueness, reconstruction, density."""

from __future__ import annotations

from functools import partial

import numpy as np

from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.dictionaries.matching import absolute_cosines, firing, firing_f1, mean_cosine

_SOURCE = "after SynthSAEBench (sae-lens)"
_of_dictionaries = partial(metric, needs={"case", "dictionary"}, source=_SOURCE)
"""A score of a dictionary."""
_of_features = partial(_of_dictionaries, family="ground_truth", higher_is_better=True, bounds=(0, 1))
"""A score of a dictionary against the features."""


@_of_features("dictionary_mcc", skill_valid=True)
def dictionary_mcc(ev: CaseEvaluation) -> Array:
    """Mean |cosine| of directions and features matched one to one (MCC). Random directions do not have 0 but about .5.

    Returns
    -------
    array (N,)
    """
    return np.array([mean_cosine(ev.dictionary(i).directions, c.hidden["directions"]) for i, c in enumerate(ev.cases)])


@_of_features("dictionary_mmcs")
def dictionary_mmcs(ev: CaseEvaluation) -> Array:
    """Mean over features of the largest |cosine| with a direction; most features are too rare to have one.

    Returns
    -------
    array (N,)
    """
    return np.array([_cosines(ev, i).max(axis=0).mean() for i in range(len(ev))])


@_of_features("dictionary_f1", skill_valid=True)
def dictionary_f1(ev: CaseEvaluation) -> Array:
    """Mean over directions of F1 of their firing against the nearest feature's; 0 for directions that never fire.

    Directions that share a feature all count, so `dictionary_uniqueness` stands beside it.

    Returns
    -------
    array (N,)
    """
    pairs = enumerate(ev.cases)
    found = [firing_f1(ev.dictionary(i), c.hidden["directions"], c.hidden["activations"]) for i, c in pairs]
    return np.array(found)


@_of_features("dictionary_uniqueness")
def dictionary_uniqueness(ev: CaseEvaluation) -> Array:
    """Number of features that are nearest to a direction, as a share of the directions; random ones have about .9.

    Returns
    -------
    array (N,)
    """
    shares = [len(set(_cosines(ev, i).argmax(axis=1))) / len(ev.dictionary(i).directions) for i in range(len(ev))]
    return np.array(shares)


@_of_dictionaries("explained_variance", family="faithfulness", higher_is_better=True, bounds=(0, 1))
def explained_variance(ev: CaseEvaluation) -> Array:
    """Share of the variance of the test inputs that the reconstruction explains, and at least 0.

    The truth is not the best: most features are not among its directions.

    Returns
    -------
    array (N,)
    """
    found = []
    for i, case in enumerate(ev.cases):
        x = case.given.test.double()
        left = (x - ev.dictionary(i).reconstruction.double()).square().sum()
        found.append(max(0.0, float(1 - left / (x - x.mean(dim=0)).square().sum())))
    return np.array(found)


@_of_dictionaries("active_codes", family="complexity", higher_is_better=False, bounds=(0, None), worst=1e3)
def active_codes(ev: CaseEvaluation) -> Array:
    """Codes of an input that are not 0, on average (L0): what has to be equal where reconstructions are compared.

    Returns
    -------
    array (N,)
    """
    return np.array([float(firing(ev.dictionary(i).codes).double().sum(dim=1).mean()) for i in range(len(ev))])


@_of_dictionaries("silent_directions", family="complexity", higher_is_better=False, bounds=(0, 1))
def silent_directions(ev: CaseEvaluation) -> Array:
    """Share of the directions that no test input has.

    Returns
    -------
    array (N,)
    """
    return np.array([float((~firing(ev.dictionary(i).codes).any(dim=0)).double().mean()) for i in range(len(ev))])


def _cosines(ev: CaseEvaluation, i: int) -> Array:
    return absolute_cosines(ev.dictionary(i).directions, ev.cases[i].hidden["directions"])
