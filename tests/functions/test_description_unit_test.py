"""The unit test for descriptions: who knows the function passes, who knows nothing is right one time in three."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xaibench.core.draws import keyed_generator
from xaibench.core.programs.black_box import BlackBox, Domain, Interpretation
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.registry import components, get
from xaibench.functions import description_test
from xaibench.functions.description_test import description_unit_test
from xaibench.functions.neurons.generation import find_neuron
from xaibench.functions.relations.catalogue import UNDEFINED, find_relation

WORDS = ["abc", "hello", "xyzzy", "plugh", "level", "stone"]


def text(name: str, call: Callable[[str], str], inputs: list[str] | None = None) -> BlackBox:
    def program(xs: Any) -> list[str]:
        return [call(x) for x in xs]

    return BlackBox(name, "string", program, program, Domain(words=("a",)), name, {}, name, inputs or WORDS)


UPPER = text("upper", str.upper)
SET = (
    UPPER,
    text("reverse", lambda x: x[::-1]),
    text("double", lambda x: x + x),
    text("length", lambda x: str(len(x))),
)


def scores(
    functions: tuple[BlackBox, ...], programs: Any, *, peers: tuple[BlackBox, ...] = (), **parameters: Any
) -> np.ndarray[Any, Any]:
    answers = tuple(Interpretation(p) for p in programs)
    ev = ProgramEvaluation(functions, answers, seed=0, budget=1, peers=peers)
    return np.asarray(description_unit_test(ev, **parameters))


def sets() -> dict[str, tuple[BlackBox, ...]]:
    found = {"neuron": find_neuron(seed=5, n=60), "relation": find_relation(seed=5)}
    if any(s.name == "find_string" for s in components("functions")):
        found["string"] = get("functions", "find_string").function(seed=5, n=100)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["neuron", "relation", "string"])
def test_truth_passes_always_and_knowing_nothing_one_time_in_three(kind: str) -> None:
    functions = sets()[kind]
    np.testing.assert_array_equal(scores(functions, [f.program for f in functions]), 1)
    # The same for every input: ties, each of which counts one third.
    constant = (lambda xs: np.zeros(len(xs))) if kind == "neuron" else (lambda xs: ["\0"] * len(xs))
    np.testing.assert_allclose(scores(functions, [constant] * len(functions)), 1 / 3)

    def noise(f: BlackBox) -> Callable[[Any], Any]:
        # Outputs drawn anew for every input, of the form that this kind of function has.
        pool = [str(y) for g in functions for y in g.program(list(g.test_inputs)[:3])] if kind != "neuron" else []

        def program(xs: Any) -> Any:
            draws = [keyed_generator(0, "noise", f"{f.name}/{x}") for x in xs]
            if kind == "neuron":
                return np.array([d.random() for d in draws])
            return [pool[d.integers(len(pool))] for d in draws]

        return program

    found = scores(functions, [noise(f) for f in functions], trials=30)
    error = 3 * found.std() / np.sqrt(len(found))
    assert abs(found.mean() - 1 / 3) < error
    assert error < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["neuron", "relation", "string"])
def test_programs_of_other_functions_are_near_chance(kind: str) -> None:
    functions = sets()[kind]
    draws = np.random.default_rng(1)
    found = np.concatenate(
        [
            scores(functions, [functions[(i + k) % len(functions)].program for i in range(len(functions))])
            for k in draws.integers(1, len(functions), 3)
        ]
    )
    assert abs(found.mean() - 1 / 3) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["neuron", "relation", "string"])
def test_no_program_is_worth_nothing_and_not_a_third(kind: str) -> None:
    functions = sets()[kind][:5]
    np.testing.assert_array_equal(scores(functions, [lambda xs: 1 / 0] * 5, peers=sets()[kind]), 0)


def test_triplets_have_the_own_pair_and_none_that_the_function_would_give_too() -> None:
    # "same" gives what upper gives for inputs that are in capitals already, and so does "again".
    inputs = ["ABC", "XYZ", "low"]
    peers = (UPPER, text("same", str, inputs), text("again", str, inputs), text("reverse", lambda x: x[::-1]))
    for seed in range(30):
        for own, *others in description_test._triplets(UPPER, list(peers[1:]), 10, np.random.default_rng(seed)):
            assert own[1] == own[0].upper()
            for x, y in others:
                assert x.upper() != y
            assert len({own, *others}) == 3


def test_pairs_without_an_attribute_are_in_no_triplet() -> None:
    functions = find_relation(seed=6)
    for f in functions[:20]:
        others = [g for g in functions if g is not f]
        for triplet in description_test._triplets(f, others, 10, np.random.default_rng(0)):
            assert all(y != UNDEFINED for _, y in triplet)
            assert f.program([x for x, _ in triplet][1:]) != [y for _, y in triplet[1:]]


def test_words_are_one_that_fires_and_two_that_do_not() -> None:
    truth = {w: float(k < 2) for k, w in enumerate(WORDS)}

    def call(xs: Any) -> np.ndarray[Any, Any]:
        return np.array([truth[x] for x in xs])

    f = BlackBox("n", "neuron", call, call, Domain(words=("a",)), "single", {}, "", WORDS)
    assert scores((f,), [call])[0] == 1
    assert scores((f,), [lambda xs: -call(xs)])[0] == 0
    # Fires for one of the two, and takes the other for the silent ones: one third of the triplets with that one.
    found = scores((f,), [lambda xs: np.array([float(x == WORDS[0]) for x in xs])], trials=3000)[0]
    assert found == pytest.approx(0.5 + 0.5 / 3, abs=0.03)
    one = BlackBox("n", "neuron", call, call, Domain(words=("a",)), "single", {}, "", WORDS[:3])
    assert np.isnan(scores((one,), [call])[0])


def test_without_enough_other_functions_there_is_no_test() -> None:
    assert np.isnan(scores((UPPER,), [UPPER.program])[0])
    assert np.isnan(scores((UPPER,), [UPPER.program], peers=SET[:2])[0])
    assert np.isnan(scores((UPPER,), [UPPER.program], peers=(UPPER, text("a", str.upper), text("b", str.upper)))[0])
    assert scores((UPPER,), [UPPER.program], peers=SET)[0] == 1


def test_similar_outputs_decide_where_none_is_equal() -> None:
    nearly = [lambda xs: [x.upper() + "!" for x in xs]]
    assert scores((UPPER,), nearly, peers=SET)[0] > 0.9


def test_equal_seeds_draw_equal_triplets() -> None:
    programs = [lambda xs: [x + "a" for x in xs]]
    first, again = (scores((UPPER,), programs, peers=SET) for _ in range(2))
    np.testing.assert_array_equal(first, again)
