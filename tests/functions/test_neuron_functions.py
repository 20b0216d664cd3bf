"""Words, concepts, and neurons that fire for them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from xaibench.core.errors import UsageError
from xaibench.core.program_specs import FunctionsSpec
from xaibench.core.programs.black_box import BlackBox
from xaibench.core.registry import get
from xaibench.datasets.cards import card
from xaibench.functions.neurons.concepts import FORMS, NEAR, Expression, jaccard_similarity, vocabulary
from xaibench.functions.neurons.generation import (
    FEWEST_ASKED,
    FEWEST_TEST,
    FIRING_THRESHOLD,
    TEST_WORDS,
    Neuron,
    find_neuron,
)

WORDS = vocabulary()


def belongs(word: str, concept: str) -> bool:
    assert word in WORDS.words
    return bool(WORDS.members[WORDS.concepts.index(concept), WORDS.rows([word])[0]])


def level(word: str, concept: str) -> float:
    assert word in WORDS.words
    return float(WORDS.levels[WORDS.concepts.index(concept), WORDS.rows([word])[0]])


def fires(f: BlackBox, words: list[str]) -> np.ndarray:
    return np.asarray(f.program(words)) > FIRING_THRESHOLD


@pytest.mark.parametrize(
    ("word", "concept"),
    [
        ("cat", "animals"),
        ("cat", "carnivorous mammals"),
        ("owl", "birds"),
        ("ant", "insects"),
        ("beer", "alcoholic drinks"),
        ("beer", "food and drink"),
        ("violin", "musical instruments"),
        ("clarinet", "wind instruments"),
        ("hydrogen", "chemical elements"),
        ("sofa", "furniture"),
        ("dentist", "health professionals"),
        ("biology", "sciences"),
        ("rain", "weather"),
        ("square", "shapes"),
    ],
)
def test_words_belong_where_everybody_puts_them(word: str, concept: str) -> None:
    assert belongs(word, concept)


@pytest.mark.parametrize(
    ("word", "concept"),
    [("cat", "birds"), ("sofa", "animals"), ("violin", "wind instruments"), ("rain", "chemical elements")],
)
def test_words_do_not_belong_elsewhere(word: str, concept: str) -> None:
    assert not belongs(word, concept)


def test_the_table_is_small_and_as_the_card_says() -> None:
    found = card("find_words")
    assert len(WORDS.words) == found.rows == len(set(WORDS.words))
    assert set(WORDS.definitions) == set(WORDS.concepts) - set(FORMS)
    assert len(set(WORDS.concepts)) == len(WORDS.concepts) == 139 + 8
    assert all(WORDS.definitions.values())
    assert (WORDS.members.sum(axis=1) >= 10).all()
    assert sorted(WORDS.order) == list(range(len(WORDS.words)))


def test_narrower_concepts_lie_in_wider_ones() -> None:
    index = {name: k for k, name in enumerate(WORDS.concepts)}
    for inner, outer in (("dogs", "mammals"), ("mammals", "animals"), ("metals", "chemical elements")):
        a, b = WORDS.members[index[inner]], WORDS.members[index[outer]]
        assert (a <= b).all()
        assert a.sum() < b.sum()


def test_levels_fall_with_the_distance_in_the_taxonomy() -> None:
    assert level("dachshund", "dogs") == 1
    chain = [level(word, "dogs") for word in ("dachshund", "cat", "owl", "piano", "idea")]
    assert chain == sorted(chain, reverse=True)
    assert len(set(chain[:4])) == 4
    others = WORDS.levels[: len(WORDS.definitions)]
    assert others[others < 1].max() < NEAR
    assert others.min() >= 0
    # Against the definition for one pair: the narrowest node that holds both "cat" and the concept's own words.
    dogs = WORDS.members[WORDS.concepts.index("dogs")]
    shared = WORDS.nodes[WORDS.rows(["cat"])[0]] & WORDS.nodes[dogs].all(axis=0)
    smallest = WORDS.nodes[:, shared].mean(axis=0).min()
    assert level("cat", "dogs") == pytest.approx(NEAR * np.log(smallest) / np.log(dogs.mean()))


def test_forms_are_what_they_say() -> None:
    for name, yes, no in (
        ("have at most five letters", "apple", "banana"),
        ("have at least eight letters", "aardvark", "ability"),
        ("begin with a vowel", "apple", "banana"),
        ("end with a vowel", "banana", "aardvark"),
        ("have a double letter", "apple", "banana"),
        ("contain an o", "voice", "apple"),
        ("contain an r", "aardvark", "apple"),
        ("contain an s", "sofa", "apple"),
    ):
        assert FORMS[name](yes)
        assert not FORMS[name](no)
    assert len(FORMS) == 8


def test_unclear_words_are_no_members_by_a_frequent_sense() -> None:
    assert not (WORDS.unclear & WORDS.members).any()
    for word, concept in (("screwdriver", "drinks"), ("pike", "solid food"), ("iron", "implements")):
        assert WORDS.unclear[WORDS.concepts.index(concept), WORDS.rows([word])[0]]
    for word, concept in (("screwdriver", "tools"), ("beer", "drinks"), ("sofa", "drinks")):
        assert not WORDS.unclear[WORDS.concepts.index(concept), WORDS.rows([word])[0]]


def test_similarity_is_one_for_a_word_and_itself() -> None:
    rows = WORDS.rows(["cat", "lion", "idea"])
    found = jaccard_similarity(WORDS, rows, rows)
    np.testing.assert_allclose(np.diag(found), 1)
    np.testing.assert_allclose(found, found.T)
    assert found[0, 1] > 0.5 > found[0, 2]


def test_expressions_join_their_parts() -> None:
    food, drugs = ("food and drink",), ("drugs",)
    a, b = (Expression("single", x).levels(WORDS) for x in (food, drugs))
    np.testing.assert_array_equal(Expression("or", food + drugs).levels(WORDS), np.maximum(a, b))
    np.testing.assert_array_equal(Expression("and", food + drugs).levels(WORDS), np.minimum(a, b))
    assert "beer" in np.array(WORDS.words)[Expression("and", food + drugs).levels(WORDS) == 1]


@pytest.mark.parametrize("seed", [0, 7])
def test_tests_are_balanced_held_out_and_clear(seed: int) -> None:
    functions = find_neuron(seed=seed, n=60)
    assert Counter(f.family for f in functions) == {"single": 20, "or": 20, "and": 20}
    asked = set(functions[0].domain.words)
    assert len(asked) == pytest.approx(len(WORDS.words) * 2 / 3, abs=1)
    for f in functions:
        inputs = list(f.test_inputs)
        active = fires(f, inputs)
        assert FEWEST_TEST <= active.sum() == len(inputs) / 2 <= TEST_WORDS
        assert len(set(inputs)) == len(inputs)
        assert not asked & set(inputs)
        assert set(f.domain.words) == asked, "the domain tells nothing about the neuron"
        assert fires(f, list(f.domain.words)).sum() >= FEWEST_ASKED
        expression = Expression(f.parameters["mode"], tuple(f.parameters["concepts"]))
        assert not expression.unclear(WORDS)[WORDS.rows(inputs)].any()
        np.testing.assert_array_equal(active, expression.levels(WORDS)[WORDS.rows(inputs)] == 1)


def test_both_parts_of_a_disjunction_are_tested() -> None:
    for f in find_neuron(seed=1, n=20, mode="or"):
        active = [w for w in f.test_inputs if fires(f, [w])[0]]
        for concept in f.parameters["concepts"]:
            assert any(belongs(w, concept) for w in active)


def test_near_misses_are_among_the_silent_test_words() -> None:
    for f in find_neuron(seed=1, n=30, mode="and"):
        silent = [w for w in f.test_inputs if not fires(f, [w])[0]]
        assert (np.asarray(f.program(silent)) >= 0.2).sum() >= len(silent) // 2 - 1


def test_noise_is_bounded_takes_nothing_across_and_belongs_to_the_word() -> None:
    (f,) = find_neuron(seed=2, n=1, noise=0.09)
    words = list(f.domain.words)
    clean, noisy = np.asarray(f.program(words)), np.asarray(f.call(words))
    assert 0.05 < np.abs(noisy - clean).max() <= 0.09
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    np.testing.assert_array_equal(noisy > FIRING_THRESHOLD, clean > FIRING_THRESHOLD)
    np.testing.assert_array_equal(noisy, f.call(words))
    np.testing.assert_array_equal(noisy[::-1], f.call(words[::-1]))
    other = find_neuron(seed=2, n=2, noise=0.09)[1]
    assert np.corrcoef(noisy - clean, np.asarray(other.call(words)) - np.asarray(other.program(words)))[0, 1] < 0.2


def test_small_sets_begin_large_ones() -> None:
    for f, g in zip(find_neuron(seed=4, n=7), find_neuron(seed=4, n=40), strict=False):
        assert (f.name, f.description, f.test_inputs) == (g.name, g.description, g.test_inputs)


def test_single_concepts_do_not_repeat_before_all_were_there() -> None:
    concepts = [f.parameters["concepts"][0] for f in find_neuron(seed=4, n=80, mode="single")]
    assert len(set(concepts)) == 80


def test_words_that_nobody_knows_have_no_level() -> None:
    (f,) = find_neuron(seed=0, n=1)
    word = f.domain.words[0]
    found = np.asarray(f.call(["qwertz", f" {word.upper()} ", word]))
    assert np.isnan(found[0])
    assert found[1] == found[2]
    assert len(Neuron(WORDS, np.zeros(len(WORDS.words)))([])) == 0


@pytest.mark.parametrize("params", [{"mode": "xor"}, {"noise": 0.1}, {"n": 0}])
def test_wrong_parameters_are_usage_errors(params: dict[str, object]) -> None:
    spec = get("functions", "find_neuron")
    assert isinstance(spec, FunctionsSpec)
    with pytest.raises(UsageError):
        spec.bind(params)
