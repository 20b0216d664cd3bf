"""Named operations on strings, of the kinds that FIND has: each does what its name says, on every string.

Vowels are ``aeiou``, consonants the other ASCII letters, digits ``0`` to ``9``, all in both cases.
Words are what whitespace separates. The first half of an odd number of characters is the shorter one.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

StringOperation = Callable[..., str]
Need = Literal["letters", "shift"]

LOWER_VOWELS = "aeiou"
VOWELS = frozenset(LOWER_VOWELS + LOWER_VOWELS.upper())
LETTER_CHARACTERS = frozenset(string.ascii_letters)
CONSONANTS = LETTER_CHARACTERS - VOWELS
DIGIT_CHARACTERS = frozenset(string.digits)
UPPER = frozenset(string.ascii_uppercase)
LOWER = frozenset(string.ascii_lowercase)
PUNCTUATION = frozenset(string.punctuation)
ALPHABET = string.ascii_lowercase
N_LETTERS = 5
"""Length of the string that a primitive with ``letters`` holds."""

_ONES = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen
""".split()  # noqa: SIM905
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


@dataclass(frozen=True)
class Primitive:
    """An operation and what it needs.

    Attributes
    ----------
    name : str
    run : callable
        (string) -> string, or (string, letters) or (string, shift).
    text : str
        What it does, with ``{letters}`` or ``{shift}`` where it needs one.
    need : {"letters", "shift"} or None
        Five lower-case letters, or a whole number from 1 to ``shifts``.
    shifts : int
    """

    name: str
    run: StringOperation
    text: str
    need: Need | None = None
    shifts: int = 0

    def describe(self, parameters: Mapping[str, Any]) -> str:
        """The description with the parameters filled in."""
        return self.text.format(**parameters)


