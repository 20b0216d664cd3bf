"""What a metric of cases sees: cases with the answers of one explainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor

from xaibench.core.cases.answers import Dictionary, Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.storage.cache import MemoryCache

ExplainedT = TypeVar("ExplainedT")
AnsweredT = TypeVar("AnsweredT")


@dataclass(frozen=True)
class AnswerEvaluation(Generic[ExplainedT, AnsweredT]):
    """Answers about N things, ready to be scored. Metrics must not change anything in it.

    Attributes
    ----------
    functions : tuple, N
        What was explained: functions, or cases.
    answers : tuple, N
        An explainer that failed has an answer there too (``failure`` says why).
    seed : int
    budget : int
        Questions that were allowed for each function; 0 for cases, whose runs are counted and not limited.
    ask : callable, optional
    cache : MemoryCache
        Values that metrics share.
    peers : tuple
        All of the set, for metrics that compare one with others.
    """

    functions: tuple[ExplainedT, ...]
    answers: tuple[AnsweredT, ...]
    seed: int
    budget: int
    ask: Callable[[int, int], AnsweredT] | None = None
    cache: MemoryCache = field(default_factory=MemoryCache)
    peers: tuple[ExplainedT, ...] = ()

    def __len__(self) -> int:
        return len(self.functions)

    def draws(self, stream: str, i: int) -> np.random.Generator:
        """Fresh draws of the named stream for number i, keyed by its name."""
        explained: Any = self.functions[i]
        return keyed_generator(self.seed, stream, explained.name)

    def reuse(self, key: str, compute: Callable[[], Any]) -> Any:
        """Compute once: metrics with the same key share the value."""
        return self.cache.get(key, compute)


class CaseEvaluation(AnswerEvaluation[Case, Scores | Dictionary]):
    """Answers about N cases, ready to be scored; failed answers are never in it.

    The harness gives the worst score to an explainer that failed on a case, so a metric need not
    deal with that. Metrics must not change anything.

    Attributes
    ----------
    functions : tuple of Case, N
        Also as ``cases``.
    answers : tuple of Scores or Dictionary, N
    seed : int
    peers : tuple of Case
        All cases of the set.

    Examples
    --------
    >>> import torch
    >>> import xaibench as xb
    >>> @xb.metric("first_score", family="complexity", higher_is_better=True, bounds=(0, 1), needs={"case"})
    ... def first_score(ev: xb.CaseEvaluation) -> torch.Tensor:
    ...     return torch.stack([ev.scores(i)[0] for i in range(len(ev))])
    """

    @property
    def cases(self) -> tuple[Case, ...]:
        return self.functions

    def scores(self, i: int) -> Tensor:
        """Scores (U,) or (Q, U) for case i, float64.

        Raises
        ------
        TypeError
            If the answer is a dictionary.
        """
        answer = self.answers[i]
        if not isinstance(answer, Scores):
            raise TypeError(f"the answer for {self.functions[i].name} is a {type(answer).__name__}, not Scores")
        return answer.values

    def truth(self, i: int) -> Tensor:
        """True scores (U,) or (Q, U) of case i.

        Raises
        ------
        TypeError
            If the truth is a dictionary.
        """
        truth = self.functions[i].truth
        if not isinstance(truth, Scores):
            raise TypeError(f"the truth of {self.functions[i].name} is a {type(truth).__name__}, not Scores")
        return truth.values

    def dictionary(self, i: int) -> Dictionary:
        """The dictionary for case i.

        Raises
        ------
        TypeError
            If the answer is not a dictionary.
        """
        answer = self.answers[i]
        if not isinstance(answer, Dictionary):
            raise TypeError(f"the answer for {self.functions[i].name} is {type(answer).__name__}, not a Dictionary")
        return answer
