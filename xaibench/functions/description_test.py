"""Unit test for descriptions after FIND (Schwettmann et al. 2023), without a language model: the program is run."""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np
from pydantic import PositiveInt

from xaibench.core.programs.black_box import BlackBox, numeric_outputs, run_program
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.neurons.generation import FIRING_THRESHOLD
from xaibench.functions.relations.catalogue import UNDEFINED

Exchange = tuple[str, str]
Triplet = tuple[Exchange, Exchange, Exchange]
ATTEMPTS = 64
"""Draws of a distractor, after which a function has too few that are not its own."""


@metric(
    "description_unit_test",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "string", "neuron", "relation"},
    skill_valid=True,
    source="Schwettmann et al. 2023 (arXiv:2309.03886): unit test; here executed offline",
)
def description_unit_test(ev: ProgramEvaluation, *, trials: PositiveInt = 10) -> Array:
    """Share of triplets in which the program points at the pair (input, output) that is the function's own.

    Each triplet has one pair of the function and two of other functions of the set, at their held-out
    inputs; of neurons, one word for which it fires and two for which it does not. The program runs
    on all three inputs, and the pair is chosen whose output is nearest to what it gives: equal
    first, else the most alike text (`difflib.SequenceMatcher.ratio`); of neurons, the word with the
    highest level. Who knows nothing is right one time in three.

    Parameters
    ----------
    trials : int
        Triplets for each function, drawn independently for each.

    Returns
    -------
    array (N,)
        Of k pairs that fit equally well each counts 1/k. A program without any output for a triplet
        has 0 there. NaN where there are not enough pairs: fewer than two other functions whose pairs
        are not this function's own too, or no test word on one side.

    Notes
    -----
    Pairs of others that this function would give as well are in no triplet, and neither are pairs of
    relations that say "undefined". The pairs come from ``ev.peers``: as for the control
    ``random``, it matters what else is in the set.
    """
    return np.array([_score(ev, i, trials) for i in range(len(ev))])


def _score(ev: ProgramEvaluation, i: int, trials: int) -> float:
    f = ev.functions[i]
    draws = ev.draws("description_unit_test", i)
    if numeric_outputs(f.kind):
        return _of_words(ev, i, trials, draws)
    triplets = _triplets(f, [g for g in (ev.peers or ev.functions) if g.name != f.name], trials, draws)
    if not triplets:
        return float("nan")
    found = ev.predict(i, [x for triplet in triplets for x, _ in triplet])
    fits = [_fit(given, y) for given, (_, y) in zip(found, (p for t in triplets for p in t), strict=True)]
    return _chosen(np.array(fits).reshape(-1, 3))


def _of_words(ev: ProgramEvaluation, i: int, trials: int, draws: np.random.Generator) -> float:
    inputs = list(ev.functions[i].test_inputs)
    truth = np.asarray(ev.truth(i, inputs), dtype=np.float64)
    active, silent = np.flatnonzero(truth > FIRING_THRESHOLD), np.flatnonzero(truth <= FIRING_THRESHOLD)
    if not len(active) or len(silent) < 2:
        return float("nan")
    found = np.asarray(ev.predict(i, inputs), dtype=np.float64)
    rows = np.array([[draws.choice(active), *draws.choice(silent, 2, replace=False)] for _ in range(trials)])
    return _chosen(np.where(np.isnan(found), -np.inf, found)[rows])


def _chosen(fits: Array) -> float:
    """Share of rows (t, 3) in which the first pair fits best, ties shared; -inf means no output."""
    best = fits == fits.max(axis=1, keepdims=True)
    right = best[:, 0] / best.sum(axis=1)
    return float(np.where(np.isneginf(fits).all(axis=1), 0.0, right).mean())


def _fit(given: object, wanted: str) -> float:
    """How well an output fits: above 1 where it is equal, -inf where there is none."""
    if given is None:
        return float("-inf")
    text = str(given)
    return 2.0 if text == wanted else SequenceMatcher(None, text, wanted, autojunk=False).ratio()


def _triplets(f: BlackBox, others: list[BlackBox], trials: int, draws: np.random.Generator) -> list[Triplet]:
    """Triplets with the function's own pair first; none where there are not enough pairs."""
    own = _pairs(f, [str(x) for x in f.test_inputs])
    found: list[Triplet] = []
    for _ in range(trials):
        distractors = _distractors(f, others, draws)
        if not own or len(distractors) < 2:
            return []
        found.append((own[draws.integers(len(own))], distractors[0], distractors[1]))
    return found


def _distractors(f: BlackBox, others: list[BlackBox], draws: np.random.Generator) -> list[Exchange]:
    """Two pairs of two other functions that f does not give."""
    found: list[Exchange] = []
    used: set[str] = set()
    for _ in range(ATTEMPTS if others else 0):
        g = others[draws.integers(len(others))]
        if g.name in used or not len(g.test_inputs):
            continue
        pairs = _pairs(g, [str(g.test_inputs[draws.integers(len(g.test_inputs))])])
        if pairs and pairs != found and run_program(f.program, [pairs[0][0]], f.kind)[0][0] != pairs[0][1]:
            used.add(g.name)
            found += pairs
        if len(found) == 2:
            break
    return found


def _pairs(f: BlackBox, inputs: list[str]) -> list[Exchange]:
    """Inputs with what the function gives for them, where it gives anything."""
    outputs = run_program(f.program, inputs, f.kind)[0]
    return [(x, str(y)) for x, y in zip(inputs, outputs, strict=True) if y is not None and y != UNDEFINED]
