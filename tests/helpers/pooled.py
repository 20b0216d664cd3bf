"""Runs with worker processes over tiny and faulty components, for tests of execution."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from helpers.store_rows import COSTS
from xaibench import suite as suites
from xaibench.core import registry
from xaibench.execution import Observer, Options, Outcome, execute
from xaibench.plan import PlannedUnit, make_plan
from xaibench.plan.history import History
from xaibench.store import Row, Store

PLUGINS = tuple(str(Path(__file__).parents[1] / "plugins" / f"{name}.py") for name in ("tiny", "faulty"))
TIMES = [*COSTS, "created", "run", "traceback", "n_evaluations"]


def document(**fields: Any) -> dict[str, Any]:
    """A suite over `tiny` that runs in a moment."""
    return {
        "name": "tiny",
        "samples": 8,
        "background": 8,
        "random_draws": 2,
        "controls": False,
        "problems": [{"dataset": "tiny", "models": ["exact"]}],
        "explainers": ["gradient"],
        "metrics": ["sparseness", "own_metric"],
        **fields,
    }


def run(folder: Path, observer: Observer | None = None, *, workers: int = 1, **fields: Any) -> tuple[Outcome, Store]:
    """Run `document` with these fields into a store in a folder; limits are fields too."""
    for plugin in PLUGINS:
        registry.load_module(plugin)
    limits = {k: fields.pop(k) for k in ("timeout", "memory", "retry", "plugins") if k in fields}
    store = Store(folder / "store", create=True)
    plan = make_plan(suites.parse(document(**fields)), history=History.of(store))
    options = Options(folder / "cache", workers=workers, **{"plugins": PLUGINS, **limits})
    return execute(plan, store, options, observer), store


def frame(store: Store) -> pd.DataFrame:
    """The results of a store, in the order of the cells."""
    return store.read().to_pandas().sort_values("cell_id").reset_index(drop=True)


def gone(pid: int, *, within: float = 5.0) -> bool:
    """Whether a process ends (or waits for nothing but its parent) soon."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False


class StopAfter(Observer):
    """Asks for the end after some units."""

    def __init__(self, units: int, signals: list[int]) -> None:
        self.left = units
        self.signals = signals

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        self.left -= 1
        if self.left == 0:
            for number in self.signals:
                os.kill(os.getpid(), number)
