"""Running one unit of functions or cases: interpret chunk by chunk, score each chunk, store every answer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from threadpoolctl import threadpool_limits

from xaibench.core.cases.case import Case
from xaibench.core.cases.evaluation import AnswerEvaluation, CaseEvaluation
from xaibench.core.errors import StoreError, XaibenchError
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.answers import AnswerCache, AnswerRecord
from xaibench.core.programs.evaluation import FunctionProblem, ProgramEvaluation
from xaibench.core.programs.interpreting import AnyAnswer, score_programs
from xaibench.execution.row_building import Facts, failure, make_row
from xaibench.execution.task import Stop
from xaibench.plan import Cell, Unit
from xaibench.store import Row, Store

CHUNK = 16
"""Functions that are interpreted and scored at once. Scores do not depend on it."""
ANSWER_SAVE_INTERVAL = 1.0
"""Seconds after which new answers are written down, even if the interpreter is still busy."""
PortionsToDo = Callable[[int], Iterator[int]]
"""Of so many portions, the numbers of those that are to be done here, one after the other."""


@dataclass(frozen=True)
class Portion:
    """Some functions of a unit.

    Attributes
    ----------
    unit : Unit
    cells : tuple of Cell
    rows : tuple of int
        Numbers of the functions.
    records : tuple of AnswerRecord
        Answers for these functions that are stored already.
    store : Store
        Where answers are stored.
    key : str
        Under which key.
    """

    unit: Unit
    cells: tuple[Cell, ...]
    rows: tuple[int, ...]
    records: tuple[AnswerRecord, ...]
    store: Store
    key: str


@dataclass
class Done:
    """Outcome of a portion.

    Attributes
    ----------
    rows : tuple of int
    answers : list of AnswerRecord
        The answers that were scored, one per function.
    n_asked : int
        Questions to the interpreter for an answer: 0 if all answers were there.
    scores : dict
        By cell id: one score per function, or the failure as columns of a row.
    seconds : dict
        By cell id, of scoring.
    failure : dict or None
        Why there are no scores at all, as columns of a row.
    stopped : bool
        Whether there are none because the run is to end.
    """

    rows: tuple[int, ...]
    answers: list[AnswerRecord] = field(default_factory=list)
    n_asked: int = 0
    scores: dict[str, list[float] | dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failure: dict[str, Any] | None = None
    stopped: bool = False


class StoppedError(XaibenchError):
    """The run is to end; what was answered is stored."""


def work(task: Portion, problem: FunctionProblem, stop: Stop = lambda: False) -> Done:
    """Interpret and score some functions, with one thread; whatever goes wrong is part of the result.

    Answers are stored whatever happens.

    Raises
    ------
    StoreError
        If they cannot be.
    """
    unit, done, store = task.unit, Done(task.rows), task.store
    spec = cast(InterpreterSpec, unit.spec)
    stream = f"interpret/{spec.name}" + (f"/{unit.repeat}" if unit.repeat else "")
    cache = AnswerCache(
        spec, unit.explainer.params, problem.functions, seed=unit.seed, stream=stream, records=task.records
    )

    def answer(k: int, budget: int) -> AnyAnswer:
        if stop():
            raise StoppedError("the run was interrupted")
        return cache.answer(task.rows[k], budget)

    with threadpool_limits(limits=1), _saved_regularly(cache, store, task.key):
        try:
            evaluation = CaseEvaluation if isinstance(problem.functions[0], Case) else ProgramEvaluation
            ev: AnswerEvaluation[Any, Any] = evaluation(
                tuple(cast(Any, problem.functions[i]) for i in task.rows),
                tuple(cast(Any, answer(k, problem.budget)) for k in range(len(task.rows))),
                seed=unit.seed,
                budget=problem.budget,
                ask=cast(Any, answer),
                peers=cast(Any, problem.functions),
            )
            for cell in task.cells:
                started = time.perf_counter()
                done.scores[cell.cell_id] = _scored(cell, ev)
                done.seconds[cell.cell_id] = time.perf_counter() - started
        except StoppedError:
            done.stopped = True
        except StoreError:
            raise
        except (Exception, SystemExit) as error:
            done.failure = failure(error)
    done.n_asked = cache.n_asked
    done.answers = cache.all(problem.budget)
    return done


@contextmanager
def _saved_regularly(cache: AnswerCache, store: Store, key: str) -> Iterator[None]:
    """Write new answers down every second, and when all is done, however it ends.

    Raises
    ------
    StoreError
        If they cannot be written.
    """
    over = threading.Event()
    trouble: list[StoreError] = []

    def save() -> None:
        new = cache.take_new()
        if new and not trouble:
            try:
                store.save_interpretations(key, new)
            except StoreError as error:
                trouble.append(error)

    def every_second() -> None:
        while not over.wait(ANSWER_SAVE_INTERVAL):
            save()

    thread = threading.Thread(target=every_second, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        save()
    if trouble:
        raise trouble[0]


def _scored(cell: Cell, ev: AnswerEvaluation[Any, Any]) -> list[float] | dict[str, Any]:
    try:
        values: list[float] = score_programs(cell.spec, cell.metric.params, ev).tolist()
    except (StoppedError, StoreError):
        raise
    except (Exception, SystemExit) as error:
        return failure(error)
    return values


def interpret_unit(
    unit: Unit,
    cells: Iterable[Cell],
    problem: FunctionProblem,
    about: Facts,
    store: Store,
    run: int,
    *,
    share: PortionsToDo | None = None,
    stop: Stop = lambda: False,
    fresh: bool = False,
) -> list[Row]:
    """Interpret and score; whatever goes wrong with a function is its score, whatever with a cell its row.

    Answers are stored as they come, and those of an interrupted unit are there when it goes on. With
    ``fresh``, those in the store are not used. With ``share``, others may answer some portions: their
    answers are in the store then, and are scored here.

    Returns
    -------
    list of Row
        One per cell; none if the run is to end first.
    """
    wanted = tuple(cells)
    portions = _portions(unit, wanted, problem, store, fresh=fresh)
    finished: dict[int, Done] = {}
    for k in range(len(portions)) if share is None or fresh else share(len(portions)):
        if stop():
            return []
        finished[k] = work(portions[k], problem, stop)
        if finished[k].failure is not None:
            break
    failed = [done.failure for done in finished.values() if done.failure is not None]
    if not failed and len(finished) < len(portions):
        portions = _portions(unit, wanted, problem, store, fresh=fresh)
        for k in sorted(set(range(len(portions))) - finished.keys()):
            finished[k] = work(portions[k], problem, stop)
        failed = [done.failure for done in finished.values() if done.failure is not None]
    if failed:
        return [make_row(unit, cell, run, about=about, **failed[0]) for cell in wanted]
    if any(done.stopped for done in finished.values()):
        return []
    store.merge_interpretations(unit.explain_key(problem.fingerprint))
    in_order = [finished[k] for k in sorted(finished)]
    return [_row(unit, cell, problem, about, run, in_order) for cell in wanted]


def interpret_portion(
    unit: Unit, cells: Iterable[Cell], problem: FunctionProblem, store: Store, number: int, stop: Stop
) -> None:
    """Answer one portion of a unit for the worker that has the unit: the answers are in the store afterwards."""
    work(_portions(unit, tuple(cells), problem, store)[number], problem, stop)


def _portions(
    unit: Unit, cells: tuple[Cell, ...], problem: FunctionProblem, store: Store, *, fresh: bool = False
) -> list[Portion]:
    key = unit.explain_key(problem.fingerprint)
    names = [function.name for function in problem.functions]
    by_name: dict[str, list[AnswerRecord]] = {}
    for record in () if fresh else store.load_interpretations(key):
        by_name.setdefault(record["name"], []).append(record)
    n, size = len(names), problem.at_once or CHUNK
    return [
        Portion(unit, cells, rows, tuple(r for i in rows for r in by_name.get(names[i], ())), store, key)
        for rows in (tuple(range(start, min(start + size, n))) for start in range(0, n, size))
    ]


def _row(unit: Unit, cell: Cell, problem: FunctionProblem, about: Facts, run: int, finished: Sequence[Done]) -> Row:
    """The row of a cell, put together from its chunks."""
    answers = [record for done in finished for record in done.answers]
    facts: dict[str, Any] = {
        "about": about,
        "attribution_kind": problem.answer_type,
        "explain_seconds": sum(a["seconds"] for a in answers),
        "explain_cached": not any(done.n_asked for done in finished),
        "score_seconds": sum(done.seconds[cell.cell_id] for done in finished),
        "n_evaluations": sum(a["queries"] for a in answers),
    }
    values: list[float] = []
    for done in finished:
        found = done.scores[cell.cell_id]
        if isinstance(found, Mapping):
            return make_row(unit, cell, run, **facts, **found)
        values += found
    if all(a["traceback"] for a in answers):
        kind, _, message = answers[0]["failure"].partition(": ")
        gone = {"status": "failed", "error_kind": kind, "message": message, "traceback": answers[0]["traceback"]}
        return make_row(unit, cell, run, **facts, **gone)
    n_undefined = sum(math.isnan(v) for v in values)
    noun = "function" if problem.answer_type == "program" else "case"
    undefined = n_undefined == len(values)
    return make_row(
        unit,
        cell,
        run,
        status="undefined" if undefined else "ok",
        message=f"no {noun} has a defined score" if undefined else _failures(answers, noun),
        scores=values,
        sample_ids=problem.sample_ids,
        n=len(values),
        n_undefined=n_undefined,
        **facts,
    )


def _failures(answers: Sequence[AnswerRecord], noun: str) -> str | None:
    """How many functions have no program, or one that failed (how many cases no answer), and the first reasons."""
    reasons = {a["name"]: a["failure"] or a["broken"] for a in answers if a["failure"] or a["broken"]}
    if not reasons:
        return None
    shown = "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:3])
    missing = "no answer" if noun == "case" else "no program, or one that failed,"
    return f"{missing} for {len(reasons)} of {len(answers)} {noun}s: {shown}"
