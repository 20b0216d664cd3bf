"""Inference of the letters in a program from the answers of the function."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from xaibench.functions.strings.catalogue import TRIAL_LETTERS, Frame
from xaibench.functions.strings.primitives import ALPHABET, N_LETTERS
from xaibench.functions.strings.programs import StringProgram

StringPair = tuple[str, str]
_RUN = re.compile(r"[a-z]{5,}")
_MIXTURES = tuple("a" * k + "b" * (N_LETTERS - k) for k in range(N_LETTERS + 1))
"""Where vowels are only counted, any will do."""
SWEEPS = 3


def guesses(pairs: Sequence[StringPair]) -> list[str]:
    """Five letters that are seen in answers, forwards or backwards, or are what an answer has beyond its question."""
    found: dict[str, None] = {}
    for question, answer in sorted(pairs, key=lambda pair: len(pair[1])):
        low = answer.lower()
        for text in (low, low[::-1], low[::2]):
            for run in _RUN.findall(text):
                found.update((run[k : k + N_LETTERS], None) for k in range(len(run) - N_LETTERS + 1))
        added = "".join(sorted((Counter(low) - Counter(question.lower())).elements()))
        if len(added) == N_LETTERS and added.isalpha() and added.isascii():
            found[added] = None
    return [*found, *_MIXTURES]


def letter_agreement(found: str, wanted: str) -> float:
    """1 if equal; else the share of equal characters, counted from both ends where lengths differ, below 1."""
    if found == wanted:
        return 1.0
    most = max(len(found), len(wanted))
    if len(found) == len(wanted):
        same = sum(a == b for a, b in zip(found, wanted, strict=True))
    else:
        same = min(_common(found, wanted) + _common(found[::-1], wanted[::-1]), most - 1)
    return 0.9 * same / most


def _common(a: str, b: str) -> int:
    k = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        k += 1
    return k


def open_pairs(frame: Frame, pairs: Sequence[StringPair]) -> list[StringPair]:
    """The pairs whose answers depend on the letters, short answers first."""
    trials = [frame.fill(w * 2) for w in TRIAL_LETTERS]
    return sorted((p for p in pairs if len({t.one(p[0]) for t in trials}) > 1), key=lambda pair: len(pair[1]))


def recognised(frame: Frame, pairs: Sequence[StringPair], seen: Sequence[str]) -> StringProgram | None:
    """The frame with those of the letters seen that give all answers, or None."""
    some = open_pairs(frame, pairs)
    for letters in _filling(frame, seen):
        program = frame.fill(letters)
        if _gives(program, some) and _gives(program, pairs):
            return program
    return None


def improved(frame: Frame, pairs: Sequence[StringPair], seen: Sequence[str]) -> tuple[float, str]:
    """The letters of those seen that agree best with the answers, and how well they do."""
    some = open_pairs(frame, pairs)
    return max(((_score(frame.fill(w), some), w) for w in _filling(frame, seen)), key=lambda found: found[0])


def climbed(frame: Frame, pairs: Sequence[StringPair], best: str) -> StringProgram | None:
    """The frame with letters that give all answers, found by changing one letter at a time; None if none are found.

    Since most steps treat characters one by one, each right letter is one more right character of an answer.
    """
    some = open_pairs(frame, pairs)
    top = _score(frame.fill(best), some)
    for _ in range(SWEEPS):
        before = top
        for k in range(len(best)):
            for letter in ALPHABET:
                changed = best[:k] + letter + best[k + 1 :]
                value = _score(frame.fill(changed), some)
                if value > top:
                    best, top = changed, value
        if top in (before, len(some)):
            break
    program = frame.fill(best)
    return program if _gives(program, pairs) else None


def _score(program: StringProgram, pairs: Sequence[StringPair]) -> float:
    return sum([letter_agreement(program.one(x), y) for x, y in pairs])


def _gives(program: StringProgram, pairs: Sequence[StringPair]) -> bool:
    return all(program.one(x) == y for x, y in pairs)


def _filling(frame: Frame, seen: Sequence[str]) -> Sequence[str]:
    """Letters to try for all the holes of a frame."""
    if frame.holes == 1:
        return seen
    some = seen[:8]
    return [a + b for a in some for b in some]
