"""``xaibench run``: plan, run with progress, print the leaderboard, choose the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

from xaibench.api.reading import leaderboard, results, write_claims, write_leaderboard
from xaibench.api.runs import plan_suite
from xaibench.cli.arguments import positive, size_from, workers_from
from xaibench.cli.claiming import claim_records, print_validity
from xaibench.cli.output import duration, print_json, stderr, stdout
from xaibench.cli.progress import observer_for
from xaibench.cli.spending import spending, spending_text
from xaibench.core.errors import NothingToDoError, UsageError
from xaibench.core.storage.paths import Location, cache_folder, default_store
from xaibench.execution import Executor, Options, Outcome, execute, find_executor
from xaibench.execution.malloc import keep_heap
from xaibench.plan import Plan, Rerun, Selection, Shard
from xaibench.report.claims import claims_report
from xaibench.report.terminal import board_table, failures_table, gates_table
from xaibench.store import FAILURES, Store

CELLS_OK, CELLS_FAILED, NOTHING_RAN, INTERRUPTED = 0, 3, 4, 130
EARLY = 4
"""Workers that are started before the plan says how many there is work for."""
RESUME = "interrupted: what is finished is stored, run the same command again to resume"


@dataclass(frozen=True)
class Request:
    """What ``run`` and ``plan`` have in common."""

    suite: str
    store: Location | None
    seed: int
    only: Sequence[str] | None
    skip: Sequence[str] | None
    limit: int | None
    rerun: str | None
    plugins: Sequence[str] | None
    device: str
    shard: str | None = None

    @property
    def store_path(self) -> Location:
        return self.store or default_store()

    def plan(self, store: Store | None) -> Plan:
        """Load plugins and suite, and plan against what the store holds."""
        return plan_suite(
            self.suite,
            store,
            seed=self.seed,
            device=self.device,
            plugins=self.plugins or (),
            selection=Selection(tuple(self.only or ()), tuple(self.skip or ()), self.limit),
            rerun=cast(Rerun | None, self.rerun),
            shard=None if self.shard is None else Shard.parse(self.shard),
        )


def run_suite(
    request: Request,
    *,
    workers: str = "auto",
    timeout: float | None = None,
    memory: str | None = None,
    json: bool = False,
    quiet: bool = False,
    **options: Any,
) -> int:
    """Run and report; returns the exit code. Other ``options`` are those of `Options`."""
    keep_heap()
    store = Store(request.store_path, create=True)
    chosen = Options(
        cache=cache_folder(),
        device=request.device,
        plugins=tuple(request.plugins or ()),
        argv=sys.argv,
        workers=workers_from(workers, auto=0 if options.get("executor") == "slurm" else None),
        timeout=positive(timeout, "--timeout"),
        memory=size_from(memory),
        **options,
    )
    with ExitStack() as stack:
        doer: Executor | None = None
        if chosen.executor is not None:
            doer = find_executor(chosen.executor, store, chosen)
        elif chosen.settings:
            raise UsageError(f"{next(iter(chosen.settings))} is for an executor", "name one, say --executor dask")
        elif chosen.workers:
            if str(store.path).startswith("memory://"):
                raise UsageError("a store in memory:// lives in one process", "add -j 0, or name a folder")
            from xaibench.execution.pool import Pool

            doer = pool = Pool(store, chosen)
            stack.callback(pool.close)
            # Some import while this process plans; in a store with results there may be little to do.
            pool.start(1 if store.manifests() else min(chosen.workers, EARLY))
        plan = request.plan(store)
        spent = spending(plan, store)
        if spent:
            stderr().print(spending_text(spent), markup=False, highlight=False, soft_wrap=True)
        observer = stack.enter_context(observer_for(stderr(), quiet=quiet or json, workers=chosen.workers))
        outcome = execute(plan, store, chosen, observer, executor=doer)
    if sum(outcome.statuses[s] for s in ("ok", "undefined")) + outcome.cached + outcome.n_failed == 0:
        if outcome.end == "interrupted":
            stderr().print(RESUME)
            return INTERRUPTED
        left = plan.states["left"]
        why = f"{left} cells are not {request.rerun}" if left else "every selected cell is unsupported"
        why = why if plan.units else f"no unit is in shard {request.shard}"
        raise NothingToDoError(f"nothing ran: {why}", "`xaibench plan --cells` shows the reasons")
    _report(plan, store, outcome, json=json)
    if outcome.end == "interrupted":
        return INTERRUPTED
    return CELLS_FAILED if outcome.n_failed else CELLS_OK


def _report(plan: Plan, store: Store, outcome: Outcome, *, json: bool) -> None:
    name = plan.suite.name
    written = write_leaderboard(store.path)
    whole = written[written["suite"] == name].reset_index(drop=True)
    board = whole if plan.whole else leaderboard(store.path, name, run=outcome.run)
    rows = results(store.path, name, run=outcome.run)
    verdicts = write_claims(store.path) if plan.suite.all_claims() else None
    if json:
        document = _document(plan, store, outcome, rows)
        if verdicts is not None and plan.whole:
            document["claims"] = claim_records(verdicts[verdicts["suite"] == name])
        print_json(document)
        return
    out, err = stdout(), stderr()
    out.print(board_table(board))
    for table in (gates_table(board), failures_table(rows)):
        if table is not None:
            out.print()
            out.print(table)
    if verdicts is not None and plan.whole:
        out.print()
        out.print(claims_report(verdicts[verdicts["suite"] == name]))
    print_validity(board)
    out.print()
    done = ", ".join(f"{n} {status}" for status, n in sorted(outcome.statuses.items()))
    out.print(f"{name}, run {outcome.run}: {done or 'nothing new'}; {outcome.cached} cells were there already.")
    explained = f"{outcome.explained} explanations made, {outcome.reused} reused"
    out.print(f"{explained}, {duration(outcome.seconds)}. Leaderboard: {store.path / 'leaderboard.parquet'} and .csv")
    for line in store.coverage():
        out.print(f"{line}; `xaibench merge` joins the stores of shards", soft_wrap=True)
    if not plan.whole:
        out.print("This board is of the selected part; the leaderboard of the store is that of the last whole run.")
    if outcome.end == "interrupted":
        err.print(RESUME)
    elif outcome.end == "too many failures":
        err.print(f"stopped: {outcome.n_failed} cells failed, more than --max-failures allows")


def _document(plan: Plan, store: Store, outcome: Outcome, rows: Any) -> dict[str, Any]:
    bad = rows[rows["status"].isin(FAILURES)]
    columns = ["dataset", "model", "explainer", "metric", "params", "seed", "status", "error_kind", "message"]
    return {
        "suite": plan.suite.name,
        "store": str(store.path),
        "leaderboard": str(store.path / "leaderboard.parquet"),
        **outcome.as_dict(),
        "gates": {
            problem: [{"name": g.label, "value": g.value, "threshold": g.threshold, "passed": g.passed} for g in gates]
            for problem, gates in outcome.gates.items()
        },
        "failures": bad[columns].to_dict("records"),
    }
