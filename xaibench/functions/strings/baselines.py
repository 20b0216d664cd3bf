"""Baseline interpreters of string functions, without knowledge of the primitives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation, Values
from xaibench.functions.strings.edits import alignment, edit_similarity
from xaibench.functions.strings.phrases import phrases
from xaibench.functions.strings.programs import StringProgram, restored


@interpreter("identity", takes={"string"}, control=True, restore=restored)
def identity(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """Says that strings stay as they are, and asks nothing: right wherever a function changes little."""
    program = StringProgram(())
    return Interpretation(program, f"f(x): {program.text}", program.family, facts={"parameters": program.parameters})


@interpreter("edit_neighbour", takes={"string"})
def edit_neighbour(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """Answer for the most similar string that was asked, with what differs from that string carried over.

    Asks words of the domain in random order, and phrases like those of `find_string` if there are
    not enough of them.
    """
    asked = [domain.words[k] for k in draws.permutation(len(domain.words))[: f.left]]
    asked += phrases(f.left - len(asked), draws, other_than=asked)
    answers = [str(y) for y in f(asked)]
    return Interpretation(Neighbours(tuple(zip(asked, answers, strict=True))), f"a table of {len(asked)} strings")


@dataclass(frozen=True)
class Neighbours:
    """A table of strings and answers."""

    pairs: tuple[tuple[str, str], ...]

    def __call__(self, inputs: Values | Sequence[str]) -> list[str]:
        return [self.one(str(x)) for x in inputs]

    def one(self, x: str) -> str:
        """Output for one string; of strings that are as similar the first one counts."""
        question, answer = max(self.pairs, key=lambda pair: edit_similarity(pair[0], x))
        return carried_over(x, question, answer)


def carried_over(x: str, question: str, answer: str) -> str:
    """The answer, with the characters that it has from its question replaced by those of x in their place."""
    instead = [""] * len(question)
    before = ""
    at = -1
    for i, j in alignment(question, x):
        at = at if i is None else i
        new = "" if j is None else x[j]
        if at < 0:
            before += new
        else:
            instead[at] += new
    if instead:
        instead[0] = before + instead[0]
    found = []
    for i, k in alignment(question, answer):
        if k is not None:
            found.append(instead[i] if i is not None and question[i] == answer[k] else answer[k])
    return "".join(found)
