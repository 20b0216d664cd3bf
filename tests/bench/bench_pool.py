"""What the harness costs beside the work: per unit, on resuming, in memory; and what a second worker gains.

Run: python tests/bench/bench_pool.py [overhead] [resume] [memory] [speedup [SUITE [ONLY ...]]]

The machine must have nothing else to do. ``overhead`` runs 1,000 units of an explainer and a metric that
do nothing, ``resume`` a suite of 10,000 finished cells with one unit that is new, ``memory`` 5,000 units,
``speedup`` a suite (or the part of it that the globs select) with fresh caches on one worker and on two.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from xaibench import suite as suites
from xaibench.core import registry
from xaibench.execution import Observer, Options, execute
from xaibench.execution.pool import Pool
from xaibench.plan import Plan, PlannedUnit, Selection, make_plan
from xaibench.plan.history import History
from xaibench.problems.preparing import Problems
from xaibench.store import Row, Store

PLUGINS = tuple(str(Path(__file__).parents[1] / "plugins" / f"{name}.py") for name in ("tiny", "noop"))


def suite(units: int, metrics: int = 1) -> suites.Suite:
    """So many units over one problem of 16 samples."""
    return suites.parse(
        {
            "name": "noop",
            "samples": 16,
            "controls": False,
            "problems": [{"dataset": "tiny", "models": ["exact"]}],
            "explainers": [{"name": "noop", "grid": {"k": list(range(units))}}],
            "metrics": [{"name": "noop_metric", "grid": {"k": list(range(metrics))}}],
        }
    )


class Clock(Observer):
    """Notes when units start and end, and the memory of this process."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []
        self.memory: list[int] = []
        self._process = psutil.Process()

    def unit_started(self, planned: PlannedUnit) -> None:
        self.began.append(time.perf_counter())

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        self.ended.append(time.perf_counter())
        if len(self.ended) % 100 == 0:
            self.memory.append(self._process.memory_info().rss)


def plan_of(chosen: suites.Suite, store: Store, cache: Path, selection: Selection | None = None) -> Plan:
    fingerprint = Problems(cache).fingerprint
    return make_plan(chosen, history=History.of(store), fingerprint=fingerprint, selection=selection)


def run(chosen: suites.Suite, folder: Path, workers: int, selection: Selection | None = None) -> tuple[Any, Clock]:
    store, clock = Store(folder / "store", create=True), Clock()
    options = Options(folder / "cache", workers=workers, plugins=PLUGINS)
    return execute(plan_of(chosen, store, folder / "cache", selection), store, options, clock), clock


def overhead(folder: Path) -> None:
    for workers in (0, 1, 2):
        _, clock = run(suite(1000), folder / f"overhead{workers}", workers)
        each = 1000 * (clock.ended[-1] - clock.began[0]) / len(clock.ended)
        where = f"{workers} workers" if workers else "in this process"
        print(f"overhead: {each:.2f} ms per unit, {where}")


def resume(folder: Path) -> None:
    run(suite(1000, 10), folder / "resume", 0)
    for workers in (0, 1):
        store, clock = Store(folder / "resume" / "store"), Clock()
        options = Options(folder / "resume" / "cache", workers=workers, plugins=PLUGINS)
        pool = Pool(store, options) if workers else None
        if pool is not None:
            pool.start()
            time.sleep(20)  # its imports
        began = time.perf_counter()
        plan = plan_of(suite(1001 + workers, 10), store, folder / "resume" / "cache")
        planned = time.perf_counter()
        outcome = execute(plan, store, options, clock, executor=pool)
        print(
            f"resume: {outcome.cached} cells cached, first new unit after {clock.began[0] - began:.2f} s "
            f"({planned - began:.2f} s of it planning), {workers or 'no'} workers"
        )


def memory(folder: Path) -> None:
    for workers in (0, 1):
        _, clock = run(suite(5000), folder / f"memory{workers}", workers)
        after, end = clock.memory[4], clock.memory[-1]
        where = "parent of a worker" if workers else "process that works"
        print(f"memory: {(end - after) / 1e6:+.1f} MB from unit 500 to {len(clock.ended)}, {where}, {end / 1e6:.0f} MB")


def speedup(folder: Path, name: str = "nightly", *only: str) -> None:
    seconds = {}
    for workers in (1, 2):
        outcome, _ = run(suites.load(name), folder / f"speedup{workers}", workers, Selection(only=only))
        seconds[workers] = outcome.seconds
        print(f"speedup: {name} {' '.join(only)}: {outcome.seconds:.1f} s with {workers} workers, {outcome.statuses}")
    print(f"speedup: {seconds[1] / seconds[2]:.2f}")


def main(arguments: list[str]) -> None:
    for plugin in PLUGINS:
        registry.load_module(plugin)
    with tempfile.TemporaryDirectory() as folder:
        if "speedup" in arguments:
            at = arguments.index("speedup")
            speedup(Path(folder), *arguments[at + 1 :])
            arguments = arguments[:at]
        for task in (overhead, resume, memory):
            if task.__name__ in arguments or not arguments:
                task(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:] or ["overhead", "resume", "memory", "speedup"])
