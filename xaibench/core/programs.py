"""Function problems: a black box with a known description, questions to it, and the program that answers for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from xaibench.core.errors import XaibenchError

Array = np.ndarray[Any, Any]
FunctionKind = Literal["numeric", "string", "neuron", "relation"]
Interval = tuple[float, float]
Values = Array | list[str]
"""What goes into a function and comes out of it, many at a time: numbers (n,) of float64, or n strings."""


@dataclass(frozen=True)
class Domain:
    """What may be asked.

    Attributes
    ----------
    low, high : float
        Ends of the interval of a numeric function.
    words : tuple of str
        Strings that a function is about: examples of a string function, the vocabulary of a neuron,
        the entities of a relation.
    """

    low: float = -128.0
    high: float = 128.0
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlackBox:
    """A function whose description is known.

    Attributes
    ----------
    name : str
        For example ``find/numeric/0042``.
    kind : {"numeric", "string", "neuron", "relation"}
    call : callable
        The function as it answers questions, corrupted and noisy where it is so: (inputs) -> outputs.
        Deterministic: the noise of an input is part of the function.
    program : callable
        The function without noise, which a perfect program equals: (inputs) -> outputs.
    domain : Domain
    family : str
    parameters : mapping
        Plain values.
    description : str
        From a template.
    intervals : tuple of (low, high)
        Where a numeric function is corrupted.
    landmarks : tuple of float
        Kinks, jumps and poles inside the domain.
    noise : str
        ``none``, ``normal``, ``uniform`` or ``poisson``.
    test_inputs : array (m,) or list of str
        What programs are tested on.
    """

    name: str
    kind: FunctionKind
    call: Callable[[Values], Values]
    program: Callable[[Values], Values]
    domain: Domain
    family: str
    parameters: Mapping[str, Any]
    description: str
    test_inputs: Values
    intervals: tuple[Interval, ...] = ()
    landmarks: tuple[float, ...] = ()
    noise: str = "none"


@dataclass(frozen=True)
class Interpretation:
    """What an interpreter says about a function.

    Attributes
    ----------
    program : callable
        (inputs) -> outputs, of the same length.
    description : str
    family : str or None
    intervals : tuple of (low, high)
        Where the function departs from ``family``.
    queries : int
        Inputs that were asked for; counted by the harness.
    facts : mapping
        Plain values worth keeping: parameters found, transcript, tokens, why a program is missing.
    """

    program: Callable[[Values], Values]
    description: str = ""
    family: str | None = None
    intervals: tuple[Interval, ...] = ()
    queries: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


class BudgetError(XaibenchError):
    """More was asked of a function than the budget allows."""


class Probe:
    """A black box that counts: what an interpreter is given instead of the function.

    Parameters
    ----------
    call : callable
        (inputs) -> outputs.
    kind : {"numeric", "string", "neuron", "relation"}
    domain : Domain
    budget : int
        Inputs that may be asked for in all.
    """

    def __init__(
        self, call: Callable[[Values], Values], kind: FunctionKind, domain: Domain, budget: int
    ) -> None:
        self._call = call
        self.kind = kind
        self.domain = domain
        self.budget = budget
        self.queries = 0
        self.asked: list[Any] = []
        self.answers: list[Any] = []

    @property
    def left(self) -> int:
        """Inputs that may still be asked for."""
        return self.budget - self.queries

    def __call__(self, inputs: Values | Sequence[float]) -> Values:
        """Ask, many at a time.

        Raises
        ------
        BudgetError
            If this is more than is left; nothing is asked then.
        """
        if len(inputs) > self.left:
            raise BudgetError(f"{len(inputs)} questions, and {self.left} of {self.budget} are left")
        given: Values = np.asarray(inputs, dtype=np.float64) if self.kind == "numeric" else [str(x) for x in inputs]
        found = self._call(given)
        self.queries += len(given)
        self.asked += list(given)
        self.answers += list(found)
        return found
