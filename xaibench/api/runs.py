"""Running suites, and reading what they left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench import suite as suites
from xaibench.api.reading import leaderboard, results, write_leaderboard
from xaibench.core import registry
from xaibench.core.storage.paths import Location, cache_folder, default_store
from xaibench.execution import Options, execute
from xaibench.models.adapters import find_device
from xaibench.plan import Plan, Rerun, Selection, Shard, make_plan
from xaibench.plan.history import History
from xaibench.problems.preparing import Problems
from xaibench.store import Store


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    store : Path or StoreUrl
    suite : str
    number : int
    outcome : dict
        How it ended, with counts of cells by status.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "controls": False, "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> done = xb.run(suite, store="results_of_mine")
    >>> done.store.name
    'results_of_mine'
    """

    store: Location
    suite: str
    number: int
    outcome: dict[str, Any]

    def leaderboard(self) -> pd.DataFrame:
        """The board of this run; see `xaibench.leaderboard`."""
        return leaderboard(self.store, self.suite, run=self.number)

    def results(self) -> pd.DataFrame:
        """One row per cell of this run; see `xaibench.results`."""
        return results(self.store, self.suite, run=self.number)

    def report(self, path: str | Path, **options: Any) -> Path:
        """Write the report of this run's suite as an HTML page; ``options`` are those of `xaibench.report`."""
        from xaibench.api.reporting import report

        return report(self.store, path, suite=self.suite, **options)


def run(
    suite: str | Path | dict[str, Any] = "quick",
    *,
    store: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    batch_size: int | None = None,
    plugins: Sequence[str | Path] = (),
    workers: int = 0,
    timeout: float | None = None,
    memory: int | None = None,
    retry: int = 0,
    executor: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Run:
    """Run a suite given by name, path or as a dictionary, like ``xaibench run``.

    Results that the store holds already are not computed again.

    Parameters
    ----------
    suite : str, path or dict
    store : path, optional
    seed : int
        Offset of all seeds of the suite.
    device : str
    threads : int
        CPU threads of each process.
    batch_size : int, optional
        Instead of the deterministic rule.
    plugins : sequence of str or path
        Files and modules with components.
    workers : int
        Processes that work at once; 0: only this one. Components must come from modules or plugins then.
    timeout : float, optional
        Seconds after which a worker is ended that is still busy with one unit.
    memory : int, optional
        Bytes that a worker may hold.
    retry : int
        Times that a unit is repeated when its worker was killed or lost.
    executor : str, optional
        ``dask``, ``slurm``, or one of an installed package.
    settings : mapping of str to str, optional
        What the executor wants to know, say ``{"scheduler": "tcp://HOST:8786"}``.

    Returns
    -------
    Run

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "controls": False, "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> done = xb.run(suite, store="results_of_mine")
    >>> done.suite, done.number
    ('little', 1)
    >>> xb.run(suite, store="results_of_mine").outcome["cached"]
    1
    """
    where = Store(store or default_store(), create=True)
    plan = plan_suite(suite, where, seed=seed, device=device, plugins=plugins)
    name = plan.suite.name
    options = Options(
        cache_folder(),
        device,
        threads,
        batch_size,
        plugins=tuple(map(str, plugins)),
        argv=["xaibench.run", name],
        workers=workers,
        timeout=timeout,
        memory=memory,
        retry=retry,
        executor=executor,
        settings=dict(settings or {}),
    )
    outcome = execute(plan, where, options)
    write_leaderboard(where.path)
    return Run(where.path, name, outcome.run, outcome.as_dict())


def plan_suite(
    suite: str | Path | dict[str, Any],
    store: Store | None,
    *,
    seed: int = 0,
    device: str = "cpu",
    plugins: Sequence[str | Path] = (),
    selection: Selection | None = None,
    rerun: Rerun | None = None,
    shard: Shard | None = None,
) -> Plan:
    """Load plugins and a suite, and plan it against what the store holds.

    Raises
    ------
    UsageError
        If the device, a plugin or anything in the suite is wrong.
    NothingToDoError
        If the selection leaves no cell.
    """
    find_device(device)
    for plugin in plugins:
        registry.load_module(str(plugin))
    loaded = suites.parse(suite) if isinstance(suite, dict) else suites.load(str(suite))
    return make_plan(
        loaded.shifted(seed),
        history=None if store is None else History.of(store),
        fingerprint=Problems(cache_folder(), device=device).fingerprint,
        selection=selection,
        rerun=rerun,
        shard=shard,
    )
