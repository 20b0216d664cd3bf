"""A function and the program that an interpreter gives for it, on the same inputs: outputs, and which of them agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xaibench.core.programs.black_box import BlackBox, Interpretation, run_program
from xaibench.core.types import Array

SIDES = 0.5
"""Levels of a neuron agree where both are above this, or neither is."""


@dataclass(frozen=True)
class ProgramComparison:
    """Outputs on the held-out inputs of a function.

    Attributes
    ----------
    inputs : list
    wanted, found : list
        What the function says of them, and what the program says.
    agree : list of bool
        Whether the two are equal; of neurons, whether they are on the same side of 0.5.
    """

    inputs: list[Any]
    wanted: list[Any]
    found: list[Any]
    agree: list[bool]

    @property
    def n_right(self) -> int:
        """Number of inputs on which the program agrees with the function."""
        return sum(self.agree)


def held_out_comparison(box: BlackBox, answer: Interpretation) -> ProgramComparison:
    """Compare the program of an answer with the function on the function's test inputs."""
    inputs = list(box.test_inputs)
    wanted, found = (list(run_program(program, inputs, box.kind)[0]) for program in (box.program, answer.program))
    alike = same_side if box.kind == "neuron" else _equal
    return ProgramComparison(inputs, wanted, found, [alike(a, b) for a, b in zip(wanted, found, strict=True)])


def program_outputs(box: BlackBox, answer: Interpretation, inputs: Sequence[Any]) -> list[Any]:
    """What the program of an answer says of some inputs."""
    return list(run_program(answer.program, list(inputs), box.kind)[0])


def same_side(wanted: float, found: float) -> bool:
    """Whether two levels of a neuron are on the same side of 0.5; never where the second one is NaN."""
    return not math.isnan(found) and (wanted > SIDES) == (found > SIDES)


def _equal(wanted: Any, found: Any) -> bool:
    return bool(wanted == found)


def function_curves(box: BlackBox, answer: Interpretation, n: int) -> tuple[Array, Array, Array]:
    """A numeric function and the program over the function's domain.

    Returns
    -------
    inputs : array (n,)
        Equally spaced over the domain.
    wanted, found : array (n,)
        The function without noise, and the program; NaN where they are undefined.
    """
    x = np.linspace(box.domain.low, box.domain.high, n)
    wanted, found = (
        np.asarray(run_program(program, x, "numeric")[0], dtype=np.float64) for program in (box.program, answer.program)
    )
    return x, wanted, found
