"""Sets of functions and of other cases as problems, and what a program metric sees: the answers of one interpreter."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xaibench.core.cases.case import Case
from xaibench.core.cases.evaluation import AnswerEvaluation
from xaibench.core.cases.kinds import case_kind
from xaibench.core.gates import Gate, gates_hold
from xaibench.core.programs.black_box import BlackBox, Interpretation, Values, run_program
from xaibench.core.storage.cache import MemoryCache
from xaibench.core.truth import TruthKind
from xaibench.core.types import Array

AnyCase = BlackBox | Case
"""A function, or a case of another kind."""


@dataclass(frozen=True)
class FunctionProblem:
    """A materialised set of functions, or of other cases, of one kind, named ``set/functions`` or ``set/KIND``.

    Attributes
    ----------
    name : str
    functions : tuple of BlackBox or Case
    budget : int
        Questions that may be asked of each function; 0 for cases, whose runs are counted and not limited.
    seed : int
        Seed of the set.
    fingerprint : str
        Content digest: what the functions are, and how many questions are allowed.
    capabilities : frozenset of str
        Which needs of interpreters and metrics these functions meet.
    """

    name: str
    functions: tuple[AnyCase, ...]
    budget: int
    seed: int
    fingerprint: str
    capabilities: frozenset[str]

    @property
    def kind(self) -> str:
        """Kind of the functions or cases."""
        return self.functions[0].kind

    @property
    def truth_kind(self) -> TruthKind:
        """What the truth is about."""
        return case_kind(self.kind).truth_kind if isinstance(self.functions[0], Case) else "program"

    @property
    def answer_type(self) -> str:
        """What an answer is: a program, scores or a dictionary."""
        return case_kind(self.kind).answer if isinstance(self.functions[0], Case) else "program"

    @property
    def at_once(self) -> int | None:
        """Cases that a process answers at once; None for functions, where the harness decides."""
        return case_kind(self.kind).at_once if isinstance(self.functions[0], Case) else None

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Gates of every function or case, which name it as `sample_ids` does."""
        pairs = zip(self.functions, self.sample_ids, strict=True)
        return tuple(replace(gate, case=name) for function, name in pairs for gate in function.gates)

    @property
    def gate_passed(self) -> bool:
        """Whether some function or case passed all of its gates."""
        return gates_hold(self.gates, len(self.functions))

    @property
    def sample_ids(self) -> list[str]:
        """Names of the functions; equal names of sets of different seeds are different functions."""
        return [f.name + (f" seed {self.seed}" if self.seed else "") for f in self.functions]


@dataclass(frozen=True)
class ProgramEvaluation(AnswerEvaluation[BlackBox, Interpretation]):
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
