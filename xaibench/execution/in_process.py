"""The executor that works in this process; imports nothing that computes before there is something to do."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from xaibench.execution.task import Emit, Options, Stop, Task
from xaibench.store import Store


class InProcess:
    """Runs one unit after the other, in this process."""

    def __init__(self, store: Store, options: Options) -> None:
        self.store = store
        self.options = options

    def run(self, tasks: Iterable[Task], emit: Emit, stop: Stop) -> None:
        waiting = iter(tasks)
        first = next(waiting, None)
        if first is None:
            return
        from xaibench.execution.threads import computing_with
        from xaibench.execution.worker_loop import UnitRunner

        place = UnitRunner(self.store, self.options)
        with computing_with(self.options.threads):
            for task in itertools.chain([first], waiting):
                if stop():
                    return
                place.work(task, emit, stop)
