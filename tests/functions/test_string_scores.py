"""Scores of string programs, equivalent families, edit distance, and the interpreters that know no primitives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xaibench.core.errors import UsageError
from xaibench.core.programs.black_box import BlackBox, CountedFunction, Domain, Interpretation
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.strings.baselines import Neighbours, carried_over, edit_neighbour, identity
from xaibench.functions.strings.edits import alignment, distance, edit_similarity
from xaibench.functions.strings.equivalence import in_family
from xaibench.functions.strings.programs import Step, StringProgram

TESTS = ["abc", "De f", "x1", ""]


def box(*steps: Step, tests: list[str] = TESTS) -> BlackBox:
    program = StringProgram(steps)
    return BlackBox(
        "f", "string", program, program, Domain(words=("ab",)), program.family, program.parameters, "", tests
    )


def score(name: str, f: BlackBox, answer: Interpretation | Callable[[Any], Any], **parameters: Any) -> float:
    given = answer if isinstance(answer, Interpretation) else Interpretation(answer)
    spec: Any = get("metric", name)
    ev = ProgramEvaluation((f,), (given,), seed=0, budget=20, ask=lambda i, budget: given)
    return float(score_programs(spec, spec.bind(parameters), ev)[0])


def test_exact_is_the_share_of_equal_outputs() -> None:
    f = box(Step("uppercase"))
    assert score("string_exact", f, lambda xs: [x.upper() for x in xs]) == 1
    assert score("string_exact", f, lambda xs: list(xs)) == 0.25, "the empty string stays as it is"
    assert score("string_exact", f, lambda xs: [x.upper() if "a" in x else "?" for x in xs]) == 0.25
    assert score("string_exact", f, lambda xs: list(xs), whole=True) == 0
    assert score("string_exact", f, lambda xs: [x.upper() for x in xs], whole=True) == 1
    assert np.isnan(score("string_exact", box(Step("uppercase"), tests=[]), lambda xs: list(xs)))
    assert np.isnan(score("string_exact", box(Step("uppercase"), tests=[]), lambda xs: list(xs), whole=True))


@pytest.mark.parametrize("program", [lambda xs: 1 / 0, lambda xs: [1, 2, 3, 4], lambda xs: "abcd", lambda xs: xs[:2]])
def test_programs_without_usable_outputs_have_the_worst_score(program: Callable[[Any], Any]) -> None:
    f = box(Step("uppercase"))
    assert score("string_exact", f, program) == 0
    assert score("string_similarity", f, program) == 0


def test_similarity_is_one_minus_the_normalised_distance() -> None:
    f = box(Step("append", "zzzzz"), tests=["abcde", ""])
    assert score("string_similarity", f, lambda xs: list(xs)) == pytest.approx((0.5 + 0) / 2)
    assert score("string_similarity", f, lambda xs: [x + "zzzzy" for x in xs]) == pytest.approx((0.9 + 0.8) / 2)


@given(st.text("ab", max_size=8), st.text("abc", max_size=8))
def test_distance_is_levenshteins(a: str, b: str) -> None:
    @cache
    def by_definition(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(
            by_definition(i - 1, j) + 1,
            by_definition(i, j - 1) + 1,
            by_definition(i - 1, j - 1) + (a[i - 1] != b[j - 1]),
        )

    assert distance(a, b) == by_definition(len(a), len(b))
    assert edit_similarity(a, b) == (1 if a == b else 1 - distance(a, b) / max(len(a), len(b)))
    pairs = alignment(a, b)
    assert [i for i, _ in pairs if i is not None] == list(range(len(a)))
    assert [j for _, j in pairs if j is not None] == list(range(len(b)))
    assert distance(a, b) == sum(i is None or j is None or a[i] != b[j] for i, j in pairs)


def test_families_are_equivalent_where_a_member_does_the_same() -> None:
    f = box(Step("append", "abxyz"), Step("reverse"))
    assert in_family(f, "append > reverse")
    assert in_family(f, "reverse > prepend"), "with zyxba"
    assert not in_family(f, "reverse > append")
    assert not in_family(f, "append")
    assert not in_family(f, "backwards")
    assert in_family(box(Step("lowercase"), Step("reverse")), "reverse > lowercase")
    assert in_family(box(Step("shift_letters", 5)), "shift_letters > shift_letters"), "with 2 and 3"
    assert in_family(box(Step("count_vowels")), "lowercase > count_vowels")
    assert not in_family(box(Step("count_vowels")), "remove_vowels > count_vowels")
    assert not in_family(box(Step("uppercase")), "identity")
    assert score("string_family_accuracy", f, Interpretation(StringProgram(()), family="reverse > prepend")) == 1
    assert score("string_family_accuracy", f, Interpretation(StringProgram(()))) == 0


def test_families_of_other_sets_need_no_steps() -> None:
    f = BlackBox(
        "g", "string", lambda xs: [x[::-1] for x in xs], lambda xs: [x[::-1] for x in xs], Domain(), "?", {}, "", []
    )
    assert in_family(f, "reverse")
    assert not in_family(f, "uppercase")


def test_efficiency_is_the_mean_over_the_logarithm_of_budgets() -> None:
    f = box(Step("uppercase"), tests=["a", "b"])
    right, wrong = Interpretation(StringProgram((Step("uppercase"),))), Interpretation(StringProgram(()))
    spec: Any = get("metric", "string_query_efficiency")

    def known_from(n: int, budget: int = 20, first: int = 5) -> float:
        def ask(i: int, budget: int) -> Interpretation:
            return right if budget >= n else wrong

        ev = ProgramEvaluation((f,), (ask(0, budget),), seed=0, budget=budget, ask=ask)
        return float(spec.function(ev, **spec.bind({"first": first}))[0])

    assert known_from(1) == pytest.approx(1)
    assert known_from(10) == pytest.approx(0.75), "0, 1, 1 at 5, 10, 20"
    assert known_from(20) == pytest.approx(0.25)
    assert known_from(99) == 0
    assert known_from(1, first=1) == pytest.approx(1)
    with pytest.raises(UsageError, match="budget above 5"):
        known_from(1, budget=5)


def test_length_counts_primitives() -> None:
    program = StringProgram((Step("uppercase"), Step("append", "abcde")))
    said = Interpretation(program, facts={"parameters": program.parameters})
    assert score("string_description_length", box(Step("uppercase")), said) == 2
    assert np.isnan(score("string_description_length", box(Step("uppercase")), program))


def probe(f: BlackBox, budget: int) -> CountedFunction:
    return CountedFunction(f.call, "string", f.domain, budget)


def test_the_identity_asks_nothing() -> None:
    f = box(Step("uppercase"))
    asking = probe(f, 5)
    assert identity(asking, f.domain, 5, np.random.default_rng(0)).program(TESTS) == TESTS
    assert asking.queries == 0


def test_edits_are_carried_over() -> None:
    assert carried_over("cart", "card", "cardxyz") == "cartxyz"
    assert carried_over("green box", "green fox", "*green fox*") == "*green box*"
    assert carried_over("big dog", "dog", "[dog]") == "[big dog]"
    assert carried_over("abc", "", "x") == "x"


def test_the_neighbour_is_right_about_what_it_asked_and_about_what_is_added() -> None:
    f = box(Step("append", "zzzzz"))
    f = BlackBox(**{**vars(f), "domain": Domain(words=("red fox", "blue whale", "old owl"))})
    asking = probe(f, 8)
    answer = edit_neighbour(asking, f.domain, 8, np.random.default_rng(0))
    assert asking.queries == 8, "phrases beyond the words of the domain"
    assert answer.program(["red fox", "red box", "blue wheel"]) == ["red foxzzzzz", "red boxzzzzz", "blue wheelzzzzz"]
    table = Neighbours((("red fox", "A"), ("blue whale", "B")))
    assert [table.one(x) for x in ("red ox", "blue")] == ["A", "B"]
