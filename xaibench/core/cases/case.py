"""A case: one thing that is explained, with its truth; and the view of it that an explainer is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.answers import CaseAnswer, Dictionary, Scores
from xaibench.core.cases.counting import RunCounter
from xaibench.core.cases.kinds import case_kind
from xaibench.core.errors import DataError
from xaibench.core.gates import Gate


@dataclass(frozen=True, eq=False)
class Case:
    """One thing to be explained, together with the right answer.

    Attributes
    ----------
    name : str
        For example ``influence/digits/0003``. Random draws are keyed by it.
    kind : str
        A known `CaseKind`.
    given : Any
        Everything that an explainer may see: a frozen dataclass of tensors, plain values and callables.
    truth : Scores or Dictionary
        The right answer; what the oracle says. Never NaN.
    hidden : mapping of str to Tensor
        What metrics see and no explainer does: labels, effects.
    units : tuple of str
        Names of what is scored, U.
    questions : tuple of str
        Names of the questions, Q; empty where there is one question only.
    parameters : mapping
        Plain values.
    description : str
    gates : tuple of Gate
        Measured conditions on which the truth depends. A case with a failed gate is shown and left out of rankings.
    content : mapping, optional
        Tensors and plain values that tell the case from others, for the keys of results. Default: all of the above but
        callables. Give what is exact where the rest is computed from it, so that rounding, which differs between
        machines, is in no key.

    Raises
    ------
    DataError
        If the truth does not have the type and shape that kind, units and questions ask for.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import torch
    >>> import xaibench as xb
    >>> @dataclass(frozen=True)
    ... class Given:
    ...     x: torch.Tensor
    >>> truth = xb.Scores(torch.tensor([1.0, 0.0]))
    >>> case = xb.Case("rows/0", "influence", Given(torch.eye(2)), truth, {}, units=("row 0", "row 1"))
    >>> case.shape
    (2,)
    """

    name: str
    kind: str
    given: Any
    truth: CaseAnswer
    hidden: Mapping[str, Tensor]
    units: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    gates: tuple[Gate, ...] = ()
    content: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        wanted = case_kind(self.kind).answer
        expected = (*((len(self.questions),) if self.questions else ()), len(self.units))
        if isinstance(self.truth, Scores) != (wanted == "scores"):
            raise DataError(f"the truth of {self.name} is {type(self.truth).__name__}, and its kind wants {wanted}")
        if not is_dataclass(self.given) or isinstance(self.given, type):
            raise DataError(f"what {self.name} gives is not a dataclass", "put tensors and callables into a dataclass")
        if isinstance(self.truth, Scores) and tuple(self.truth.values.shape) != expected:
            raise DataError(
                f"the truth of {self.name} has shape {tuple(self.truth.values.shape)} instead of {expected}",
                "there is one score for each unit, and a row for each question where there are several",
            )
        if not all(torch.isfinite(t).all() for t in self.truth.tensors.values()):
            raise DataError(f"the truth of {self.name} is not finite")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of scores; of a dictionary (m, d, T): directions, dimensions, test inputs."""
        return answer_shape(self.truth)

    @property
    def failed_gates(self) -> tuple[Gate, ...]:
        """Conditions that do not hold."""
        return tuple(gate for gate in self.gates if not gate.passed)


def answer_shape(truth: CaseAnswer) -> tuple[int, ...]:
    """Shape of scores; of a dictionary (m, d, T)."""
    if isinstance(truth, Dictionary):
        return (*truth.directions.shape, truth.codes.shape[0])
    return tuple(truth.values.shape)


class CaseView:
    """A case as an explainer sees it: what is given, and what is to be scored.

    Tensors are copies, runs of the model are counted, and nothing can be set. Truth and other cases
    are there for explainers that declare the need.

    Attributes
    ----------
    name, kind : str
    given : Any
        As in `Case`.
    units, questions : tuple of str
    shape : tuple of int
        What an answer must have: (U,) or (Q, U); of a dictionary (m, d, T), where m may differ.
    answer_type : type
        `Scores` or `Dictionary`.
    truth : Scores, Dictionary or None
    others : tuple of Case
        The other cases of the set.
    runs : int
        Runs of the model so far: calls of what the kind says is counted, a backward pass counting two.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from collections.abc import Callable
    >>> import torch
    >>> import xaibench as xb
    >>> @dataclass(frozen=True)
    ... class Given:
    ...     fit: Callable[[torch.Tensor], torch.Tensor]
    >>> truth = xb.Scores(torch.tensor([1.0, 0.0]))
    >>> case = xb.Case("rows/0", "influence", Given(lambda rows: rows.sum()), truth, {}, units=("row 0", "row 1"))
    >>> view = xb.CaseView(case)
    >>> view.given.fit(torch.ones(2)), view.runs
    (tensor(2.), 1)
    """

    __slots__ = ("_counter", "answer_type", "given", "kind", "name", "others", "questions", "shape", "truth", "units")
    name: str
    kind: str
    given: Any
    units: tuple[str, ...]
    questions: tuple[str, ...]
    shape: tuple[int, ...]
    answer_type: type[Scores] | type[Dictionary]
    truth: CaseAnswer | None
    others: tuple[Case, ...]
    _counter: RunCounter

    def __init__(self, case: Case, *, with_truth: bool = False, others: tuple[Case, ...] = ()) -> None:
        counter = RunCounter()
        values = {
            "name": case.name,
            "kind": case.kind,
            "given": _shown(case.given, case_kind(case.kind).counted, counter),
            "units": case.units,
            "questions": case.questions,
            "shape": case.shape,
            "answer_type": type(case.truth),
            "truth": case.truth if with_truth else None,
            "others": others,
            "_counter": counter,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name!r} of a case cannot be set")

    @property
    def runs(self) -> int:
        return self._counter.runs

    def close(self) -> None:
        """Run nothing any more."""
        self._counter.close()


def _shown(given: Any, counted: tuple[str, ...], counter: RunCounter) -> Any:
    """What is given, with copies of tensors and counted callables."""
    changed: dict[str, Any] = {}
    for f in fields(given):
        value = getattr(given, f.name)
        changed[f.name] = counter.counted(value) if f.name in counted else _copied(value)
    return replace(given, **changed)


def _copied(value: Any) -> Any:
    """The same with copies of tensors and arrays, also of those in tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (tuple, list):
        return type(value)(_copied(part) for part in value)
    if type(value) is dict:
        return {name: _copied(part) for name, part in value.items()}
    return value
