"""Relations: facts against other libraries, what is asked and what is tested, and who finds them."""

from __future__ import annotations

import calendar
import http
import re
import unicodedata
from typing import Any

import numpy as np
import pytest

import xaibench as xb
from xaibench.core.programs.black_box import BlackBox, Interpretation
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.datasets.cards import card
from xaibench.functions.relations.catalogue import (
    UNDEFINED,
    find_relation,
    number_word,
    ordinal,
    relations,
    roman_numeral,
)
from xaibench.functions.relations.scores import relation_exact

KNOWN = {r.name: r for r in relations()}
FUNCTIONS = find_relation(seed=3)


def test_there_are_as_many_as_the_documents_say_and_no_two_are_alike() -> None:
    assert len(relations()) == 93
    assert sum(len(r.pairs) for r in relations()) == card("find_relations").rows
    tables = {tuple(sorted(r.pairs.items())) for r in relations()}
    assert len(tables) == len(KNOWN) == 93
    for r in relations():
        assert len(r.pairs) >= 7
        assert all(key == key.strip() and value == value.strip() and value for key, value in r.pairs.items())
        assert UNDEFINED not in r.pairs.values()


def test_the_calendar_is_that_of_python() -> None:
    days = list(calendar.day_name)
    assert KNOWN["weekday_next"].pairs == {d: days[(k + 1) % 7] for k, d in enumerate(days)}
    months = list(calendar.month_name)[1:]
    assert KNOWN["month_previous"].pairs == {m: months[k - 1] for k, m in enumerate(months)}
    assert KNOWN["month_short"].pairs == dict(zip(months, list(calendar.month_abbr)[1:], strict=True))
    assert KNOWN["month_days"].pairs == {m: str(calendar.monthrange(2023, k + 1)[1]) for k, m in enumerate(months)}


def test_letters_and_phrases_are_those_of_python() -> None:
    for name, sign in KNOWN["greek_letter"].pairs.items():
        assert unicodedata.name(sign) == f"GREEK SMALL LETTER {'LAMDA' if name == 'lambda' else name.upper()}"
    for code, phrase in KNOWN["status_phrase"].pairs.items():
        assert http.HTTPStatus(int(code.removeprefix("HTTP "))).phrase == phrase
    assert KNOWN["radio_word"].pairs.keys() == KNOWN["morse"].pairs.keys() == KNOWN["letter_upper"].pairs.keys()
    assert all(word[0].lower() == letter for letter, word in KNOWN["radio_word"].pairs.items())
    assert len(set(KNOWN["morse"].pairs.values())) == 26
    # Both strings are in the order of the periodic table.
    assert KNOWN["element_number"].pairs["gold"] == "79"
    assert KNOWN["element_next"].pairs["gold"] == "mercury"


def test_numbers_are_spelled_and_counted() -> None:
    value = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
    for k in range(1, 100):
        digits = [value[c] for c in roman_numeral(k)]
        assert sum(-a if a < b else a for a, b in zip(digits, [*digits[1:], 0], strict=True)) == k
        assert re.search(r"(.)\1{3}", roman_numeral(k)) is None
    assert [number_word(k) for k in (7, 13, 20, 42, 100)] == ["seven", "thirteen", "twenty", "forty-two", "hundred"]
    assert [ordinal(k) for k in (1, 12, 20, 31, 43, 58)] == [
        "first", "twelfth", "twentieth", "thirty-first", "forty-third", "fifty-eighth",
    ]  # fmt: skip
    assert KNOWN["number_square"](["twelve"]) == ["144"]
    assert KNOWN["number_next"](["ninety-nine"]) == ["hundred"]
    assert KNOWN["numeral_binary"](["10"]) == ["1010"]


def test_inverses_go_back() -> None:
    there = ["state_capital", "element_symbol", "language_code", "country_capital", "country_code", "numeral_roman"]
    back = ["capital_state", "symbol_element", "code_language", "capital_country", "code_country", "roman_numeral"]
    for a, b in zip(there, back, strict=True):
        assert {v: k for k, v in KNOWN[b].pairs.items()}.items() <= KNOWN[a].pairs.items()
        assert len(KNOWN[b].pairs) >= len(KNOWN[a].pairs) - 1


def test_things_outside_are_undefined() -> None:
    assert KNOWN["country_capital"](["France", " Japan ", "france", "Atlantis", ""]) == [
        "Paris", "Tokyo", UNDEFINED, UNDEFINED, UNDEFINED,
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [3, 8])
def test_tests_are_held_out_and_mostly_defined(seed: int) -> None:
    functions = find_relation(seed=seed)
    assert sorted(f.family for f in functions) == sorted(KNOWN)
    asked = set(functions[0].domain.words)
    for f in functions:
        assert set(f.domain.words) == asked, "the domain tells nothing about the relation"
        assert not asked & set(f.test_inputs)
        answers = f.program(list(f.test_inputs))
        n = sum(a != UNDEFINED for a in answers)
        assert 2 <= n <= 9
        assert len(answers) - n == -(-n // 3)
        assert sum(a != UNDEFINED for a in f.program(list(f.domain.words))) >= 4
    assert [f.family for f in find_relation(seed=seed, n=5)] == [f.family for f in functions[:5]]
    assert len(find_relation(seed=seed, n=5000)) == 93


@pytest.mark.slow
def test_search_finds_every_fourth_relation() -> None:
    for f in FUNCTIONS[::4]:
        found = xb.interpret("relation_search", f, budget=64)
        assert found.family == f.family
        assert found.program(list(f.test_inputs)) == f.program(list(f.test_inputs))


@pytest.mark.parametrize("budget", [1, 3])
def test_search_with_few_questions_is_a_table(budget: int) -> None:
    for f in FUNCTIONS[:4]:
        assert xb.interpret("relation_search", f, budget=budget).queries <= budget


def test_a_relation_that_is_new_is_answered_by_what_was_asked() -> None:
    words = list(FUNCTIONS[0].domain.words)
    found = xb.interpret("relation_search", lambda xs: [x[::-1] for x in xs], domain=words, kind="relation", budget=20)
    assert found.family is None
    told = [w for w in words if found.program([w]) != [UNDEFINED]]
    assert found.program(told) == [w[::-1] for w in told]
    assert 1 <= len(told) <= 20


def test_a_table_says_what_it_was_told() -> None:
    f = FUNCTIONS[0]
    found = xb.interpret("table", f, budget=len(f.domain.words))
    assert found.program(list(f.domain.words)) == f.program(list(f.domain.words))
    held_out = [w for w in f.test_inputs if f.program([w]) != [UNDEFINED]]
    assert set(found.program(held_out)) == {UNDEFINED}


def score(f: BlackBox, program: Any) -> float:
    ev = ProgramEvaluation((f,), (Interpretation(program),), seed=0, budget=1)
    return float(relation_exact(ev)[0])


def test_exact_match_forgives_case_and_blanks_only() -> None:
    f = FUNCTIONS[0]
    wanted = f.program(list(f.test_inputs))
    assert score(f, lambda xs: [f" {y.upper()} " for y in f.program(xs)]) == 1
    assert score(f, lambda xs: [UNDEFINED] * len(xs)) == pytest.approx(np.mean([y == UNDEFINED for y in wanted]))
    assert score(f, lambda xs: [y + "x" for y in f.program(xs)]) == 0
    assert score(f, lambda xs: 1 / 0) == 0
    half = {x: k % 2 == 0 for k, x in enumerate(f.test_inputs)}
    found = score(f, lambda xs: [f.program([x])[0] if half[x] else "?" for x in xs])
    assert found == pytest.approx(np.mean(list(half.values())))
