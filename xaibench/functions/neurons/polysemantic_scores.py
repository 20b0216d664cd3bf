"""Scores of answers that name several concepts of one neuron: which were found, how many, what they cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.neurons.concepts import vocabulary
from xaibench.functions.neurons.generation import FIRING_THRESHOLD

MATCH = 0.5
"""Jaccard similarity of two extents from which on they are one concept."""
_PRISM = "after PRISM (Kopf et al. 2025, arXiv:2506.15538), which describes a feature by several concepts"
Extents = list[frozenset[str]]


@metric(
    "neuron_concept_f1",
    family="ground_truth",
    construct="neuron_concepts",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "neuron"},
    skill_valid=True,
    source=f"xaibench's own definition, {_PRISM}; matching by Kuhn 1955",
)
def neuron_concept_f1(ev: ProgramEvaluation) -> Array:
    """F1 of the concepts that are named: matched one to one with the true ones, by the words that they hold.

    The matching has the largest sum of Jaccard similarities, where those below .5 do not match.

    Returns
    -------
    array (N,)
        Concepts are ``facts["concepts"]``, a list of lists of words, or what ``facts["parameters"]`` of
        `concept_search` name. No concept named: 0. NaN for conjunctions, which are not a list of concepts.

    Notes
    -----
    Who names one of k concepts has 2 / (1 + k) at best.
    """
    return np.array([_f1(ev, i) for i in range(len(ev))])


def _f1(ev: ProgramEvaluation, i: int) -> float:
    true = extents_of(ev.functions[i].parameters)
    if true is None:
        return float("nan")
    found = extents_of(ev.answers[i].facts) or []
    return 2 * matches(true, found) / (len(true) + len(found)) if found else 0.0


def matches(true: Extents, found: Extents) -> int:
    """Number of pairs of the best one-to-one matching of extents."""
    similarity = np.array([[len(a & b) / len(a | b) if a | b else 0.0 for b in found] for a in true])
    similarity[similarity < MATCH] = 0.0
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return int((similarity[rows, columns] > 0).sum())


@metric(
    "neuron_count_error",
    family="ground_truth",
    higher_is_better=False,
    bounds=(0, None),
    needs={"program", "neuron"},
    source=f"xaibench's own definition, {_PRISM}",
)
def neuron_count_error(ev: ProgramEvaluation) -> Array:
    """Difference between the number of concepts that are named and the true one; says nothing about which.

    Returns
    -------
    array (N,)
        No concept named: all are missing. NaN for conjunctions.
    """
    pairs = (
        (extents_of(f.parameters), extents_of(a.facts) or []) for f, a in zip(ev.functions, ev.answers, strict=True)
    )
    return np.array([float("nan") if true is None else float(abs(len(found) - len(true))) for true, found in pairs])


@metric(
    "neuron_coverage",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "neuron"},
    source=f"xaibench's own definition, {_PRISM}",
)
def neuron_coverage(ev: ProgramEvaluation) -> Array:
    """Share of the test words for which the neuron fires that some named concept holds; more concepts never lower it.

    Returns
    -------
    array (N,)
        No concept named: 0. NaN for conjunctions, and where the neuron fires for no test word.
    """
    return np.array([_coverage(ev, i) for i in range(len(ev))])


def _coverage(ev: ProgramEvaluation, i: int) -> float:
    inputs = [str(word) for word in ev.functions[i].test_inputs]
    fires = np.asarray(ev.truth(i, inputs), dtype=np.float64) > FIRING_THRESHOLD
    if extents_of(ev.functions[i].parameters) is None or not fires.any():
        return float("nan")
    named = frozenset().union(*(extents_of(ev.answers[i].facts) or []))
    return float(np.mean([word in named for word, on in zip(inputs, fires, strict=True) if on]))


def extents_of(facts: Mapping[str, Any]) -> Extents | None:
    """Words of each concept that a neuron has, or an answer names; None where it names none.

    Parameters
    ----------
    facts : mapping
        Facts of an answer, or parameters of a neuron: ``concepts`` as lists of words or ``extents``; else names of
        known concepts in ``concepts`` with a ``mode`` other than "and", perhaps below ``parameters``.
    """
    listed = facts.get("extents", facts.get("concepts"))
    if isinstance(listed, (list, tuple)) and listed and all(isinstance(x, (list, tuple)) for x in listed):
        return [frozenset(map(str, words)) for words in listed]
    named = facts.get("parameters", facts)
    if not isinstance(named, Mapping) or named.get("mode") not in ("single", "or"):
        return None
    words = vocabulary()
    known = [c for c in named.get("concepts", ()) if c in words.concepts]
    rows = words.members[[words.concepts.index(c) for c in known]]
    return [frozenset(words.words[w] for w in np.flatnonzero(row)) for row in rows] or None
