"""Scores of programs for numeric functions: FIND's own score, R2, errors and intervals.

All of them compare with ``program``, the mean of what a function answers, so that noise costs
no program anything; `find_official` and `r2` can be asked for the noisy answers instead. A program that
raises, gives no number, or one that is not finite where the truth is, gets the worst score.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from xaibench.core.programs.black_box import BlackBox, Interpretation, Interval
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.numeric.families import FUNCTION_FAMILIES, equivalent
from xaibench.functions.numeric.formulas import inside
from xaibench.functions.query_efficiency import budgets_of, mean_over_budgets

Target = Literal["program", "answers"]
ErrorRegion = Literal["local", "corrupted", "landmarks", "elsewhere"]
SUCCESS = 0.1
_FIND = "Schwettmann et al. 2023, FIND: A function description benchmark (arXiv:2309.03886)"
_OWN = "xaibench's own definition"


def _pair(ev: ProgramEvaluation, i: int, target: Target = "program") -> tuple[Array, Array]:
    """Truth and prediction (m,) at the test inputs where the truth is finite."""

    def compute() -> tuple[Array, Array]:
        f = ev.functions[i]
        x = np.asarray(f.test_inputs, dtype=np.float64)
        truth = np.asarray(ev.truth(i, x) if target == "program" else f.call(x), dtype=np.float64)
        found = np.asarray(ev.predict(i, x), dtype=np.float64)
        return truth[np.isfinite(truth)], found[np.isfinite(truth)]

    pair: tuple[Array, Array] = ev.reuse(f"numeric/{target}/{i}", compute)
    return pair


@metric(
    "find_official",
    family="ground_truth",
    construct="program_values",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "numeric"},
    skill_valid=True,
    source=f"{_FIND}: NMSE below 0.1",
)
def find_official(ev: ProgramEvaluation, *, target: Target = "program") -> Array:
    """FIND's success: 1 if ``sum (y - yhat)^2 / sum y^2 < 0.1`` over x = -127.5 .. 127.5, else 0.

    The energy of y holds its level, so that a program that finds the level passes wherever it is large:
    on our functions the mean of 16 probes passes 22 % of the time, and linear interpolation of 16
    probes 66 %, one of 256 probes 77 %. Nearly saturated; kept for comparability, and not what to rank by.

    Parameters
    ----------
    target : {"program", "answers"}
        ``answers``: noise and all, as in FIND. Where noise outweighs the function no program can pass then.

    Returns
    -------
    array (N,)
        0 for a program that raises. Where y is 0 everywhere, 1 if the program is 0 everywhere.
        NaN where the function has no finite value at any test input.
    """
    return np.array([_official(*_pair(ev, i, target)) for i in range(len(ev))])


def _official(truth: Array, found: Array) -> float:
    if not len(truth):
        return float("nan")
    error, energy = float(((truth - found) ** 2).sum()), float((truth**2).sum())
    return float(error < SUCCESS * energy or error == energy == 0)


@metric(
    "r2",
    family="ground_truth",
    construct="program_values",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "numeric"},
    skill_valid=True,
    source=f"{_OWN}: R2 = 1 - SSE / SST",
)
def r2(ev: ProgramEvaluation, *, target: Target = "program") -> Array:
    """Share of the variance over the test inputs that the program explains; worse than the best level is 0.

    Clipped at 0: below it, size says how steeply a program leaves the domain of the data and nothing
    about how much it knows, and one such function would decide a mean over thousands.

    Parameters
    ----------
    target : {"program", "answers"}

    Returns
    -------
    array (N,)
        NaN where the truth is constant, since there is no variance to explain.
    """
    return np.array([_r2(*_pair(ev, i, target)) for i in range(len(ev))])


def _r2(truth: Array, found: Array) -> float:
    if not len(truth) or np.ptp(truth) <= 1e-9 * np.abs(truth).max():
        return float("nan")
    if not np.isfinite(found).all():
        return 0.0
    with np.errstate(over="ignore"):
        return max(0.0, 1 - float(((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()))


@metric(
    "local_error",
    family="ground_truth",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"program", "numeric"},
    skill_valid=True,
    source=_OWN,
)
def local_error(ev: ProgramEvaluation, *, where: ErrorRegion = "local") -> Array:
    """Mean squared error at the test inputs where a function is special, in units of its variance over all of them.

    Parameters
    ----------
    where : {"local", "corrupted", "landmarks", "elsewhere"}
        Inside corrupted intervals; within 0.5 of a kink, a jump or a pole; in either (``local``); or
        outside of the corrupted intervals, for comparison (``elsewhere``, corrupted functions only).

    Returns
    -------
    array (N,)
        Clipped at 1, an error as large as that of the best level. NaN where there is no such test
        input, and where the truth is constant.
    """
    return np.array([_local(ev, i, where) for i in range(len(ev))])


def _local(ev: ProgramEvaluation, i: int, where: ErrorRegion) -> float:
    f = ev.functions[i]
    x = np.asarray(f.test_inputs, dtype=np.float64)
    x = x[np.isfinite(np.asarray(ev.truth(i, x)))]
    truth, found = _pair(ev, i)
    chosen = _special(f, x, where)
    if not chosen.any() or np.ptp(truth) <= 1e-9 * np.abs(truth).max():
        return float("nan")
    if not np.isfinite(found[chosen]).all():
        return 1.0
    with np.errstate(over="ignore"):
        return min(1.0, float(np.mean((truth - found)[chosen] ** 2) / truth.var()))


def _special(f: BlackBox, x: Array, where: ErrorRegion) -> Array:
    corrupted = inside(x, f.intervals)
    if where == "corrupted":
        return corrupted
    if where == "elsewhere":
        return ~corrupted & bool(f.intervals)
    near = inside(x, tuple((mark - 0.5, mark + 0.5) for mark in f.landmarks)) & ~corrupted
    return near if where == "landmarks" else near | corrupted


@metric(
    "interval_iou",
    family="ground_truth",
    construct="program_intervals",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "numeric"},
    skill_valid=True,
    source=f"{_OWN}: interval IoU for DOMAIN",
)
def interval_iou(ev: ProgramEvaluation) -> Array:
    """Length of the intersection of the named and the true corrupted intervals, over that of their union.

    Returns
    -------
    array (N,)
        0 where a corrupted function is called sound. NaN where nothing is corrupted, or only single
        points are; `interval_false` says which programs see corruption there.
    """
    return np.array([_iou(f, a.intervals) for f, a in _with_answers(ev)])


def _iou(f: BlackBox, named: tuple[Interval, ...]) -> float:
    low, high = f.domain.low, f.domain.high
    if not f.intervals:
        return float("nan")
    ends = np.unique(np.clip([low, high, *itertools.chain(*f.intervals, *named)], low, high))
    middles, lengths = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    true, claimed = inside(middles, f.intervals), inside(middles, named)
    if not lengths[true].sum():
        return float("nan")
    return float(lengths[true & claimed].sum() / lengths[true | claimed].sum())


@metric(
    "interval_false",
    family="ground_truth",
    construct="program_intervals",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"program", "numeric"},
    skill_valid=False,
    source=_OWN,
)
def interval_false(ev: ProgramEvaluation) -> Array:
    """1 where a function that is not corrupted is said to be, 0 where not.

    Returns
    -------
    array (N,)
        NaN for corrupted functions. An interpreter that names no intervals has 0 everywhere, so
        this means something beside `interval_iou` only.
    """
    return np.array([np.nan if f.intervals else float(bool(a.intervals)) for f, a in _with_answers(ev)])


@metric(
    "family_accuracy",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "numeric"},
    skill_valid=True,
    source=f"{_OWN}: symbolic family identification",
)
def family_accuracy(ev: ProgramEvaluation) -> Array:
    """1 if the family is named, up to `families.EQUIVALENCES`, else 0; no family is a wrong one.

    Returns
    -------
    array (N,)
        NaN for functions of no atomic family: sums and products.
    """
    return np.array([_family(f, a.family) for f, a in _with_answers(ev)])


def _family(f: BlackBox, named: str | None) -> float:
    if f.family not in FUNCTION_FAMILIES:
        return float("nan") if f.family == "compound" else float(named == f.family)
    return float(named in equivalent(f.family, f.parameters))


@metric(
    "noise_accuracy",
    family="ground_truth",
    construct="program_noise",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "numeric"},
    version=2,
    skill_valid=True,
    source=f"{_OWN}: noise type",
)
def noise_accuracy(ev: ProgramEvaluation) -> Array:
    """1 if ``facts["noise"]`` names the noise of a noisy function, else 0; an answer without noise says ``none``.

    Only noisy functions count: of three kinds of noise, silence names none and a constant answer one.
    Over all functions silence would be right wherever there is no noise, which is nearly everywhere.

    Returns
    -------
    array (N,)
        NaN where there is no noise; `noise_false` says which answers report it there.
    """
    return np.array([np.nan if f.noise == "none" else float(_noise(a) == f.noise) for f, a in _with_answers(ev)])


@metric(
    "noise_false",
    family="ground_truth",
    construct="program_noise",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"program", "numeric"},
    skill_valid=False,
    source=_OWN,
)
def noise_false(ev: ProgramEvaluation) -> Array:
    """1 where a function without noise is said to have some, 0 where not.

    Returns
    -------
    array (N,)
        NaN for noisy functions. An interpreter that names no noise has 0 everywhere, so this means
        something beside `noise_accuracy` only.
    """
    return np.array([float(_noise(a) != "none") if f.noise == "none" else np.nan for f, a in _with_answers(ev)])


def _noise(answer: Interpretation) -> str:
    """The noise that an interpreter names."""
    return str(answer.facts.get("noise", "none"))


def _with_answers(ev: ProgramEvaluation) -> Iterator[tuple[BlackBox, Interpretation]]:
    return zip(ev.functions, ev.answers, strict=True)


@metric(
    "query_efficiency",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "numeric"},
    skill_valid=True,
    budgets=budgets_of,
    source=f"{_OWN}: area under the score-versus-log(queries) curve",
)
def query_efficiency(ev: ProgramEvaluation, *, first: PositiveInt = 8, factor: PositiveInt = 4) -> Array:
    """Area under `r2` against the logarithm of the allowed questions, divided by its width: a mean R2 over budgets.

    The interpreter is asked again with ``first``, ``first * factor`` ... questions, up to the budget.

    Parameters
    ----------
    first : int
    factor : int
        At least 2.

    Raises
    ------
    UsageError
        If the budget does not exceed ``first``, or the factor is 1.
    """
    return mean_over_budgets(ev, r2, first=first, factor=factor)


@metric(
    "description_length",
    family="complexity",
    higher_is_better=False,
    bounds=(0, None),
    needs={"program", "numeric"},
    source=f"{_OWN}: description length",
)
def description_length(ev: ProgramEvaluation) -> Array:
    """Numbers that a program holds: parameters, levels, points of a table, ends of intervals.

    The interpreter counts them itself, and nothing checks that: a number about those whose source is known.

    Returns
    -------
    array (N,)
        NaN where ``facts["size"]`` does not say it.
    """
    sizes = [a.facts.get("size") for a in ev.answers]
    return np.array([float(n) if isinstance(n, (int, float)) and n >= 0 else np.nan for n in sizes])
