"""Interpreters of neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import xaibench as xb
from xaibench.core.errors import UsageError
from xaibench.core.programs.black_box import Interpretation
from xaibench.functions.neurons.concepts import Expression, vocabulary
from xaibench.functions.neurons.generation import find_neuron
from xaibench.functions.neurons.search import _guesses

WORDS = vocabulary()
FUNCTIONS = find_neuron(seed=9, n=12)


def levels(found: Interpretation, words: list[str]) -> np.ndarray[Any, Any]:
    return np.asarray(found.program(words), dtype=np.float64)


@pytest.mark.parametrize("i", range(6))
def test_concept_search_finds_the_concept(i: int) -> None:
    f = FUNCTIONS[i]
    found = xb.interpret("concept_search", f, budget=64)
    words = [*f.domain.words, *f.test_inputs]
    np.testing.assert_array_equal(levels(found, words) > 0.5, np.asarray(f.program(words)) > 0.5)
    assert found.family == f.family
    assert found.queries <= 64
    assert found.facts["auroc"] == 1


@pytest.mark.parametrize("budget", [1, 2, 5])
def test_small_budgets_give_answers(budget: int) -> None:
    for name in ("concept_search", "neuron_lookup", "mean_level"):
        found = xb.interpret(name, FUNCTIONS[0], budget=budget)
        assert found.queries <= budget
        assert np.isfinite(levels(found, list(FUNCTIONS[0].test_inputs))).all()


@pytest.mark.slow
def test_areas_are_those_of_scikit_learn() -> None:
    guesses = _guesses(WORDS)
    draws = np.random.default_rng(0)
    asked = draws.choice(len(WORDS.words), 200, replace=False)
    answers = draws.integers(0, 6, 200) / 5
    areas = guesses.auroc(asked, answers)
    members = guesses.levels(asked) == 1
    some = draws.choice(np.flatnonzero(members.any(axis=1)), 40, replace=False)
    for k in some:
        assert areas[k] == pytest.approx(roc_auc_score(members[k], answers))
    assert (areas[~members.any(axis=1)] == 0.5).all()


@pytest.mark.slow
def test_every_neuron_is_among_the_guesses() -> None:
    guesses = _guesses(WORDS)
    known = {(e.mode, frozenset(e.concepts)) for e in (guesses.expression(k) for k in range(len(guesses.first)))}
    assert len(known) == len(guesses.first)
    for f in find_neuron(seed=10, n=90):
        assert (f.parameters["mode"], frozenset(f.parameters["concepts"])) in known


def test_guesses_have_the_levels_of_expressions() -> None:
    guesses = _guesses(WORDS)
    rows = np.arange(0, len(WORDS.words), 50)
    for k in (0, 100, 5000, len(guesses.first) - 1):
        np.testing.assert_array_equal(guesses.levels(rows, np.array([k]))[0], guesses.expression(k).levels(WORDS)[rows])


@pytest.mark.slow
def test_a_neuron_of_ones_own_is_searched_and_strange_words_are_passed_over() -> None:
    fires = Expression("single", ("birds",)).levels(WORDS) == 1
    words = ["qwertz", *WORDS.words]
    truth = dict(zip(WORDS.words, fires.astype(float), strict=True))
    found = xb.interpret(
        "concept_search", lambda asked: np.array([truth[w] for w in asked]), domain=words, kind="neuron", budget=100
    )
    assert found.facts["parameters"] == {"mode": "single", "concepts": ["birds"]}
    with pytest.raises(UsageError, match="no word of the domain"):
        xb.interpret("concept_search", lambda asked: np.zeros(len(asked)), domain=["qwertz"], kind="neuron")


def test_lookup_repeats_what_it_was_told_and_knows_neighbours() -> None:
    f = next(f for f in FUNCTIONS if f.family == "single")
    answered = dict(zip(f.domain.words, np.asarray(f.call(list(f.domain.words))), strict=True))
    found = xb.interpret("neuron_lookup", f, budget=len(f.domain.words))
    near = levels(found, list(f.test_inputs))
    truth = np.asarray(f.program(list(f.test_inputs))) > 0.5
    assert roc_auc_score(truth, near) > 0.9
    # Words in the very same places of the taxonomy share their mean.
    rows = WORDS.rows(f.domain.words)
    same = (WORDS.nodes[rows] == WORDS.nodes[rows[0]]).all(axis=1)
    wanted = np.mean([answered[w] for w, s in zip(f.domain.words, same, strict=True) if s])
    assert levels(found, [f.domain.words[0]])[0] == pytest.approx(wanted)


def test_the_mean_level_says_nothing_about_a_word() -> None:
    f = FUNCTIONS[0]
    found = xb.interpret("mean_level", f, budget=len(f.domain.words))
    wanted = np.asarray(f.call(list(f.domain.words))).mean()
    np.testing.assert_allclose(levels(found, ["cat", "idea"]), wanted)
