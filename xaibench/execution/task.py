"""Tasks for executors and the events that come back: plain data that can be pickled by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xaibench.execution.row_building import Facts
from xaibench.plan import Rerun, Unit
from xaibench.plan.history import History
from xaibench.problems.specs import AnyProblemSpec
from xaibench.store import Row

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes a key or, beyond rounding, a number.

    Attributes
    ----------
    cache : Path or None
        Folder for models and shared evaluations.
    device : str
    threads : int
        Threads that each process computes with on the CPU.
    batch_size : int or None
        Instead of the deterministic rule.
    max_failures : int or None
        Stop when more cells than this have failed.
    plugins : tuple of str
        Files and modules to load components from.
    argv : list of str or None
        Command line, for the record.
    workers : int
        Worker processes; 0: work in this process.
    timeout : float or None
        Seconds after which a worker process is ended that is still busy with the same unit.
    memory : int or None
        Bytes that a worker process, with all that it starts, may hold.
    retry : int
        Times that a unit is tried again when its worker process was killed or lost.
    executor : str or None
        Name of the executor; by default ``pool`` if there are to be workers, else ``inline``.
    settings : mapping of str to str
        What the executor wants to know besides.
    examples : bool
        Whether a few example inputs of every problem are stored, for reports.
    trusted : tuple of str
        SHA-256 of files that the user trusts although opening them can run code.
    """

    cache: Path | None = None
    device: str = "cpu"
    threads: int = 1
    batch_size: int | None = None
    max_failures: int | None = None
    plugins: tuple[str, ...] = ()
    argv: list[str] | None = None
    workers: int = 0
    timeout: float | None = None
    memory: int | None = None
    retry: int = 0
    executor: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    examples: bool = True
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A unit to run.

    Attributes
    ----------
    number : int
        Names the unit in events.
    unit : Unit
    known : History
        What is known of its cells.
    """

    number: int
    unit: Unit
    known: History

    def without(self, scored: Collection[str]) -> Job:
        """The same but for the cells of these ids."""
        pairs = zip(self.unit.metrics, self.unit.cells, strict=True)
        left = tuple(metric for metric, cell in pairs if cell.cell_id not in scored)
        return replace(self, unit=replace(self.unit, metrics=left))


@dataclass(frozen=True)
class Task:
    """Some units of one problem. Any process that has loaded the plugins can run it.

    Attributes
    ----------
    problem : ProblemSpec or FunctionProblemSpec
    jobs : tuple of Job
    run : int
        Number of the run.
    rerun : {"failed", "stale", "all"} or None
    """

    problem: AnyProblemSpec
    jobs: tuple[Job, ...]
    run: int
    rerun: Rerun | None = None

    def only(self, *jobs: Job) -> Task:
        """The same with these jobs."""
        return replace(self, jobs=jobs)


@dataclass(frozen=True)
class Preparing:
    """Data are loaded and the model is found or trained."""

    problem: str


@dataclass(frozen=True)
class Training:
    """A recipe has finished ``done`` of ``total`` steps."""

    problem: str
    done: int
    total: int
    text: str


@dataclass(frozen=True)
class ProblemReady:
    """The problem is there, its gates are measured."""

    problem: str
    facts: Facts


@dataclass(frozen=True)
class Started:
    """A unit is being explained and scored; ``due`` are the ids of the cells that it needs."""

    number: int
    due: tuple[str, ...]


@dataclass(frozen=True)
class Explained:
    """The attributions of a unit are there, made or found; its cells are scored one after the other."""

    number: int


@dataclass(frozen=True)
class Scored:
    """A cell has a row."""

    number: int
    row: Row


@dataclass(frozen=True)
class WorkerGone:
    """The worker of a unit is gone: its rows so far may not be in any part yet."""

    number: int


@dataclass(frozen=True)
class CellCrashed:
    """A cell has ended the process that scored it; the rest of its unit is begun again.

    Attributes
    ----------
    failure : dict
        Columns of a row: status, error_kind, message, traceback.
    """

    number: int
    cell_id: str
    failure: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """All that could be done for a unit is done, and in the store.

    Attributes
    ----------
    cached : int
        Cells whose results were stored already.
    revived : tuple of (cell_id, score_key)
        Those of them whose content is not the one that the latest run had met.
    """

    number: int
    cached: int = 0
    revived: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class UnitsFailed:
    """Units that will get no further; cells without a row fail for this reason.

    Attributes
    ----------
    failure : dict
        Columns of a row: status, error_kind, message, traceback.
    problem : str or None
        Key of the problem, where it could not be prepared.
    """

    numbers: tuple[int, ...]
    failure: dict[str, Any]
    problem: str | None = None


Event = (
    Preparing
    | Training
    | ProblemReady
    | Started
    | Explained
    | Scored
    | WorkerGone
    | CellCrashed
    | Finished
    | UnitsFailed
)
Emit = Callable[[Event], None]
