"""Kinds of cases: type of an answer, what the truth is about, and which calls count as runs of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from xaibench.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from xaibench.core.truth import TruthKind

AnswerType = Literal["scores", "dictionary"]
ANSWER_TYPES: tuple[str, ...] = get_args(AnswerType)


@dataclass(frozen=True)
class CaseKind:
    """A kind of cases.

    Attributes
    ----------
    name : str
        What components that take such cases name in their needs; it stands in the column ``model`` of results.
    answer : {"scores", "dictionary"}
        Type of an answer: `Scores` or `Dictionary`.
    truth_kind : {"model", "data", "circuit", "program"}
        What the truth is about.
    counted : tuple of str
        Callables of what is given whose calls are runs of the model; the harness counts them.
    at_once : int
        Cases that a process answers at once. Small where a case takes long. Scores do not depend on it.

    Examples
    --------
    >>> import xaibench as xb
    >>> xb.CaseKind("influence", "scores", "model", counted=("fit",)).answer
    'scores'
    """

    name: str
    answer: AnswerType
    truth_kind: TruthKind
    counted: tuple[str, ...] = ()
    at_once: int = 4


_kinds: dict[str, CaseKind] = {}


def register_case_kind(kind: CaseKind) -> CaseKind:
    """Make a kind of cases known, before any component names it.

    Raises
    ------
    UsageError
        If another kind has this name.

    Examples
    --------
    >>> import xaibench as xb
    >>> xb.register_case_kind(xb.CaseKind("levers", "scores", "model", counted=("pull",))).truth_kind
    'model'
    """
    if _kinds.setdefault(kind.name, kind) != kind:
        raise UsageError(f"two kinds of cases are called {kind.name!r}", "give yours another name")
    return kind


def case_kind(name: str) -> CaseKind:
    """The kind of cases of this name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in _kinds:
        raise UsageError(f"unknown kind of cases {name!r}", did_you_mean(name, _kinds))
    return _kinds[name]


def case_kinds() -> frozenset[str]:
    """Names of all kinds of cases that are known."""
    return frozenset(_kinds)


for _kind in (
    CaseKind("circuit", "scores", "circuit", counted=("run",), at_once=1),
    CaseKind("concepts", "scores", "model", counted=("run",), at_once=4),
    CaseKind("scorer", "scores", "data", at_once=64),
    CaseKind("influence", "scores", "model", counted=("fit",), at_once=16),
    # Here and not beside their functions: an index of declarations is read without importing those.
    CaseKind("hidden_units", "scores", "model", counted=("run",), at_once=16),
    CaseKind("superposition", "scores", "model", counted=("run",), at_once=64),
    CaseKind("dictionary", "dictionary", "data", at_once=1),
    CaseKind("scene", "scores", "model", counted=("probe",), at_once=16),
):
    register_case_kind(_kind)
