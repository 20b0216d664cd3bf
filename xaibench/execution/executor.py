"""The executor protocol, and executors by name; imports nothing that computes."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable
from typing import Protocol

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.extras import install_command
from xaibench.execution.settings import ExecutorSettings
from xaibench.execution.task import Emit, Options, Stop, Task
from xaibench.store import Store

ENTRY_POINT_GROUP = "xaibench.executors"
"""Entry points of this group name executors: a callable ``(store, options) -> Executor``."""
_BUILT_IN = {
    "inline": "xaibench.execution.in_process:InProcess",
    "pool": "xaibench.execution.pool:Pool",
    "dask": "xaibench.execution.dask_executor:Dask",
    "slurm": "xaibench.execution.slurm_executor:Slurm",
}
_EXTRAS = {"distributed": "dask", "dask": "dask", "submitit": "slurm"}
"""Packages that may be missing, and the extra that brings them."""


class Executor(Protocol):
    """Runs tasks, anywhere and in any order."""

    def run(self, tasks: Iterable[Task], emit: Emit, stop: Stop) -> None:
        """Have every task run by `UnitRunner.work`, and pass its events on, in this thread.

        Events of a unit come in order: `Started`, a `Scored` per cell, `Finished`; a unit that can
        not be finished is reported by `UnitsFailed`, which writes its failures; one that is begun again by
        `WorkerGone`, which writes what came so far. Tasks may be divided with
        `Task.only`, and are pulled one by one (the plan may be large). When ``stop()`` says so no
        unit is begun; those that are running are finished. Whatever was started is ended on leaving,
        also by an exception (the second Ctrl-C is a `KeyboardInterrupt`).
        """


def find_executor(name: str, store: Store, options: Options) -> Executor:
    """The executor of this name: a built-in one, or one of an installed package.

    Raises
    ------
    UsageError
        If there is none, or a package that it needs is not installed.
    """
    found = {**{e.name: e.value for e in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}, **_BUILT_IN}
    if name not in found:
        raise UsageError(f"unknown executor {name!r}", did_you_mean(name, found))
    module, _, attribute = found[name].partition(":")
    if name in ("inline", "pool"):
        ExecutorSettings.read(name, options.settings)
    try:
        executor: Executor = getattr(importlib.import_module(module), attribute)(store, options)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        hint = install_command(_EXTRAS[error.name])
        raise UsageError(f"executor {name} needs the package {error.name}, which is not installed", hint) from error
    return executor
