"""Programs that were compiled to transformers: what they compute, on which texts, and the files of their weights."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import Literal

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.cards import read_shipped

TracrName = Literal["shift", "reverse", "after_marker", "induction", "sort_unique", "frac_prevs"]
MARKER = "#"
Text = tuple[str, ...]


@dataclass(frozen=True)
class TracrProgram:
    """A program over short texts.

    Attributes
    ----------
    vocabulary : str
        Its letters.
    lengths : tuple of int
        Numbers of tokens that a text may have.
    output : callable
        From a text and the place that is asked about to the output there: a letter or a number; None where the text
        is outside of the program's domain.
    asked : callable
        Places of a text that may be asked about.
    exchanges : callable
        From a text and one of its places to the letters that may stand there instead.
    texts : callable
        All texts of the domain with so many tokens.
    draw : callable
        One of them, drawn.
    """

    vocabulary: str
    lengths: tuple[int, ...]
    output: Callable[[Text, int], str | float | None]
    asked: Callable[[Text], range]
    exchanges: Callable[[Text, int], list[str]]
    texts: Callable[[int], Iterator[Text]]
    draw: Callable[[int, np.random.Generator], Text]


def _any_texts(vocabulary: str) -> tuple[Callable[[int], Iterator[Text]], Callable[[int, np.random.Generator], Text]]:
    return (
        lambda n: product(vocabulary, repeat=n),
        lambda n, rng: tuple(vocabulary[i] for i in rng.integers(len(vocabulary), size=n)),
    )


def _other_letters(vocabulary: str) -> Callable[[Text, int], list[str]]:
    return lambda text, place: [letter for letter in vocabulary if letter != text[place]]


def _unused(vocabulary: str) -> Callable[[Text, int], list[str]]:
    return lambda text, _place: [letter for letter in vocabulary if letter not in text]


def _marked(n: int) -> Iterator[Text]:
    for place in range(n - 1):
        for rest in product("abcd", repeat=n - 1):
            yield (*rest[:place], MARKER, *rest[place:])


def _draw_marked(n: int, rng: np.random.Generator) -> Text:
    rest, place = tuple("abcd"[i] for i in rng.integers(4, size=n - 1)), int(rng.integers(n - 1))
    return (*rest[:place], MARKER, *rest[place:])


def _after_marker(text: Text, _place: int) -> str | None:
    if text.count(MARKER) != 1 or text[-1] == MARKER:
        return None
    return text[text.index(MARKER) + 1]


def _marker_exchanges(text: Text, place: int) -> list[str]:
    """At most one marker: another letter in its place, and no second one elsewhere."""
    return [letter for letter in "abcd" if letter != text[place]]


_LETTERS = "abcdefgh"


def _repeated(n: int) -> Iterator[Text]:
    """Different letters, and at the end a copy of one that is followed by another than this copy."""
    for rest in permutations(_LETTERS, n - 1):
        for copy in range(n - 2):
            yield (*rest, rest[copy])


def _draw_repeated(n: int, rng: np.random.Generator) -> Text:
    rest = tuple(_LETTERS[i] for i in rng.permutation(len(_LETTERS))[: n - 1])
    return (*rest, rest[int(rng.integers(n - 2))])


def _induced(text: Text, place: int) -> str | None:
    earlier = [i for i in range(place) if text[i] == text[place]]
    return text[earlier[0] + 1] if len(earlier) == 1 else None


def _draw_distinct(n: int, rng: np.random.Generator) -> Text:
    return tuple(_LETTERS[i] for i in rng.permutation(len(_LETTERS))[:n])


_FOUR = _any_texts("abcd")
_THREE = _any_texts("xyz")
TRACR_PROGRAMS: dict[str, TracrProgram] = {
    "shift": TracrProgram(
        "abcd", (5, 6, 7, 8), lambda t, i: t[i - 1], lambda t: range(1, len(t)), _other_letters("abcd"), *_FOUR
    ),
    "reverse": TracrProgram(
        "abcd", (5, 6, 7, 8), lambda t, i: t[-1 - i], lambda t: range(len(t)), _other_letters("abcd"), *_FOUR
    ),
    "after_marker": TracrProgram(
        "#abcd", (5, 6, 7, 8), _after_marker, lambda t: range(len(t)), _marker_exchanges, _marked, _draw_marked
    ),
    "induction": TracrProgram(
        _LETTERS, (5, 6), _induced, lambda t: range(len(t) - 1, len(t)), _unused(_LETTERS), _repeated, _draw_repeated
    ),
    "sort_unique": TracrProgram(
        _LETTERS,
        (5, 6),
        lambda t, i: sorted(t)[i],
        lambda t: range(len(t)),
        _unused(_LETTERS),
        lambda n: permutations(_LETTERS, n),
        _draw_distinct,
    ),
    "frac_prevs": TracrProgram(
        "xyz",
        (5, 6, 7, 8),
        lambda t, i: t[: i + 1].count("x") / (i + 1),
        lambda t: range(len(t)),
        _other_letters("xyz"),
        *_THREE,
    ),
}
"""The programs that are asked about single tokens. The seventh that was compiled, hist, needs every token."""
CHANGED = 0.1
"""A number has changed when it moves by more than this."""


def differs(first: str | float | None, second: str | float | None) -> bool:
    """Whether two outputs are not the same: other letters, or numbers more than .1 apart."""
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) > CHANGED
    return first != second


def necessary(program: TracrProgram, text: Text, place: int) -> list[int]:
    """Places of tokens of which some valid other letter changes the output that is asked for."""
    output = program.output(text, place)
    return [
        i
        for i in range(len(text))
        if any(
            differs(output, program.output(changed(text, {i: other}), place)) for other in program.exchanges(text, i)
        )
    ]


def is_redundant(program: TracrProgram, text: Text, place: int, truth: list[int]) -> bool:
    """Whether exchanging two tokens at once changes the output, of which neither does so alone."""
    output = program.output(text, place)
    rest = [i for i in range(len(text)) if i not in truth]
    return any(
        differs(output, program.output(changed(text, {i: first, j: second}), place))
        for a, i in enumerate(rest)
        for j in rest[a + 1 :]
        for first in program.exchanges(text, i)
        for second in program.exchanges(changed(text, {i: first}), j)
    )


def changed(text: Text, letters: dict[int, str]) -> Text:
    """A text with other letters in some places."""
    return tuple(letters.get(i, letter) for i, letter in enumerate(text))


def read_tracr(name: str) -> dict[str, Array]:
    """The numbers of a compiled net, verified against the card.

    Returns
    -------
    dict
        ``token`` (V, D) and ``position`` (L, D), the embeddings; ``layerI.PART.w`` and ``.b`` of the parts query, key,
        value, output, in and out; ``n_heads``; ``vocabulary`` (V,); ``output`` (C,), the residual dimensions of the
        output, and ``values`` (C,), what they stand for; ``test_ids`` (12, L) and ``test_streams`` (12, L, D).
    """
    with np.load(io.BytesIO(read_shipped("tracr", f"{name}.npz"))) as file:
        return dict(file)
