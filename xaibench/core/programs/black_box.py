"""Function problems: a black box with a known description, questions to it, and the program that answers for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xaibench.core.errors import UnsupportedError, XaibenchError, message_of
from xaibench.core.gates import Gate
from xaibench.core.types import Array, FunctionKind

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

    Examples
    --------
    >>> import xaibench as xb
    >>> xb.Domain(-1.0, 1.0).high, xb.Domain(words=("red", "green")).words
    (1.0, ('red', 'green'))
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
    gates : tuple of Gate
        Measured conditions on which the description depends. A function with a failed gate is left out of rankings.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> double = lambda x: 2 * x
    >>> box = xb.BlackBox(
    ...     "double", "numeric", double, double, xb.Domain(-1, 1), "linear", {"slope": 2}, "f(x) = 2x", np.zeros(1)
    ... )
    >>> xb.interpret("polynomial", box, budget=8).queries
    8
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
    gates: tuple[Gate, ...] = ()

    @property
    def failed_gates(self) -> tuple[Gate, ...]:
        """Conditions that do not hold."""
        return tuple(gate for gate in self.gates if not gate.passed)


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
        Plain values worth storing: parameters found, transcript, tokens.
    failure : str
        Why there is no program, or why it gave no outputs; empty where all is well.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> answer = xb.Interpretation(program=np.square, description="the square", family="quadratic")
    >>> answer.program(np.array([3.0])).tolist()
    [9.0]
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


def run_program(program: Program, inputs: Values, kind: FunctionKind) -> tuple[Array | list[str | None], str]:
    """Run a program that may do anything, and return what can be used.

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
    given = copied_inputs(inputs, kind)
    n = len(given)
    try:
        with np.errstate(all="ignore"):
            found: Any = program(given)
        if numeric_outputs(kind):
            return _numbers(found, n), ""
        if not isinstance(found, (list, tuple, np.ndarray)) or np.shape(found)[1:] or len(found) != n:
            raise TypeError(f"{n} inputs gave {_described(found)}")
        return [str.__str__(x) if isinstance(x, str) else None for x in found], ""
    except (AskAgainError, UnsupportedError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit() in a program is its failure, and not the end of the run
        failure = exception_text(error)
    return (np.full(n, np.nan) if numeric_outputs(kind) else [None] * n), failure


def _numbers(found: Any, n: int) -> Array:
    """Outputs (n,) of float64, NaN where they are not finite."""
    if np.iscomplexobj(found):
        raise TypeError(f"{n} inputs gave complex numbers")
    values = np.array(found, dtype=np.float64)
    if values.shape != (n,):
        raise TypeError(f"{n} inputs gave {_described(found)}")
    return np.where(np.isfinite(values), values, np.nan)


def copied_inputs(inputs: Any, kind: FunctionKind) -> Values:
    """A copy of what is to be put in: numbers (n,), or a list of strings.

    Raises
    ------
    TypeError, ValueError
        If it is anything else, such as numbers in two dimensions or a single string.
    """
    if kind == "numeric":
        numbers = np.array(inputs, dtype=np.float64)
        if numbers.ndim != 1:
            raise ValueError(f"inputs of shape {numbers.shape} are not one-dimensional")
        return numbers
    if isinstance(inputs, (str, bytes)) or not isinstance(inputs, (Sequence, np.ndarray)):
        raise TypeError(f"inputs are a list of strings, not {type(inputs).__name__}")
    strings = list(inputs)
    for x in strings:
        if not isinstance(x, str):
            raise TypeError(f"inputs are a list of strings, not of {type(x).__name__}")
    return [str.__str__(x) for x in strings]


def exception_text(error: BaseException) -> str:
    """Kind and message of an exception, whatever it is, as text that can be stored."""
    return to_utf8(f"{type(error).__name__}: {message_of(error)}")


def to_utf8(text: str) -> str:
    """Text that files can hold: halves of characters, which UTF-8 has none of, become question marks."""
    return str.__str__(text).encode("utf-8", "replace").decode("utf-8")


def printable(text: str) -> str:
    """Text that a terminal can be given: control characters, which could steer it, become question marks."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in to_utf8(text))


def _described(value: Any) -> str:
    shape = np.shape(value) if isinstance(value, (np.ndarray, list, tuple)) else None
    return type(value).__name__ if shape is None else f"{type(value).__name__} of shape {shape}"


class BudgetError(XaibenchError):
    """More was asked of a function than the budget allows."""


class AskAgainError(XaibenchError):
    """No answer is available now, and that says anything about the interpreter: a later run asks again.

    The unit fails instead of scoring zeros; answers that were given before stay.
    """


class CountedFunction:
    """A black box that counts: what an interpreter is given instead of the function.

    It answers until the interpreter has, and refuses everything later: a program must stand on its
    own. Questions and answers are copied in and out, and nothing about a probe can be set. The
    function lives in a closure and is not an attribute. That stops accidents and short cuts; Python
    cannot hide an object from code in the same process that searches for it (``__closure__``,
    ``gc``), so read the source of an unknown interpreter before you trust its scores.

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

    Attributes
    ----------
    queries, left : int
        Inputs that were asked for, and that may still be asked for.
    asked, answers : list
        What was answered, in its order.

    Examples
    --------
    An interpreter is given a probe, and asks it:

    >>> import numpy as np
    >>> import xaibench as xb
    >>> f = xb.Probe(np.square, "numeric", xb.Domain(), budget=3)
    >>> f([2.0, 3.0]).tolist(), f.left
    ([4.0, 9.0], 1)
    """

    __slots__ = ("_answer", "_close", "_log", "budget", "domain", "kind", "others", "truth")
    kind: FunctionKind
    domain: Domain
    budget: int
    truth: BlackBox | None
    others: tuple[BlackBox, ...]
    _answer: Callable[[Any], Values]
    _close: Callable[[], None]
    _log: Callable[[], tuple[int, list[Any], list[Any]]]

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
        queries, closed = 0, False
        asked: list[Any] = []
        answers: list[Any] = []
        one_at_a_time = threading.RLock()

        def answer(inputs: Any) -> Values:
            nonlocal queries
            given = copied_inputs(inputs, kind)
            with one_at_a_time:
                if closed:
                    raise BudgetError("nothing may be asked any more: the interpreter has given its answer")
                if len(given) > budget - queries:
                    raise BudgetError(f"{len(given)} questions, and {budget - queries} of {budget} are left")
                queries += len(given)
                found = call(copied_inputs(given, kind))
                copied: Values = np.array(found, dtype=np.float64) if numeric_outputs(kind) else list(map(str, found))
                asked.extend(given)
                answers.extend(copied)
                return copied

        def close() -> None:
            nonlocal closed
            closed = True

        fields = {"kind": kind, "domain": domain, "budget": budget, "truth": truth, "others": others}
        hidden = {"_answer": answer, "_close": close, "_log": lambda: (queries, list(asked), list(answers))}
        for name, value in (fields | hidden).items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name!r} of a probe cannot be set")

    @property
    def queries(self) -> int:
        return self._log()[0]

    @property
    def left(self) -> int:
        return self.budget - self.queries

    @property
    def asked(self) -> list[Any]:
        return self._log()[1]

    @property
    def answers(self) -> list[Any]:
        return self._log()[2]

    def __call__(self, inputs: Values | Sequence[float] | Sequence[str]) -> Values:
        """Ask, many at a time.

        Parameters
        ----------
        inputs : array (n,), or sequence of n str
            Each one is a question, whether it was asked before or not.

        Returns
        -------
        array (n,) of float64, or list of str

        Raises
        ------
        TypeError, ValueError
            If these are not inputs of the function; see `copied_inputs`. Nothing is asked then.
        BudgetError
            If these are more than are left, or the probe is closed. Nothing is asked then.
        """
        return self._answer(inputs)

    def close(self) -> None:
        """Answer nothing any more."""
        self._close()


Probe = CountedFunction
"""The public name: what an interpreter is handed."""
