"""Function problems: a black box with a known description, questions to it, and the program that answers for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from xaibench.core.errors import UnsupportedError, XaibenchError

Array = np.ndarray[Any, Any]
FunctionKind = Literal["numeric", "string", "neuron", "relation"]
Interval = tuple[float, float]
Values = Array | list[str]
"""What goes into a function and comes out of it, many at a time: numbers (n,) of float64, or n strings."""

Program = Callable[[Values], Values]


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
    call: Program
    program: Program
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
        Plain values worth keeping: parameters found, transcript, tokens.
    failure : str
        Why there is no program, or why it gave no outputs; empty where all is well.
    """

    program: Program
    description: str = ""
    family: str | None = None
    intervals: tuple[Interval, ...] = ()
    queries: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""

    @classmethod
    def failed(cls, failure: str, *, queries: int = 0, facts: Mapping[str, Any] | None = None) -> Interpretation:
        """The answer of an interpreter that has none: its program has no output for anything."""
        return cls(_no_program, queries=queries, facts=facts or {}, failure=failure)


def _no_program(_inputs: Values) -> Values:
    raise XaibenchError("there is no program")


def numeric_outputs(kind: FunctionKind) -> bool:
    """Whether functions of this kind give numbers; the others give strings."""
    return kind in ("numeric", "neuron")


def outputs_of(program: Program, inputs: Values, kind: FunctionKind) -> tuple[Array | list[str | None], str]:
    """Run a program that may do anything, and keep what can be used.

    Returns
    -------
    outputs : array (m,) of float64, or list of str
        NaN, or None, where there is no usable output.
    failure : str
        Why there is none for any input, or empty.

    Raises
    ------
    UnsupportedError, AskAgainError
        If the program cannot run here, or not now; that says nothing about the program.
    """
    given: Values = np.array(inputs, dtype=np.float64) if kind == "numeric" else [str(x) for x in inputs]
    n = len(given)
    failure = ""
    try:
        with np.errstate(all="ignore"):
            found: Any = program(given)
        if np.ndim(found) != 1 or len(found) != n:
            raise TypeError(f"{n} inputs gave {_described(found)}")
        if numeric_outputs(kind):
            values = np.asarray(found, dtype=np.float64)
            return np.where(np.isfinite(values), values, np.nan), ""
        return [x if isinstance(x, str) else None for x in found], ""
    except (AskAgainError, UnsupportedError):
        raise
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    return (np.full(n, np.nan) if numeric_outputs(kind) else [None] * n), failure


def _described(value: Any) -> str:
    shape = np.shape(value) if isinstance(value, (np.ndarray, list, tuple)) else None
    return type(value).__name__ if shape is None else f"{type(value).__name__} of shape {shape}"


class BudgetError(XaibenchError):
    """More was asked of a function than the budget allows."""


class AskAgainError(XaibenchError):
    """No answer can be had now, and none of it says anything about the interpreter: a later run asks again.

    The unit fails instead of scoring zeros; answers that are there already are kept.
    """


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
    truth : BlackBox, optional
        The function with its description, for interpreters that declare the need ``truth``.
    others : tuple of BlackBox
        Other functions of the set, for interpreters that declare the need ``others``.
    """

    def __init__(
        self,
        call: Program,
        kind: FunctionKind,
        domain: Domain,
        budget: int,
        *,
        truth: BlackBox | None = None,
        others: tuple[BlackBox, ...] = (),
    ) -> None:
        self._call = call
        self.kind = kind
        self.domain = domain
        self.budget = budget
        self.truth = truth
        self.others = others
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
