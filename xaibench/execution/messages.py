"""Messages between the pool and its worker processes: plain data that can be pickled by name."""

from __future__ import annotations

from dataclasses import dataclass

from xaibench.core.errors import XaibenchError
from xaibench.core.storage.paths import Location
from xaibench.execution.task import Options, Task


class WorkerError(XaibenchError):
    """Worker processes do not start, or one met an error of ours."""


@dataclass(frozen=True)
class Setup:
    """What a worker is told first: where results go, how to work, and which slot it has."""

    store: Location
    options: Options
    slot: int


@dataclass(frozen=True)
class Ready:
    """The worker waits for a task."""


@dataclass(frozen=True)
class Broken:
    """The run cannot go on."""

    error: XaibenchError


@dataclass(frozen=True)
class Halt:
    """To a worker: begin nothing new, and give up what can be taken up again."""


@dataclass(frozen=True)
class PortionRequest:
    """From a worker: which portion of its unit, of so many, is it to do next?"""

    n: int


@dataclass(frozen=True)
class Do:
    """To a worker that asks: this one, or None where nothing is left."""

    portion: int | None


@dataclass(frozen=True)
class Help:
    """To a worker: answer a portion of a unit that another one has."""

    task: Task
    portion: int
