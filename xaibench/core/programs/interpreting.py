"""Calling interpreters and program metrics: the one place where their contracts are enforced."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.components import InterpreterSpec, MetricSpec, sees_truth
from xaibench.core.errors import UnsupportedError
from xaibench.core.programs.black_box import (
    AskAgainError,
    BlackBox,
    CountedFunction,
    Domain,
    Interpretation,
    Interval,
    exception_text,
    to_utf8,
)
from xaibench.core.programs.evaluation import ProgramEvaluation, keyed_generator


@dataclass(frozen=True)
class TimedInterpretation:
    """An interpretation with what it took.

    Attributes
    ----------
    interpretation : Interpretation
    seconds : float
    traceback : str
        Of the exception that the interpreter raised, or empty.
    """

    interpretation: Interpretation
    seconds: float
    traceback: str = ""


def ask(
    spec: InterpreterSpec,
    params: Mapping[str, Any],
    functions: Sequence[BlackBox],
    i: int,
    *,
    budget: int,
    seed: int,
    stream: str,
    passes: bool = False,
) -> TimedInterpretation:
    """Let a registered interpreter interpret function number i.

    Whatever it raises, `sys.exit` too, and every answer that is none, becomes an interpretation
    without a program that says why; with ``passes`` the exception is passed on instead. Once it has
    answered, its probe is closed.

    Raises
    ------
    UnsupportedError, AskAgainError
        If the interpreter cannot work here, or not now.
    """
    box = functions[i]
    probe = CountedFunction(
        box.call,
        box.kind,
        box.domain,
        budget,
        truth=box if sees_truth(spec.needs) else None,
        others=(*functions[:i], *functions[i + 1 :]) if "others" in spec.needs else (),
    )
    draws = keyed_generator(seed, stream, box.name)
    started, trace = time.perf_counter(), ""
    try:
        answer = checked(spec.function(probe, box.domain, budget, draws, **params), box.domain)
    except (UnsupportedError, AskAgainError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if passes and isinstance(error, SystemExit):
            raise RuntimeError(f"the interpreter gave no answer, it ended with {exception_text(error)}") from error
        if passes:
            raise
        answer = Interpretation.failed(exception_text(error))
        trace = to_utf8(traceback.format_exc())
    finally:
        probe.close()
    return TimedInterpretation(replace(answer, queries=probe.queries), time.perf_counter() - started, trace)


def checked(answer: Any, domain: Domain) -> Interpretation:
    """The answer with plain facts and intervals inside the domain.

    Raises
    ------
    TypeError, ValueError
        If it is no interpretation, or a field of it is not what it should be.
    """
    if not isinstance(answer, Interpretation):
        raise TypeError(f"the interpreter returned {type(answer).__name__} instead of an Interpretation")
    if not callable(answer.program):
        raise TypeError(f"the program is {type(answer.program).__name__}, which cannot be called")
    if not isinstance(answer.description, str) or not isinstance(answer.family, (str, type(None))):
        raise TypeError("description and family must be text")
    if not isinstance(answer.facts, Mapping):
        raise TypeError(f"the facts are {type(answer.facts).__name__}, and no mapping")
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
        raise ValueError(f"({low}, {high}) is no interval")
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


def score_programs(spec: MetricSpec, params: Mapping[str, Any], ev: ProgramEvaluation) -> Tensor:
    """Score interpretations with a registered program metric.

    Returns
    -------
    Tensor (N,) of float32
        NaN where the score is not defined, or infinite.

    Raises
    ------
    ValueError
        If the metric returns anything but one number per function.
    """
    found = spec.function(ev, **params)
    values = found if isinstance(found, Tensor) else torch.as_tensor(np.asarray(found, dtype=np.float64))
    if tuple(values.shape) != (len(ev),):
        raise ValueError(f"metric {spec.name!r} returned {tuple(values.shape)} instead of one number per function")
    values = values.detach().to(torch.float32).cpu()
    return torch.where(torch.isfinite(values), values, torch.nan)
