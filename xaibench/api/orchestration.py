"""Running a suite from its name to its boards: what `xaibench.run` and the command ``xaibench run`` both do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench import suite as suites
from xaibench.analysis.racing.modes import RaceMode
from xaibench.api.advising import write_advice
from xaibench.api.planning import load_suite, plan_suite
from xaibench.api.reading import write_claims, write_leaderboard
from xaibench.core.errors import UsageError
from xaibench.core.storage.paths import cache_folder, default_store
from xaibench.execution import Executor, Observer, Options, Outcome, execute, find_executor
from xaibench.plan import Plan, Rerun, Selection, Shard
from xaibench.store import Store

EARLY = 4
"""Workers that are started before the plan says how many there is work for."""
Watch = Callable[[Plan, Store], AbstractContextManager[Observer]]
"""Called with the plan before anything runs; what it gives watches the run, and is left when that is over."""


@dataclass(frozen=True)
class CompletedRun:
    """A run that is over, and the tables of the store that were made of it.

    Attributes
    ----------
    plan : Plan
    store : Store
    outcome : Outcome
    board : DataFrame or None
        Leaderboard of every suite of the store; None if nothing was scored before the run was interrupted.
    claims : DataFrame or None
        Verdicts on the claims of every suite; None if this one makes none.
    """

    plan: Plan
    store: Store
    outcome: Outcome
    board: pd.DataFrame | None
    claims: pd.DataFrame | None

    @property
    def n_results(self) -> int:
        """Cells of the plan that have a result or a failure, new or from before."""
        scored = sum(self.outcome.statuses[status] for status in ("ok", "undefined"))
        return scored + self.outcome.cached + self.outcome.n_failed


def run_suite(
    suite: suites.Suite | str | Path | dict[str, Any],
    options: Options,
    *,
    store: str | Path | None = None,
    seed: int = 0,
    selection: Selection | None = None,
    rerun: Rerun | None = None,
    shard: Shard | None = None,
    watch: Watch | None = None,
    start_early: bool = False,
    race: RaceMode | None = None,
) -> CompletedRun:
    """Run a suite, and write the boards and claims that it changes.

    Parameters
    ----------
    suite : Suite, str, path or dict
    options : Options
        How to run; the cache is the user's if there is none in it.
    store : path, optional
        By default the default store.
    seed : int
        Offset of all seeds of the suite.
    selection : Selection, optional
        Which part of the suite.
    rerun : {"failed", "stale", "all"}, optional
        Which cells to run again.
    shard : Shard, optional
    watch : callable, optional
        See `Watch`.
    start_early : bool
        Start some workers while this process plans.
    race : {"best", "placebo", "anytime"}, optional
        Stop explainers that are decided early; runs in this process.

    Raises
    ------
    UsageError
        If anything in the suite or the options is wrong.
    NothingToDoError
        If the selection leaves no cell.
    StoreError
        If the store cannot be written.
    """
    if options.executor is None and options.settings:
        raise UsageError(f"{next(iter(options.settings))} is for an executor", "name one, say --executor dask")
    loaded = load_suite(suite, plugins=options.plugins)
    opened = Store(store or default_store(), create=True)
    chosen = replace(options, cache=options.cache or cache_folder())
    with ExitStack() as stack:
        executor = None if race is not None else _executor(opened, chosen, stack, start_early)
        plan = plan_suite(
            loaded, opened, seed=seed, device=chosen.device, selection=selection, rerun=rerun, shard=shard
        )
        context = nullcontext(Observer()) if watch is None else watch(plan, opened)
        observer = stack.enter_context(context)
        if race is None:
            outcome = execute(plan, opened, chosen, observer, executor=executor)
        else:
            from xaibench.execution.racing import race_plan

            outcome = race_plan(plan, opened, chosen, race, observer)
    done = CompletedRun(plan, opened, outcome, None, None)
    if outcome.end == "interrupted" and not done.n_results:
        return done
    made = plan.suite.all_claims()
    # Those of other suites, and those that this one no longer makes, change with its results too.
    written = write_claims(opened.path) if made or opened.has("claims.parquet") else None
    verdicts = written if made else None
    board = write_leaderboard(opened.path)
    write_advice(opened.path, board)
    return replace(done, board=board, claims=verdicts)


def _executor(store: Store, options: Options, stack: ExitStack, start_early: bool) -> Executor | None:
    """Who does the work, None for this process; worker processes are ended with the stack."""
    if options.executor is not None:
        return find_executor(options.executor, store, options)
    if not options.workers:
        return None
    if str(store.path).startswith("memory://"):
        raise UsageError("a store in memory:// lives in one process", "add -j 0, or name a folder")
    from xaibench.execution.pool import Pool

    pool = Pool(store, options)
    stack.callback(pool.close)
    if start_early and not store.manifests():
        # They import while this process plans; in a store with results there may be nothing to do.
        pool.start(min(options.workers, EARLY))
    return pool
