"""Search over all programs of up to two steps for those that reproduce the answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import PositiveInt

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation
from xaibench.functions.strings.catalogue import FIRST_QUESTIONS, catalogue
from xaibench.functions.strings.letters import StringPair, climbed, guesses, improved, recognised
from xaibench.functions.strings.phrases import many_phrases
from xaibench.functions.strings.programs import StringProgram, restored

MOST_COMPARED = 64
MOST_CLIMBED = 12
N_QUESTIONS = 60
"""Questions that are thought about before one is asked."""


@interpreter("string_search", takes={"string"}, restore=restored)
def string_search(
    f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator, *, confirmations: PositiveInt = 4
) -> Interpretation:
    """Enumeration of all programs of one or two primitives: the shortest that gives all answers.

    Eight fixed questions come first. Programs without letters are looked up by their answers; the
    letters of the others are found from them. Then the question is asked that parts the remaining
    programs most, until all of them agree and ``confirmations`` answers in a row were foreseen.

    Parameters
    ----------
    confirmations : int
    """
    known = catalogue()
    first = FIRST_QUESTIONS[: f.left]
    pairs: list[StringPair] = list(zip(first, map(str, f(list(first))), strict=True))
    answers = [y for _, y in pairs]
    pool = [x for x in dict.fromkeys([*domain.words, *many_phrases()]) if x not in first]
    pool = [pool[k] for k in draws.permutation(len(pool))[:N_QUESTIONS]]
    candidates = _consistent(pairs, len(first))
    foreseen = 0
    while f.left and pool and foreseen < confirmations:
        question, parts = _parting(candidates, pool)
        pool.remove(question)
        answer = str(f([question])[0])
        pairs.append((question, answer))
        left = [p for p in candidates if p.one(question) == answer]
        foreseen = foreseen + 1 if left and parts == 1 else 0
        candidates = left or _consistent(pairs, len(first))
    program = candidates[0] if candidates else known.nearest(answers)
    facts = {"parameters": program.parameters, "consistent": bool(candidates), "rivals": max(0, len(candidates) - 1)}
    return Interpretation(program, f"f(x): {program.text}", program.family, facts=facts)


def _consistent(pairs: Sequence[StringPair], n_first: int) -> list[StringProgram]:
    """Programs that give all answers, the shortest first; those with letters only if there is none without."""
    known = catalogue()
    answers = [y for _, y in pairs[:n_first]]
    rest = pairs[n_first:]
    found = [p for p in known.matching(answers) if all(p.one(x) == y for x, y in rest)]
    if found:
        return found
    seen = guesses(pairs)
    possible = [known.frames[k] for k in known.possible(answers)]
    for holes in (1, 2):
        frames = [frame for frame in possible if frame.holes == holes]
        found = [p for p in (recognised(frame, pairs, seen) for frame in frames) if p is not None]
        if found:
            return found
        ranked = sorted(((*improved(frame, pairs, seen), k) for k, frame in enumerate(frames)), reverse=True)
        for _, best, k in ranked[:MOST_CLIMBED]:
            program = climbed(frames[k], pairs, best)
            if program is not None:
                return [program]
    return []


def _parting(candidates: Sequence[StringProgram], pool: Sequence[str]) -> tuple[str, int]:
    """The question to which candidates give the most different answers, and how many."""
    some = candidates[:MOST_COMPARED]
    if len(some) < 2:
        return pool[0], 1
    parts = [len({p.one(x) for p in some}) for x in pool]
    best = int(np.argmax(parts))
    return pool[best], parts[best]
