"""String functions after FIND: primitives, and compositions of two."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from pydantic import PositiveInt

from xaibench.core.draws import keyed_generator
from xaibench.core.program_registry import functions
from xaibench.core.programs.black_box import BlackBox, Domain
from xaibench.functions.strings.phrases import is_informative, many_phrases, phrases
from xaibench.functions.strings.primitives import ALPHABET, N_LETTERS, PRIMITIVES
from xaibench.functions.strings.programs import Step, StringProgram, steps_of

N_WORDS, N_TESTS, TRIES = 48, 16, 20
_TURN = math.sqrt(2) % 1


@functions("find_string", kind="string")
def find_string(
    *, seed: int, n: PositiveInt = 48, composed: Annotated[float, Ge(0), Le(1)] = 0.7
) -> tuple[BlackBox, ...]:
    """String functions after FIND (Schwettmann et al. 2023), from our own generator.

    A function is one of about seventy primitives, or two of them one after the other. All are made
    as their names say; some of FIND's own primitives do something else by design. Letters and shifts
    are drawn uniformly.

    Parameters
    ----------
    seed : int
    n : int
        Functions; the first ones of a larger set are those of a smaller one.
    composed : float
        Share of functions of two steps, spread evenly. The others go through all primitives in turn.

    Notes
    -----
    A composition is drawn again where one primitive does the same, with these letters and any shift.
    The 16 test inputs of a function are held out: none is among the words of the domain, or among
    the phrases that families are compared on. They are drawn again, and after 20 times the function
    is, where more than half of them have the same output, or stay as they are.
    """
    order = keyed_generator(seed, "order", "find/string")
    domain = Domain(words=tuple(phrases(N_WORDS, keyed_generator(seed, "words", "find/string"))))
    start = float(order.random())
    made: list[BlackBox] = []
    names: list[str] = []
    for i in range(n):
        single = None
        if (start + i * _TURN) % 1 >= composed:
            names = names or [str(name) for name in order.permutation(list(PRIMITIVES))]
            single = names.pop()
        made.append(_function(seed, f"find/string/{i:04d}", single, domain))
    return tuple(made)


def _function(seed: int, name: str, single: str | None, domain: Domain) -> BlackBox:
    draws = keyed_generator(seed, "find_string/steps", name)
    inputs = keyed_generator(seed, "find_string/inputs", name)
    for program in _candidates(single, draws):
        if single is None and replaceable(program):
            continue
        for _ in range(TRIES):
            tests = phrases(N_TESTS, inputs, other_than=(*domain.words, *many_phrases()))
            if is_informative(tests, program(tests)):
                description = f"f(x): {program.text}"
                return BlackBox(
                    name, "string", program, program, domain, program.family, program.parameters, description, tests
                )
    raise AssertionError("candidates never end")


def _candidates(single: str | None, draws: np.random.Generator) -> Iterator[StringProgram]:
    names = list(PRIMITIVES)
    while True:
        chosen = [single] if single else [names[k] for k in draws.integers(len(names), size=2)]
        yield StringProgram(tuple(_step(name, draws) for name in chosen))


def _step(name: str, draws: np.random.Generator) -> Step:
    primitive = PRIMITIVES[name]
    if primitive.need == "letters":
        return Step(name, "".join(ALPHABET[k] for k in draws.integers(len(ALPHABET), size=N_LETTERS)))
    if primitive.need == "shift":
        return Step(name, int(draws.integers(1, primitive.shifts + 1)))
    return Step(name)


def replaceable(program: StringProgram) -> bool:
    """Whether one primitive does the same on a large sample of the domain, with these letters and any shift."""
    inputs = many_phrases()
    wanted = [program.one(x) for x in inputs]
    letters = [c for c in program.constants if isinstance(c, str)]
    return any(
        all(step.run(x) == y for x, y in zip(inputs, wanted, strict=True))
        for name in PRIMITIVES
        for step in steps_of(name, letters)
    )
