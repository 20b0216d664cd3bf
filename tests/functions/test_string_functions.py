"""String functions: what primitives do, and what is promised of the sets that are made of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xaibench.functions.strings.generation import find_string, replaceable
from xaibench.functions.strings.phrases import is_informative, many_phrases
from xaibench.functions.strings.primitives import CONSONANTS, PRIMITIVES, VOWELS, spelled
from xaibench.functions.strings.programs import Step, StringProgram, named_steps, program_of, steps_of

X = "Hello, 42 old WORLDs!"
DONE = {
    "uppercase": "HELLO, 42 OLD WORLDS!",
    "lowercase": "hello, 42 old worlds!",
    "swap_case": "hELLO, 42 OLD worldS!",
    "capitalize": "Hello, 42 old worlds!",
    "capitalize_words": "Hello, 42 Old Worlds!",
    "uppercase_vowels": "HEllO, 42 Old WORLDs!",
    "uppercase_consonants": "HeLLo, 42 oLD WORLDS!",
    "alternate_case": "HeLlO, 42 OlD WoRlDs!",
    "uppercase_last": "Hello, 42 old WORLDs!",
    "lowercase_first": "hello, 42 old WORLDs!",
    "reverse": "!sDLROW dlo 24 ,olleH",
    "reverse_word_order": "WORLDs! old 42 Hello,",
    "reverse_each_word": ",olleH 24 dlo !sDLROW",
    "reverse_first_half": " 24 ,olleHold WORLDs!",
    "reverse_second_half": "Hello, 42 !sDLROW dlo",
    "reverse_vowels": "HOllo, 42 old WeRLDs!",
    "swap_halves": "old WORLDs!Hello, 42 ",
    "swap_ends": "!ello, 42 old WORLDsH",
    "swap_pairs": "eHll,o4  2lo dOWLRsD!",
    "count_vowels": "four",
    "count_consonants": "ten",
    "count_digits": "two",
    "count_uppercase": "six",
    "count_lowercase": "eight",
    "count_characters": "twenty-one",
    "count_distinct": "sixteen",
    "count_words": "four",
    "remove_vowels": "Hll, 42 ld WRLDs!",
    "remove_consonants": "eo, 42 o O!",
    "remove_digits": "Hello,  old WORLDs!",
    "remove_uppercase": "ello, 42 old s!",
    "remove_lowercase": "H, 42  WORLD!",
    "remove_punctuation": "Hello 42 old WORLDs",
    "remove_spaces": "Hello,42oldWORLDs!",
    "remove_first": "ello, 42 old WORLDs!",
    "remove_last": "Hello, 42 old WORLDs",
    "remove_first_word": "42 old WORLDs!",
    "remove_last_word": "Hello, 42 old",
    "remove_duplicates": "Helo, 42dWORLDs!",
    "collapse_repeats": "Helo, 42 old WORLDs!",
    "star_vowels": "H*ll*, 42 *ld W*RLDs!",
    "star_consonants": "*e**o, 42 o** *O****!",
    "underscore_spaces": "Hello,_42_old_WORLDs!",
    "spell_digits": "Hello, fourtwo old WORLDs!",
    "replace_vowels": "Hzaqxbllzaqxb, 42 zaqxbld WzaqxbRLDs!",
    "replace_digits": "Hello, zaqxbzaqxb old WORLDs!",
    "replace_spaces": "Hello,zaqxb42zaqxboldzaqxbWORLDs!",
    "replace_first_word": "zaqxb 42 old WORLDs!",
    "replace_last_word": "Hello, 42 old zaqxb",
    "duplicate": "Hello, 42 old WORLDs!Hello, 42 old WORLDs!",
    "duplicate_characters": "HHeelllloo,,  4422  oolldd  WWOORRLLDDss!!",
    "duplicate_vowels": "Heelloo, 42 oold WOORLDs!",
    "duplicate_words": "Hello, Hello, 42 42 old old WORLDs! WORLDs!",
    "mirror": "Hello, 42 old WORLDs!!sDLROW dlo 24 ,olleH",
    "first_half": "Hello, 42 ",
    "second_half": "old WORLDs!",
    "every_second": "Hlo 2odWRD!",
    "first_word": "Hello,",
    "last_word": "WORLDs!",
    "longest_word": "WORLDs!",
    "initials": "H4oW",
    "sort_characters": "   !,24DHLORWdellloos",
    "sort_words": "42 Hello, WORLDs! old",
    "most_frequent": "l",
    "prepend": "zaqxbHello, 42 old WORLDs!",
    "append": "Hello, 42 old WORLDs!zaqxb",
    "insert_in_middle": "Hello, 42 zaqxbold WORLDs!",
    "shift_letters": "Khoor, 42 rog ZRUOGv!",
    "shift_vowels": "Hulle, 42 eld WERLDs!",
    "shift_digits": "Hello, 75 old WORLDs!",
    "mirror_alphabet": "Svool, 42 low DLIOWh!",
}


def step(name: str) -> Step:
    need = PRIMITIVES[name].need
    return Step(name, "zaqxb" if need == "letters" else 3 if need == "shift" else None)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_do_what_their_names_say(name: str) -> None:
    assert step(name).run(X) == DONE[name]


def test_every_primitive_has_an_example() -> None:
    assert DONE.keys() == PRIMITIVES.keys()


@pytest.mark.slow
@given(st.text(max_size=12))
def test_primitives_take_every_string(x: str) -> None:
    for name in PRIMITIVES:
        assert isinstance(step(name).run(x), str)


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=20))
def test_what_can_be_undone(x: str) -> None:
    def run(*steps: Step) -> str:
        return StringProgram(steps).one(x)

    for name in ("reverse", "swap_case", "reverse_vowels", "swap_pairs", "swap_ends", "mirror_alphabet"):
        assert run(Step(name), Step(name)) == x
    for name, turn in (("shift_letters", 26), ("shift_vowels", 5), ("shift_digits", 10)):
        assert all(run(Step(name, k), Step(name, turn - k)) == x for k in range(1, turn))
    for name in ("prepend", "append", "insert_in_middle"):
        assert run(Step(name, "qqqqq")).replace("qqqqq", "", 1) == x or "q" in x
    vowels, rest = run(Step("remove_consonants")), run(Step("remove_vowels"))
    assert Counter(vowels) + Counter(rest) - Counter(c for c in x if c not in VOWELS | CONSONANTS) == Counter(x)


def test_numbers_in_words() -> None:
    said = {
        0: "zero",
        13: "thirteen",
        20: "twenty",
        99: "ninety-nine",
        100: "one hundred",
        342: "three hundred forty-two",
    }
    assert {n: spelled(n) for n in said} == said
    assert len({spelled(n) for n in range(1200)}) == 1200


@pytest.mark.slow
def test_sets_hold_seven_compositions_in_ten_and_every_primitive() -> None:
    functions = find_string(seed=3, n=300)
    steps = [len(f.parameters["steps"]) for f in functions]
    assert abs(Counter(steps)[2] - 210) <= 2
    assert set(steps) == {1, 2}
    assert {f.family for f in functions if " > " not in f.family} == set(PRIMITIVES)
    assert {len(f.parameters["steps"]) for f in find_string(seed=3, n=20, composed=1)} == {2}
    assert {len(f.parameters["steps"]) for f in find_string(seed=3, n=20, composed=0)} == {1}


def test_a_smaller_set_is_the_beginning_of_a_larger_one() -> None:
    few, many = find_string(seed=4, n=5), find_string(seed=4, n=9)
    assert [(f.name, f.description, f.test_inputs) for f in few] == [
        (f.name, f.description, f.test_inputs) for f in many[:5]
    ]
    assert few[0].name == "find/string/0000"


def test_test_inputs_are_held_out_and_tell_something() -> None:
    for f in find_string(seed=5, n=150):
        inputs = list(f.test_inputs)
        assert len(set(inputs)) == 16
        assert not set(inputs) & ({*f.domain.words} | {*many_phrases()})
        outputs = list(f.program(inputs))
        assert sum(a != b for a, b in zip(inputs, outputs, strict=True)) >= 8
        assert max(Counter(outputs).values()) <= 8
        assert outputs == program_of(f.parameters)(inputs), "parameters say it all"


def test_useless_test_inputs_are_told() -> None:
    assert not is_informative(["a", "b", "c", "d"], ["a", "b", "c", "x"])
    assert not is_informative(["a", "b", "c", "d"], ["x", "x", "x", "y"])
    assert is_informative(["a", "b", "c", "d"], ["a", "b", "x", "y"])


def test_compositions_are_no_primitives_in_disguise() -> None:
    def of(*steps: Step) -> StringProgram:
        return StringProgram(steps)

    assert replaceable(of(Step("lowercase"), Step("uppercase")))
    assert replaceable(of(Step("shift_letters", 3), Step("shift_letters", 4)))
    assert replaceable(of(Step("append", "abcde"), Step("replace_last_word", "vwxyz")))
    assert not replaceable(of(Step("reverse"), Step("uppercase")))
    assert not any(replaceable(program_of(f.parameters)) for f in find_string(seed=6, n=40, composed=1))


def test_families_and_steps_by_name() -> None:
    assert named_steps("reverse > append") == ["reverse", "append"]
    assert named_steps("identity") == []
    assert named_steps("reverse > apend") is None
    assert [s.constant for s in steps_of("shift_vowels")] == [1, 2, 3, 4]
    assert [s.constant for s in steps_of("append", ["abcde"])] == ["abcde"]
    program = StringProgram((Step("append", "abcde"), Step("shift_digits", 2)))
    assert program.text == "append 'abcde', then shift each digit by 2 in 0123456789"
    assert program_of(program.parameters) == program
