"""``xaibench run``: plan, run with progress, print the leaderboard, choose the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xaibench.analysis.racing.spending import FIRST_LOOK
from xaibench.analysis.ranks.standings import standings
from xaibench.api.advising import advice, advice_on
from xaibench.api.planning import load_suite
from xaibench.api.reading import leaderboard, results
from xaibench.cli.arguments import positive, race_mode, size_from, workers_from
from xaibench.cli.claiming import claim_records, print_validity
from xaibench.cli.next_steps import next_steps, opening
from xaibench.cli.output import duration, print_json, stderr, stdout
from xaibench.cli.request import Request
from xaibench.cli.spending import spending, spending_text
from xaibench.core.errors import NothingToDoError, UsageError
from xaibench.core.trust import trust_files, trusted_digests
from xaibench.plan import Plan
from xaibench.report.claims import claims_report
from xaibench.report.standings import first_screen
from xaibench.report.terminal import failures_table, gates_table
from xaibench.store import FAILURES, Store
from xaibench.store.stopped_early import stopped_early

if TYPE_CHECKING:
    from xaibench.api.orchestration import CompletedRun
    from xaibench.execution import Observer, Outcome

CELLS_OK, CELLS_FAILED, NOTHING_RAN, INTERRUPTED = 0, 3, 4, 130
RESUME = "interrupted: finished results are stored; run the same command again to resume"


def run_request(
    request: Request,
    *,
    workers: str = "auto",
    timeout: float | None = None,
    memory: str | None = None,
    json: bool = False,
    quiet: bool = False,
    trust: Sequence[str] | None = None,
    race: str | None = None,
    **options: Any,
) -> int:
    """Run and report; returns the exit code. Other ``options`` are those of `Options`."""
    trust_files(trust or ())
    suite = load_suite(request.suite, plugins=request.plugins or ())
    n_workers = workers_from(workers, auto=0 if options.get("executor") == "slurm" else None)
    seconds, size = positive(timeout, "--timeout"), size_from(memory)
    part = request.part
    mode = race_mode(race)
    if mode is not None and options.get("executor"):
        raise UsageError("a race runs in this process", "leave --executor out")
    # What computes is imported only now: a misspelt name is said at once.
    from xaibench.api.orchestration import run_suite
    from xaibench.execution import Options
    from xaibench.execution.malloc import keep_heap

    keep_heap()
    chosen = Options(
        device=request.device,
        plugins=tuple(request.plugins or ()),
        trusted=tuple(sorted(trusted_digests())),
        argv=sys.argv,
        workers=n_workers,
        timeout=seconds,
        memory=size,
        **options,
    )
    done = run_suite(
        suite,
        chosen,
        store=request.store_path,
        seed=request.seed,
        selection=request.selection,
        rerun=request.which,
        shard=part,
        watch=lambda plan, store: _watching(plan, store, quiet=quiet or json, workers=n_workers),
        start_early=True,
        race=mode,
    )
    if done.n_results == 0:
        if done.outcome.end == "interrupted":
            stderr().print(RESUME)
            return INTERRUPTED
        left = done.plan.states["left"]
        why = f"{left} cells are not {request.rerun}" if left else "every selected cell is unsupported"
        why = why if done.plan.units else f"no unit is in shard {request.shard}"
        raise NothingToDoError(f"nothing ran: {why}", "`xaibench plan --cells` shows the reasons")
    _report(done, json=json, raced=mode is not None)
    if done.outcome.end == "interrupted":
        return INTERRUPTED
    return CELLS_FAILED if done.outcome.n_failed else CELLS_OK


@contextmanager
def _watching(plan: Plan, store: Store, *, quiet: bool, workers: int) -> Iterator[Observer]:
    """Say what services will be asked for, then show progress."""
    from xaibench.cli.progress import observer_for

    if not quiet:
        stderr().print(opening(plan, store.path), markup=False, highlight=False, soft_wrap=True)
    spent = spending(plan, store)
    if spent:
        stderr().print(spending_text(spent), markup=False, highlight=False, soft_wrap=True)
    with observer_for(stderr(), quiet=quiet, workers=workers) as observer:
        yield observer


def _report(done: CompletedRun, *, json: bool, raced: bool) -> None:
    plan, store, outcome, verdicts = done.plan, done.store, done.outcome, done.claims
    name = plan.suite.name
    if plan.whole and done.board is not None:
        board = done.board[done.board["suite"] == name].reset_index(drop=True)
    else:
        board = leaderboard(store.path, name, run=outcome.run)
    rows = results(store.path, name, run=outcome.run)
    if json:
        document = _document(plan, store, outcome, rows)
        if verdicts is not None and plan.whole:
            document["claims"] = claim_records(verdicts[verdicts["suite"] == name])
        document["advice"] = advice(board).drop(columns="evidence").to_dict("records") if len(board) else []
        print_json(document)
        return
    out, err = stdout(), stderr()
    order = standings(board)
    out.print(first_screen(board, advice_on(store.path, board, order), order))
    for table in (gates_table(board), failures_table(rows)):
        if table is not None:
            out.print()
            out.print(table)
    if rows["status"].isin(FAILURES).any():
        out.print(f"where in the code: `xaibench doctor {store.path} --tracebacks`", markup=False, soft_wrap=True)
    if verdicts is not None and plan.whole:
        out.print()
        out.print(claims_report(verdicts[verdicts["suite"] == name]))
    print_validity(board)
    out.print()
    n_stopped = int(stopped_early(rows["message"]).sum())
    if n_stopped:
        out.print(
            f"raced: {n_stopped} of {len(rows)} rows stopped early; they are not ranked, and a run without --race"
            " completes them.",
            soft_wrap=True,
        )
    elif raced:
        few = f": a race looks first at {FIRST_LOOK} samples, and no problem has more"
        few = few if bool((rows["n"].dropna() <= FIRST_LOOK).all()) else ""
        out.print(f"raced: no row stopped early{few}.", soft_wrap=True)
    counts = ", ".join(f"{n} {status}" for status, n in sorted(outcome.statuses.items()))
    out.print(f"{name}, run {outcome.run}: {counts or 'nothing new'}; {outcome.cached} cells were cached.")
    explained = f"{outcome.explained} explanations made, {outcome.reused} reused"
    out.print(f"{explained}, {duration(outcome.seconds)}.")
    for line in store.coverage():
        out.print(f"{line}; `xaibench merge` joins the stores of shards", soft_wrap=True)
    if not plan.whole:
        out.print("This board is of the selected part; the leaderboard of the store is that of the last whole run.")
    out.print(f"Leaderboard: {store.path / 'leaderboard.parquet'} and .csv", markup=False, soft_wrap=True)
    out.print(next_steps(store.path, board, width=out.width), markup=False, soft_wrap=True)
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
