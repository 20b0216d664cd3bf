"""Running suites, and reading their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench.analysis.racing.modes import RaceMode
from xaibench.api.orchestration import run_suite
from xaibench.api.reading import leaderboard, results
from xaibench.core.storage.paths import Location
from xaibench.core.trust import trust_files, trusted_digests
from xaibench.execution import Observer, Options
from xaibench.plan import Rerun, Selection, Shard


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
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    limit: int | None = None,
    rerun: Rerun | None = None,
    shard: str | None = None,
    observer: Observer | None = None,
    max_failures: int | None = None,
    examples: bool = True,
    device: str = "cpu",
    threads: int = 1,
    batch_size: int | None = None,
    plugins: Sequence[str | Path] = (),
    trust: Sequence[str | Path] = (),
    workers: int = 0,
    timeout: float | None = None,
    memory: int | None = None,
    retry: int = 0,
    executor: str | None = None,
    settings: Mapping[str, str] | None = None,
    race: RaceMode | None = None,
) -> Run:
    """Run a suite given by name, path or as a dictionary, like ``xaibench run``.

    Results that the store holds already are not computed again. Leaderboards and, where the suite makes claims,
    verdicts are written into the store.

    Parameters
    ----------
    suite : str, path or dict
    store : path, optional
    seed : int
        Offset of all seeds of the suite.
    only, skip : sequence of str
        Patterns of the cells to run, and of those not to: ``"lime"``, or ``"digits/*/lime/*"`` for
        data set, model, explainer and metric.
    limit : int, optional
        At most this many samples per problem.
    rerun : {"failed", "stale", "all"}, optional
        Run only failed or stale cells, or all again.
    shard : str, optional
        ``"1/3"``: only the first of three parts of the suite.
    observer : Observer, optional
        Is told what happens while the run goes on; see `xaibench.execution.Observer`.
    max_failures : int, optional
        Stop when more cells than this have failed.
    examples : bool
        Store a few inputs of every problem, so that a report can show them.
    device : str
    threads : int
        CPU threads of each process.
    batch_size : int, optional
        Instead of the deterministic rule.
    plugins : sequence of str or path
        Files and modules with components.
    trust : sequence of str or path
        Files that are opened although that can run code, such as pickles, or that are outside the suite's folder.
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

    race : {"best", "placebo", "anytime"}, optional
        Take samples in blocks, and stop explainers that another one beats, or that placebos decide; in this process.

    Returns
    -------
    Run

    Raises
    ------
    UsageError
        If anything in the suite or the arguments is wrong.
    NothingToDoError
        If ``only`` and ``skip`` leave no cell.
    StoreError
        If the store cannot be written.

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
    trust_files(trust)
    options = Options(
        device=device,
        threads=threads,
        batch_size=batch_size,
        max_failures=max_failures,
        examples=examples,
        plugins=tuple(map(str, plugins)),
        trusted=tuple(sorted(trusted_digests())),
        argv=["xaibench.run", str(suite.get("name", "suite")) if isinstance(suite, dict) else str(suite)],
        workers=workers,
        timeout=timeout,
        memory=memory,
        retry=retry,
        executor=executor,
        settings=dict(settings or {}),
    )
    done = run_suite(
        suite,
        options,
        store=store,
        seed=seed,
        selection=Selection(tuple(only), tuple(skip), limit),
        rerun=rerun,
        shard=None if shard is None else Shard.parse(shard),
        watch=None if observer is None else lambda plan, opened: nullcontext(observer),
        race=race,
    )
    return Run(done.store.path, done.plan.suite.name, done.outcome.run, done.outcome.as_dict())
