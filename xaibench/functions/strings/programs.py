"""Programs of string functions: primitives one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xaibench.core.programs.black_box import Domain, Values
from xaibench.functions.strings.primitives import PRIMITIVES, Need

Constant = str | int
StringFunction = Callable[[str], str]


@dataclass(frozen=True)
class Step:
    """A primitive with its letters or its shift, if it needs one."""

    name: str
    constant: Constant | None = None

    @property
    def need(self) -> Need | None:
        """What it needs."""
        return PRIMITIVES[self.name].need

    @cached_property
    def run(self) -> StringFunction:
        """(string) -> string."""
        run, constant = PRIMITIVES[self.name].run, self.constant
        return run if constant is None else lambda x: run(x, constant)

    @property
    def parameters(self) -> dict[str, Any]:
        """The constant by the name of what it is."""
        return {} if self.need is None else {self.need: self.constant}

    @property
    def text(self) -> str:
        """What it does, in words."""
        return PRIMITIVES[self.name].describe(self.parameters)


@dataclass(frozen=True)
class StringProgram:
    """Steps one after the other, applied to each of many strings."""

    steps: tuple[Step, ...]

    def __call__(self, inputs: Values | Sequence[str]) -> list[str]:
        return [self.one(str(x)) for x in inputs]

    def one(self, x: str) -> str:
        """Output for one string."""
        for step in self.steps:
            x = step.run(x)
        return x

    @property
    def family(self) -> str:
        """Names of the primitives: ``first > second``."""
        return " > ".join(step.name for step in self.steps) or "identity"

    @property
    def text(self) -> str:
        """What it does, in words."""
        return ", then ".join(step.text for step in self.steps) or "leave the string as it is"

    @property
    def parameters(self) -> dict[str, Any]:
        """The steps as plain values."""
        return {"steps": [{"primitive": step.name, **step.parameters} for step in self.steps]}

    @property
    def constants(self) -> tuple[Constant, ...]:
        """What the steps hold."""
        return tuple(step.constant for step in self.steps if step.constant is not None)


def program_of(parameters: Mapping[str, Any]) -> StringProgram:
    """The program from its plain values, as `StringProgram.parameters` gives them."""
    return StringProgram(
        tuple(
            Step(said["primitive"], next((v for k, v in said.items() if k != "primitive"), None))
            for said in parameters["steps"]
        )
    )


def restored(facts: Mapping[str, Any], _domain: Domain) -> StringProgram:
    """The program of a stored interpretation."""
    return program_of(facts["parameters"])


def named_steps(family: str) -> list[str] | None:
    """Names of the primitives of a family; None if it is none."""
    names = [] if family == "identity" else [part.strip() for part in family.split(">")]
    return names if all(name in PRIMITIVES for name in names) else None


def steps_of(name: str, letters: Sequence[str] = ()) -> Iterator[Step]:
    """A primitive with all shifts, or with each of the letters, or as it is."""
    primitive = PRIMITIVES[name]
    if primitive.need == "shift":
        yield from (Step(name, k) for k in range(1, primitive.shifts + 1))
    elif primitive.need == "letters":
        yield from (Step(name, word) for word in letters)
    else:
        yield Step(name)
