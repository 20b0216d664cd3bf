"""Catalogue of all programs of up to two steps, with their answers to a few strings that separate them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from xaibench.core.types import Array
from xaibench.functions.strings.primitives import PRIMITIVES
from xaibench.functions.strings.programs import Step, StringProgram, steps_of

FIRST_QUESTIONS = (
    "MANGO 976 Xylophone, HARBOUR Circus",
    "village Elbow768 apple",
    "a b",
    "iGloo109?",
    "x",
    "acorn jungle jacket? Rabbit",
    "7",
    "233: pigeon",
)
"""Asked of every function: long ones that separate programs, and short ones that show letters."""
TRIAL_LETTERS = ("bcdfg", "acdfg", "aedfg", "aeifg", "aeiog", "aeiou", "kkkkk", "zyaxw")
"""What frames are tried with, to see on which questions their letters matter, and how long the answers get."""
SLACK = 3
"""Characters by which letters may change a length beyond what the trials show."""


@dataclass(frozen=True)
class Frame:
    """One or two steps of which some lack their letters.

    Attributes
    ----------
    steps : tuple of Step
        ``constant`` is None where letters are missing.
    """

    steps: tuple[Step, ...]

    @property
    def holes(self) -> int:
        """Steps that lack letters."""
        return sum(step.need == "letters" for step in self.steps)

    def fill(self, letters: str) -> StringProgram:
        """The program with these letters, five for each step that lacks them."""
        words = iter([letters[k : k + 5] for k in range(0, len(letters), 5)])
        return StringProgram(tuple(Step(s.name, next(words)) if s.need == "letters" else s for s in self.steps))


@dataclass(frozen=True)
class Catalogue:
    """Everything that the search knows before it asks.

    Attributes
    ----------
    programs : tuple of StringProgram
        All without letters, shorter ones first.
    answers : array (programs, questions) of int
        Numbers of their outputs for `FIRST_QUESTIONS`.
    numbers : tuple of dict
        By question: the number of an output.
    frames : tuple of Frame
        All with letters, fewer steps and fewer letters first.
    shortest, longest : array (frames, questions) of int
        Lengths of their outputs, over `TRIAL_LETTERS`.
    starts, ends : tuple (frames) of tuple (questions) of str
        How their outputs begin and end whatever the letters; empty where the letters change the length.
    """

    programs: tuple[StringProgram, ...]
    answers: Array
    numbers: tuple[dict[str, int], ...]
    frames: tuple[Frame, ...]
    shortest: Array
    longest: Array
    starts: tuple[tuple[str, ...], ...]
    ends: tuple[tuple[str, ...], ...]

    def matching(self, answers: Sequence[str]) -> list[StringProgram]:
        """Programs that give these answers to the first questions, shorter ones first."""
        wanted = [numbers.get(y, -1) for numbers, y in zip(self.numbers, answers, strict=False)]
        hits = (self.answers[:, : len(wanted)] == wanted).all(axis=1)
        return [self.programs[k] for k in np.flatnonzero(hits)]

    def nearest(self, answers: Sequence[str]) -> StringProgram:
        """The program that gives most of these answers, the shortest of several."""
        wanted = [numbers.get(y, -1) for numbers, y in zip(self.numbers, answers, strict=False)]
        return self.programs[int(np.argmax((self.answers[:, : len(wanted)] == wanted).sum(axis=1)))]

    def possible(self, answers: Sequence[str]) -> list[int]:
        """Numbers of frames that no answer to the first questions speaks against."""
        n = len(answers)
        lengths = np.array([len(y) for y in answers])
        slack = np.where(self.shortest[:, :n] < self.longest[:, :n], SLACK, 0)
        fits = ((self.shortest[:, :n] - slack <= lengths) & (lengths <= self.longest[:, :n] + slack)).all(axis=1)
        return [
            int(k)
            for k in np.flatnonzero(fits)
            if all(map(str.startswith, answers, self.starts[k])) and all(map(str.endswith, answers, self.ends[k]))
        ]


@cache
def catalogue() -> Catalogue:
    """The catalogue, made once in a process."""
    whole = [step for name in PRIMITIVES for step in steps_of(name)]
    holed = [Step(p.name) for p in PRIMITIVES.values() if p.need == "letters"]
    programs = [
        StringProgram(()),
        *(StringProgram((a,)) for a in whole),
        *(StringProgram((a, b)) for a in whole for b in whole),
    ]
    frames = [
        *(Frame((h,)) for h in holed),
        *(Frame(pair) for h in holed for a in whole for pair in ((a, h), (h, a))),
        *(Frame((g, h)) for g in holed for h in holed),
    ]
    answers, numbers = [], []
    for question in FIRST_QUESTIONS:
        first = [step.run(question) for step in whole]
        outputs = [question, *first, *(step.run(x) for x in first for step in whole)]
        numbered: dict[str, int] = {}
        answers.append([numbered.setdefault(y, len(numbered)) for y in outputs])
        numbers.append(numbered)
    tried = [[frame.fill(w * 2)(FIRST_QUESTIONS) for w in TRIAL_LETTERS] for frame in frames]
    lengths = np.array([[[len(y) for y in outputs] for outputs in some] for some in tried])
    starts = tuple(tuple(_common(outputs) for outputs in zip(*some, strict=True)) for some in tried)
    ends = tuple(
        tuple(_common([y[::-1] for y in outputs])[::-1] for outputs in zip(*some, strict=True)) for some in tried
    )
    return Catalogue(
        tuple(programs),
        np.array(answers, dtype=np.int32).T,
        tuple(numbers),
        tuple(frames),
        lengths.min(axis=1),
        lengths.max(axis=1),
        starts,
        ends,
    )


def _common(outputs: Sequence[str]) -> str:
    """How all outputs begin, if they have the same length."""
    if len({len(y) for y in outputs}) > 1:
        return ""
    low, high = min(outputs), max(outputs)
    return next((low[:k] for k, (a, b) in enumerate(zip(low, high, strict=True)) if a != b), low)
