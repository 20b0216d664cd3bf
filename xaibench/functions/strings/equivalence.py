"""Which families a string function belongs to: computed from what their members do, never listed by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from xaibench.core.programs.black_box import BlackBox
from xaibench.functions.strings.phrases import many_phrases
from xaibench.functions.strings.primitives import LOWER, N_LETTERS, PRIMITIVES
from xaibench.functions.strings.programs import StringProgram, named_steps, program_of, steps_of

MOST_STEPS = 3


def in_family(f: BlackBox, family: str) -> bool:
    """Whether a family has a member that does what the function does, on a large sample of the domain.

    Members have any shift, and as letters those of the function or whatever a primitive makes of
    them: ``append > reverse`` with ``abcde`` is ``reverse > prepend`` with ``edcba``.

    Parameters
    ----------
    f : BlackBox
        A string function; its letters are those of ``parameters["steps"]``, if there are any.
    family : str
        Names of primitives: ``first > second``.
    """
    names = named_steps(family)
    if names is None or len(names) > MOST_STEPS:
        return False
    if family == f.family:
        return True
    inputs = many_phrases()
    wanted = f.program(list(inputs))
    letters = _letters(program_of(f.parameters)) if "steps" in f.parameters else []
    members = (StringProgram(steps) for steps in itertools.product(*(list(steps_of(n, letters)) for n in names)))
    return any(all(member.one(x) == y for x, y in zip(inputs, wanted, strict=True)) for member in members)


def _letters(program: StringProgram) -> Sequence[str]:
    own = [c for c in program.constants if isinstance(c, str)]
    made = (step.run(word) for word in own for name in PRIMITIVES for step in steps_of(name))
    return [word for word in dict.fromkeys([*own, *made]) if len(word) == N_LETTERS and LOWER.issuperset(word)]
