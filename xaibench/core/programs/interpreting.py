"""Calling interpreters and program metrics: the one place where their contracts are enforced."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.answers import Dictionary, Scores, check_answer, failed_answer
from xaibench.core.cases.case import Case, CaseView
from xaibench.core.cases.evaluation import AnswerEvaluation, CaseEvaluation
from xaibench.core.components import MetricSpec
from xaibench.core.draws import keyed_generator
from xaibench.core.errors import UnsupportedError
from xaibench.core.needs import sees_truth
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.black_box import (
    AskAgainError,
    CountedFunction,
    Domain,
    Interpretation,
    Interval,
    exception_text,
    to_utf8,
)
from xaibench.core.programs.evaluation import AnyCase
from xaibench.core.storage.cache import MemoryCache

AnyAnswer = Interpretation | Scores | Dictionary
"""An answer of any type: a program, or what is said about a case."""


@dataclass(frozen=True)
class TimedInterpretation:
    """An answer with what it took.

    Attributes
    ----------
    interpretation : Interpretation, Scores or Dictionary
    seconds : float
    traceback : str
        Of the exception that the interpreter raised, or empty.
    """

    interpretation: AnyAnswer
    seconds: float
    traceback: str = ""


def ask(
    spec: InterpreterSpec,
    params: Mapping[str, Any],
    functions: Sequence[AnyCase],
    i: int,
    *,
    budget: int,
    seed: int,
    stream: str,
    passes: bool = False,
) -> TimedInterpretation:
    """Let a registered interpreter interpret function, or explain case, number i.

    Whatever it raises, `sys.exit` too, and every answer that is none, becomes an answer that says why
    and has no program (no number, for a case); with ``passes`` the exception is passed on instead.
    Once it has answered, a function can no longer be asked, and the model of a case no longer run.

    Raises
    ------
    UnsupportedError, AskAgainError
        If the interpreter cannot work here, or not now.
    """
    explained = functions[i]
    others = (*functions[:i], *functions[i + 1 :]) if "others" in spec.needs else ()
    draws = keyed_generator(seed, stream, explained.name)
    asking = _asking_about(explained, others, budget, with_truth=sees_truth(spec.needs))
    started, trace = time.perf_counter(), ""
    try:
        answer = asking.answer(spec, params, draws)
    except (UnsupportedError, AskAgainError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if passes and isinstance(error, SystemExit):
            raise RuntimeError(f"the interpreter gave no answer, it ended with {exception_text(error)}") from error
        if passes:
            raise
        answer = asking.failed(exception_text(error))
        trace = to_utf8(traceback.format_exc())
    finally:
        asking.close()
    answer = replace(answer, queries=asking.queries())
    return TimedInterpretation(answer, time.perf_counter() - started, trace)


@dataclass(frozen=True)
class _Asking:
    """What differs between functions and cases when an interpreter is asked."""

    answer: Callable[[InterpreterSpec, Mapping[str, Any], np.random.Generator], AnyAnswer]
    failed: Callable[[str], AnyAnswer]
    queries: Callable[[], int]
    close: Callable[[], None]


def _asking_about(explained: AnyCase, others: Sequence[Any], budget: int, *, with_truth: bool) -> _Asking:
    if isinstance(explained, Case):
        case, truth = CaseView(explained, with_truth=with_truth, others=tuple(others)), explained.truth

        def scored(spec: InterpreterSpec, params: Mapping[str, Any], draws: np.random.Generator) -> AnyAnswer:
            found = check_answer(spec.function(case, draws, **params), truth)
            return replace(found, facts=to_jsonable(found.facts))

        return _Asking(scored, lambda why: failed_answer(truth, why), lambda: case.runs, case.close)
    domain = explained.domain
    probe = CountedFunction(
        explained.call,
        explained.kind,
        domain,
        budget,
        truth=explained if with_truth else None,
        others=tuple(others),
    )

    def interpreted(spec: InterpreterSpec, params: Mapping[str, Any], draws: np.random.Generator) -> AnyAnswer:
        return checked(spec.function(probe, domain, budget, draws, **params), domain)

    return _Asking(interpreted, Interpretation.failed, lambda: probe.queries, probe.close)


def checked(answer: Any, domain: Domain) -> Interpretation:
    """The answer with plain facts and intervals inside the domain.

    Raises
    ------
    TypeError, ValueError
        If it is not an Interpretation, or a field of it is not what it should be.
    """
    if not isinstance(answer, Interpretation):
        raise TypeError(f"the interpreter returned {type(answer).__name__} instead of an Interpretation")
    if not callable(answer.program):
        raise TypeError(f"the program is {type(answer.program).__name__}, which cannot be called")
    if not isinstance(answer.description, str) or not isinstance(answer.family, (str, type(None))):
        raise TypeError("description and family must be text")
    if not isinstance(answer.facts, Mapping):
        raise TypeError(f"the facts are {type(answer.facts).__name__}, not a mapping")
    return Interpretation(
        answer.program,
        to_utf8(answer.description),
        None if answer.family is None else to_utf8(answer.family),
        tuple(_interval(pair, domain) for pair in answer.intervals),
        facts=to_jsonable(answer.facts),
        failure=to_utf8(str(answer.failure)),
    )


def _interval(pair: Any, domain: Domain) -> Interval:
    low, high = (float(end) for end in pair)
    if math.isnan(low) or math.isnan(high) or low > high:
        raise ValueError(f"({low}, {high}) is not an interval: give (low, high) with low <= high")
    return min(max(low, domain.low), domain.high), max(min(high, domain.high), domain.low)


def to_jsonable(value: Any) -> Any:
    """Turn a value into what JSON can hold; what is not finite or not plain becomes text."""
    if isinstance(value, Mapping):
        return {to_utf8(str(k)): to_jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_jsonable(v) for v in value]
    if isinstance(value, np.ndarray):
        return to_jsonable(value.tolist())
    if isinstance(value, np.generic):
        return to_jsonable(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return hex(value)
    if value is None or isinstance(value, (int, float)):
        return value
    return to_utf8(value if isinstance(value, str) else repr(value))


def score_programs(spec: MetricSpec, params: Mapping[str, Any], ev: AnswerEvaluation[Any, Any]) -> Tensor:
    """Score answers with a registered metric of programs or cases.

    An explainer that failed on a case gets the metric's worst score there, unless the metric is not
    defined for the case at all, whatever the answer.

    Returns
    -------
    Tensor (N,) of float32
        NaN where the score is not defined, or infinite.

    Raises
    ------
    ValueError
        If the metric returns anything but one number per function.
    """
    if not isinstance(ev, CaseEvaluation):
        return _values(spec, params, ev)
    failed = torch.tensor([bool(answer.failure) for answer in ev.answers])
    values = _values(spec, params, ev if not failed.any() else ev.reuse("failures replaced", lambda: _replaced(ev)))
    return torch.where(failed & torch.isfinite(values), torch.tensor(spec.worst_score, dtype=torch.float32), values)


def _replaced(ev: CaseEvaluation) -> CaseEvaluation:
    """The same with the truth in the place of failed answers, which tells where a metric is defined."""
    answers = (c.truth if a.failure else a for c, a in zip(ev.cases, ev.answers, strict=True))
    return CaseEvaluation(ev.cases, tuple(answers), ev.seed, ev.budget, peers=ev.peers, cache=MemoryCache())


def _values(spec: MetricSpec, params: Mapping[str, Any], ev: AnswerEvaluation[Any, Any]) -> Tensor:
    found = spec.function(ev, **params)
    values = found if isinstance(found, Tensor) else torch.as_tensor(np.asarray(found, dtype=np.float64))
    if tuple(values.shape) != (len(ev),):
        raise ValueError(f"metric {spec.name!r} returned {tuple(values.shape)} instead of one number per function")
    values = values.detach().to(torch.float32).cpu()
    return torch.where(torch.isfinite(values), values, torch.nan)
