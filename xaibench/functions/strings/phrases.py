"""Words and phrases that string functions are asked about and tested on, and phrases that separate functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from xaibench.core.draws import keyed_generator

_WORDS = """
able acorn aisle almond amber anchor apple apron arrow autumn banana barrel basket beacon beetle berry bicycle
bishop blossom book bottle breeze bridge butter cabin candle canyon carpet castle cedar cello cherry circus cloud
coffee copper cotton cricket crystal dagger daisy desert diamond dolphin door dragon drum eagle echo elbow ember
engine fabric falcon feather fiddle flute forest fossil garden garlic ginger glacier grape hammer harbour hazel
helmet honey icicle igloo island ivory jacket jigsaw jungle kettle kitten ladder lagoon lemon letter lizard mango
maple marble meadow mirror monkey moss needle nettle oasis ocean olive onion opera orchid otter oyster paddle
papaya parrot pebble pepper pigeon pillow planet poppy puzzle quartz queen quilt rabbit radio ribbon river rocket
saddle salmon shadow silver spoon squirrel summer sunset table teapot thunder tiger tulip tunnel umbrella uncle
valley velvet village violin walnut whistle willow window winter xylophone yellow yoghurt zebra zigzag zipper
""".split()  # noqa: SIM905
_MARKS = "!?.,;:"
MAX_TRIVIAL_SHARE = 0.5
"""Test inputs tell nothing of a function if more of them than this have the same output, or stay as they are."""


def phrase(draws: np.random.Generator) -> str:
    """One to four words in mixed case; three of five phrases hold a number, and half of them a punctuation mark."""
    words = [
        _cased(_WORDS[k], draws.random())
        for k in draws.integers(len(_WORDS), size=draws.choice([1, 2, 3, 4], p=_SIZES))
    ]
    if draws.random() < 0.6:
        number = str(draws.integers(1, 1000))
        if draws.random() < 0.5:
            words.insert(int(draws.integers(len(words) + 1)), number)
        else:
            words[draws.integers(len(words))] += number
    if draws.random() < 0.5:
        words[draws.integers(len(words))] += _MARKS[draws.integers(len(_MARKS))]
    return " ".join(words)


_SIZES = (0.2, 0.35, 0.3, 0.15)


def _cased(word: str, u: float) -> str:
    return (
        word if u < 0.45 else word.capitalize() if u < 0.8 else word.upper() if u < 0.9 else word[0] + word[1:].title()
    )


def phrases(n: int, draws: np.random.Generator, *, other_than: Sequence[str] = ()) -> list[str]:
    """Different phrases, n of them, none of which is among ``other_than``."""
    found: dict[str, None] = {}
    known = set(other_than)
    while len(found) < n:
        new = phrase(draws)
        if new not in known:
            found[new] = None
    return list(found)


@cache
def many_phrases(n: int = 400) -> tuple[str, ...]:
    """A large sample of the domain: programs that agree on all of it are called equivalent."""
    return tuple(phrases(n, keyed_generator(0, "phrases", "find/string")))


def is_informative(inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    """Whether outputs tell a function from the identity and from every constant, on half of the inputs or more."""
    n = len(inputs)
    unchanged = sum(a == b for a, b in zip(inputs, outputs, strict=True))
    return max(unchanged, *Counter(outputs).values()) <= MAX_TRIVIAL_SHARE * n
