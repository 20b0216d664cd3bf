"""Sets of functions as problems, and what a program metric sees: the answers of one interpreter for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xaibench.core.gates import Gate
from xaibench.core.programs.black_box import BlackBox, Interpretation, Values, run_program
from xaibench.core.storage.cache import MemoryCache
from xaibench.core.types import Array

InterpretAgain = Callable[[int, int], Interpretation]
"""Interprets function number i with a budget, or takes the answer from where it is stored."""


def keyed_generator(seed: int, stream: str, name: str) -> np.random.Generator:
    """Random numbers keyed by (seed, stream, name of a function): Philox, as in `Draws`."""
    key = hashlib.blake2b(f"{seed}\0{stream}\0{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, "<u8")))


@dataclass(frozen=True)
class FunctionProblem:
    """A materialised set of functions of one kind, named ``set/functions``.

    Attributes
    ----------
    name : str
    functions : tuple of BlackBox
    budget : int
        Questions that may be asked of each function.
    seed : int
        Seed of the set.
    fingerprint : str
        Content digest: what the functions are, and how many questions are allowed.
    capabilities : frozenset of str
        Which needs of interpreters and metrics these functions meet.
    """

    name: str
    functions: tuple[BlackBox, ...]
    budget: int
    seed: int
    fingerprint: str
    capabilities: frozenset[str]
    gates: tuple[Gate, ...] = ()

    @property
    def gate_passed(self) -> bool:
        return all(g.passed for g in self.gates)

    @property
    def sample_ids(self) -> list[str]:
        """Names of the functions; equal names of sets of different seeds are different functions."""
        return [f.name + (f" seed {self.seed}" if self.seed else "") for f in self.functions]


@dataclass(frozen=True)
class ProgramEvaluation:
    """Interpretations of N functions, ready to be scored. Metrics must not change anything in it.

    Attributes
    ----------
    functions : tuple of BlackBox, N
    answers : tuple of Interpretation, N
        An interpreter that failed on a function has an answer there too, without a program
        (``failure`` says why): its predictions are missing, and all else is empty.
    seed : int
    budget : int
        Questions that were allowed for each function.
    ask : callable
    cache : MemoryCache
        Values that metrics share, such as predictions on dense grids.
    peers : tuple of BlackBox
        All functions of the set, for metrics that compare a function with others; where none are
        given, those that are evaluated.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> box = xb.BlackBox("square", "numeric", np.square, np.square, xb.Domain(), "power", {}, "x squared", np.zeros(1))
    >>> ev = xb.ProgramEvaluation((box,), (xb.Interpretation(np.abs),), seed=0, budget=8)
    >>> ev.predict(0, np.array([-3.0])).tolist(), ev.truth(0, np.array([-3.0])).tolist()
    ([3.0], [9.0])
    """

    functions: tuple[BlackBox, ...]
    answers: tuple[Interpretation, ...]
    seed: int
    budget: int
    ask: InterpretAgain | None = None
    cache: MemoryCache = field(default_factory=MemoryCache)
    peers: tuple[BlackBox, ...] = ()

    def __len__(self) -> int:
        return len(self.functions)

    def predict(self, i: int, inputs: Values) -> Array | list[str | None]:
        """Outputs of the program that was given for function i.

        Parameters
        ----------
        i : int
        inputs : array (m,) or list of str

        Returns
        -------
        array (m,) of float64, or list of str
            NaN, or None, where the program has no answer: it raised, returned something else than
            one output per input, a number that is not finite, or there is no program at all.
        """
        return run_program(self.answers[i].program, inputs, self.functions[i].kind)[0]

    def truth(self, i: int, inputs: Values) -> Array | list[str | None]:
        """Outputs of function i without noise, as `predict` returns them."""
        return run_program(self.functions[i].program, inputs, self.functions[i].kind)[0]

    def interpret(self, budget: int) -> ProgramEvaluation:
        """The same functions interpreted again by the same interpreter, with another budget.

        Raises
        ------
        ValueError
            If only answers were given, and nothing that makes them.
        """
        if budget == self.budget:
            return self
        if self.ask is None:
            raise ValueError("there is no interpreter to ask again")
        ask = self.ask
        evaluation: ProgramEvaluation = self.cache.get(
            f"budget/{budget}",
            lambda: replace(
                self,
                answers=tuple(ask(i, budget) for i in range(len(self))),
                budget=budget,
                cache=MemoryCache(),
            ),
        )
        return evaluation

    def draws(self, stream: str, i: int) -> np.random.Generator:
        """Fresh draws of the named stream for function i."""
        return keyed_generator(self.seed, stream, self.functions[i].name)

    def reuse(self, key: str, compute: Callable[[], Any]) -> Any:
        """Compute once: metrics with the same key share the value."""
        return self.cache.get(key, compute)