def spelled(n: int) -> str:
    """A whole number in words up to 999, in digits beyond."""
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10 - 2] + (f"-{_ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{_ONES[n // 100]} hundred" + (f" {spelled(n % 100)}" if n % 100 else "")
    return str(n)


def _count(members: frozenset[str]) -> StringOperation:
    return lambda x: spelled(sum(c in members for c in x))


def _remove(members: frozenset[str]) -> StringOperation:
    return lambda x: "".join([c for c in x if c not in members])


def _replace(members: frozenset[str], by: str) -> StringOperation:
    return lambda x: "".join([by if c in members else c for c in x])


def _replace_by_letters(members: frozenset[str]) -> StringOperation:
    return lambda x, letters: "".join([letters if c in members else c for c in x])


def _map(members: frozenset[str], change: Callable[[str], str]) -> StringOperation:
    return lambda x: "".join([change(c) if c in members else c for c in x])


def _each_word(change: Callable[[str], str]) -> StringOperation:
    return lambda x: re.sub(r"\S+", lambda word: change(word[0]), x)


def _of_words(choose: Callable[[list[str]], list[str]]) -> StringOperation:
    return lambda x: " ".join(choose(x.split()))


def _reverse_vowels(x: str) -> str:
    vowels = [c for c in x if c in VOWELS]
    return "".join([vowels.pop() if c in VOWELS else c for c in x])


def _collapse(x: str) -> str:
    return "".join([c for i, c in enumerate(x) if i == 0 or c != x[i - 1]])


def _swap_pairs(x: str) -> str:
    return "".join([x[i : i + 2][::-1] for i in range(0, len(x), 2)])


def _swap_ends(x: str) -> str:
    return x[-1] + x[1:-1] + x[0] if len(x) > 1 else x


def _most_frequent(x: str) -> str:
    return max(Counter(x).items(), key=lambda pair: pair[1])[0] if x else ""


def _split_at_half(x: str) -> tuple[str, str]:
    return x[: len(x) // 2], x[len(x) // 2 :]


def _swap_halves(x: str) -> str:
    first, second = _split_at_half(x)
    return second + first


def _reverse_first_half(x: str) -> str:
    first, second = _split_at_half(x)
    return first[::-1] + second


def _reverse_second_half(x: str) -> str:
    first, second = _split_at_half(x)
    return first + second[::-1]


def _insert_in_middle(x: str, letters: str) -> str:
    first, second = _split_at_half(x)
    return first + letters + second


def _replace_first_word(x: str, letters: str) -> str:
    return " ".join([letters, *x.split()[1:]])


def _replace_last_word(x: str, letters: str) -> str:
    return " ".join([*x.split()[:-1], letters])


def _around(members: str) -> list[dict[int, int]]:
    """Tables for `str.translate`: table k moves every member k places on, in its own case."""
    tables = []
    for k in range(len(members)):
        turned = members[k:] + members[:k]
        tables.append(str.maketrans(members + members.upper(), turned + turned.upper()))
    return tables


_SHIFTED = _around(ALPHABET)
_SHIFTED_VOWELS = _around(LOWER_VOWELS)
_SHIFTED_DIGITS = _around(string.digits)
_MIRRORED = str.maketrans(ALPHABET + ALPHABET.upper(), ALPHABET[::-1] + ALPHABET[::-1].upper())

_ALL = (
    # Case.
    Primitive("uppercase", str.upper, "make all letters upper case"),
    Primitive("lowercase", str.lower, "make all letters lower case"),
    Primitive("swap_case", str.swapcase, "make upper-case letters lower case, and lower-case letters upper case"),
    Primitive("capitalize", str.capitalize, "make the first character upper case, and all others lower case"),
    Primitive(
        "capitalize_words",
        _each_word(str.capitalize),
        "make the first character of each word upper case, and others lower",
    ),
    Primitive("uppercase_vowels", _map(VOWELS, str.upper), "make all vowels upper case"),
    Primitive("uppercase_consonants", _map(CONSONANTS, str.upper), "make all consonants upper case"),
    Primitive(
        "alternate_case",
        lambda x: "".join([c.lower() if i % 2 else c.upper() for i, c in enumerate(x)]),
        "make the first character upper case, the second lower case, and so on in turn",
    ),
    Primitive("uppercase_last", lambda x: x[:-1] + x[-1:].upper(), "make the last character upper case"),
    Primitive("lowercase_first", lambda x: x[:1].lower() + x[1:], "make the first character lower case"),
    # Reverse.
    Primitive("reverse", lambda x: x[::-1], "reverse the string"),
    Primitive("reverse_word_order", _of_words(lambda words: words[::-1]), "put the words in reverse order"),
    Primitive("reverse_each_word", _each_word(lambda word: word[::-1]), "reverse each word where it is"),
    Primitive("reverse_first_half", _reverse_first_half, "reverse the first half"),
    Primitive("reverse_second_half", _reverse_second_half, "reverse the second half"),
    Primitive("reverse_vowels", _reverse_vowels, "put the vowels in reverse order and leave the rest in place"),
    Primitive("swap_halves", _swap_halves, "put the second half before the first half"),
    Primitive("swap_ends", _swap_ends, "swap the first and the last character"),
    Primitive(
        "swap_pairs", _swap_pairs, "swap the first character with the second, the third with the fourth, and so on"
    ),
    # Counts.
    Primitive("count_vowels", _count(VOWELS), "count the vowels, in words"),
    Primitive("count_consonants", _count(CONSONANTS), "count the consonants, in words"),
    Primitive("count_digits", _count(DIGIT_CHARACTERS), "count the digits, in words"),
    Primitive("count_uppercase", _count(UPPER), "count the upper-case letters, in words"),
    Primitive("count_lowercase", _count(LOWER), "count the lower-case letters, in words"),
    Primitive("count_characters", lambda x: spelled(len(x)), "count the characters, in words"),
    Primitive("count_distinct", lambda x: spelled(len(set(x))), "count the different characters, in words"),
    Primitive("count_words", lambda x: spelled(len(x.split())), "count the words, in words"),
    # Remove.
    Primitive("remove_vowels", _remove(VOWELS), "remove all vowels"),
    Primitive("remove_consonants", _remove(CONSONANTS), "remove all consonants"),
    Primitive("remove_digits", _remove(DIGIT_CHARACTERS), "remove all digits"),
    Primitive("remove_uppercase", _remove(UPPER), "remove all upper-case letters"),
    Primitive("remove_lowercase", _remove(LOWER), "remove all lower-case letters"),
    Primitive("remove_punctuation", _remove(PUNCTUATION), "remove all punctuation"),
    Primitive("remove_spaces", lambda x: x.replace(" ", ""), "remove all spaces"),
    Primitive("remove_first", lambda x: x[1:], "remove the first character"),
    Primitive("remove_last", lambda x: x[:-1], "remove the last character"),
    Primitive("remove_first_word", _of_words(lambda words: words[1:]), "remove the first word"),
    Primitive("remove_last_word", _of_words(lambda words: words[:-1]), "remove the last word"),
    Primitive(
        "remove_duplicates", lambda x: "".join(dict.fromkeys(x)), "keep each character where it comes first only"
    ),
    Primitive("collapse_repeats", _collapse, "make one of each run of equal characters"),
    # Replace.
    Primitive("star_vowels", _replace(VOWELS, "*"), "replace each vowel by *"),
    Primitive("star_consonants", _replace(CONSONANTS, "*"), "replace each consonant by *"),
    Primitive("underscore_spaces", lambda x: x.replace(" ", "_"), "replace each space by _"),
    Primitive("spell_digits", _map(DIGIT_CHARACTERS, lambda c: _ONES[int(c)]), "replace each digit by its name"),
    Primitive("replace_vowels", _replace_by_letters(VOWELS), "replace each vowel by '{letters}'", "letters"),
    Primitive("replace_digits", _replace_by_letters(DIGIT_CHARACTERS), "replace each digit by '{letters}'", "letters"),
    Primitive(
        "replace_spaces", lambda x, letters: x.replace(" ", letters), "replace each space by '{letters}'", "letters"
    ),
    Primitive("replace_first_word", _replace_first_word, "replace the first word by '{letters}'", "letters"),
    Primitive("replace_last_word", _replace_last_word, "replace the last word by '{letters}'", "letters"),
    # Duplicate.
    Primitive("duplicate", lambda x: x + x, "write the string twice"),
    Primitive("duplicate_characters", lambda x: "".join([c + c for c in x]), "write each character twice"),
    Primitive("duplicate_vowels", _map(VOWELS, lambda c: c + c), "write each vowel twice"),
    Primitive("duplicate_words", _each_word(lambda word: f"{word} {word}"), "write each word twice"),
    Primitive("mirror", lambda x: x + x[::-1], "append the reversed string"),
    # Halves, words, characters.
    Primitive("first_half", lambda x: _split_at_half(x)[0], "keep the first half"),
    Primitive("second_half", lambda x: _split_at_half(x)[1], "keep the second half"),
    Primitive("every_second", lambda x: x[::2], "keep the first character, the third, and so on"),
    Primitive("first_word", _of_words(lambda words: words[:1]), "keep the first word"),
    Primitive("last_word", _of_words(lambda words: words[-1:]), "keep the last word"),
    Primitive(
        "longest_word", lambda x: max(x.split(), key=len, default=""), "keep the longest word, the first of several"
    ),
    Primitive("initials", lambda x: "".join([word[0] for word in x.split()]), "keep the first character of each word"),
    Primitive("sort_characters", lambda x: "".join(sorted(x)), "put the characters in the order of their code points"),
    Primitive("sort_words", _of_words(sorted), "put the words in the order of their code points"),
    Primitive("most_frequent", _most_frequent, "keep the most frequent character, the first of several, once"),
    # Concatenate.
    Primitive("prepend", lambda x, letters: letters + x, "prepend '{letters}'", "letters"),
    Primitive("append", lambda x, letters: x + letters, "append '{letters}'", "letters"),
    Primitive("insert_in_middle", _insert_in_middle, "insert '{letters}' between the halves", "letters"),
    # Shift.
    Primitive(
        "shift_letters",
        lambda x, shift: x.translate(_SHIFTED[shift]),
        "shift each letter by {shift} in the alphabet",
        "shift",
        25,
    ),
    Primitive(
        "shift_vowels",
        lambda x, shift: x.translate(_SHIFTED_VOWELS[shift]),
        "shift each vowel by {shift} in aeiou",
        "shift",
        4,
    ),
    Primitive(
        "shift_digits",
        lambda x, shift: x.translate(_SHIFTED_DIGITS[shift]),
        "shift each digit by {shift} in 0123456789",
        "shift",
        9,
    ),
    Primitive("mirror_alphabet", lambda x: x.translate(_MIRRORED), "replace a by z, b by y, and so on"),
)
PRIMITIVES: dict[str, Primitive] = {p.name: p for p in _ALL}
