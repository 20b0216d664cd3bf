"""Answers about cases: scores of the units that a case names, or a dictionary of directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """One number for each unit of a case.

    Attributes
    ----------
    values : Tensor (U,), or (Q, U) where the case asks Q questions
        Signed; larger means more. NaN is a missing score and ranks last.
    facts : mapping
        Plain values worth storing.
    queries : int
        Runs of the model; counted by the harness.
    failure : str
        Why there is no answer; empty where there is one. Its values are NaN then.

    Examples
    --------
    >>> import torch
    >>> import xaibench as xb
    >>> xb.Scores(torch.tensor([0.5, -1.0])).values.tolist()
    [0.5, -1.0]
    """

    values: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)
    queries: int = 0
    failure: str = ""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What is stored as tensors, by name."""
        return {"values": self.values}


@dataclass(frozen=True)
class Dictionary:
    """Directions, and how much of each the test inputs of a case hold.

    Attributes
    ----------
    directions : Tensor (m, d)
    codes : Tensor (T, m)
    reconstruction : Tensor (T, d)
    facts : mapping
    queries : int
    failure : str
        As in `Scores`.

    Examples
    --------
    >>> import torch
    >>> import xaibench as xb
    >>> x = torch.eye(3)
    >>> xb.Dictionary(directions=torch.eye(3), codes=x, reconstruction=x).codes.shape
    torch.Size([3, 3])
    """

    directions: Tensor
    codes: Tensor
    reconstruction: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)
    queries: int = 0
    failure: str = ""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What is stored as tensors, by name."""
        return {"directions": self.directions, "codes": self.codes, "reconstruction": self.reconstruction}


CaseAnswer = Scores | Dictionary


def check_answer(answer: Any, truth: CaseAnswer) -> CaseAnswer:
    """The answer with detached float64 scores (a dictionary keeps float32 or float64), on the CPU.

    Parameters
    ----------
    answer : Any
        What an explainer returned.
    truth : Scores or Dictionary
        Answers have its type and shape; a dictionary may have another number of directions.

    Raises
    ------
    TypeError, ValueError
        If it is not an answer of this type and shape, or not finite. Scores may be NaN, but not all of them.
    """
    if not isinstance(answer, type(truth)):
        raise TypeError(f"the explainer returned {type(answer).__name__} instead of {type(truth).__name__}")
    for name, tensor in answer.tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} is {type(tensor).__name__}, not a tensor")
        if tensor.is_complex():
            raise TypeError(f"{name} is complex")
    if not isinstance(answer.facts, Mapping):
        raise TypeError(f"the facts are {type(answer.facts).__name__}, not a mapping")
    found = {name: _plain(tensor) for name, tensor in answer.tensors.items()}
    if isinstance(truth, Scores):
        _check_scores(found["values"], tuple(truth.values.shape))
        return Scores(found["values"].double(), answer.facts)
    _check_dictionary(found, truth)
    return Dictionary(found["directions"], found["codes"], found["reconstruction"], answer.facts)


def _plain(tensor: Tensor) -> Tensor:
    value = tensor.detach().cpu().clone()
    return (value if value.dtype in (torch.float32, torch.float64) else value.to(torch.float64)).contiguous()


def _check_scores(values: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(values.shape) != expected:
        raise ValueError(f"the scores have shape {tuple(values.shape)} instead of {expected}")
    if torch.isinf(values).any():
        raise ValueError("some scores are infinite")
    if values.numel() and torch.isnan(values).all():
        raise ValueError("all scores are NaN")


def _check_dictionary(found: Mapping[str, Tensor], truth: Dictionary) -> None:
    (n, d), m = truth.reconstruction.shape, found["directions"].shape[0] if found["directions"].ndim else 0
    for name, expected in {"directions": (m, d), "codes": (n, m), "reconstruction": (n, d)}.items():
        if tuple(found[name].shape) != expected or not m:
            raise ValueError(f"{name} have shape {tuple(found[name].shape)} instead of {expected}")
        if not torch.isfinite(found[name]).all():
            raise ValueError(f"{name} are not finite")


def failed_answer(truth: CaseAnswer, failure: str) -> CaseAnswer:
    """The answer of an explainer that has none: NaN, and the reason."""
    blank = {name: torch.full_like(tensor, torch.nan) for name, tensor in truth.tensors.items()}
    return answer_from_tensors(truth, blank, failure=failure)


def answer_from_tensors(truth: CaseAnswer, tensors: Mapping[str, Tensor], **fields: Any) -> CaseAnswer:
    """An answer of the type of ``truth`` with these tensors and other fields."""
    return replace(truth, **{"facts": {}, "queries": 0, "failure": "", **tensors, **fields})
