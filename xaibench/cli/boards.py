"""``xaibench leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast, get_args

import pandas as pd

from xaibench.analysis.overall import overall as overall_of
from xaibench.api.runs import leaderboard, results, write_leaderboard
from xaibench.cli.output import stderr, stdout
from xaibench.core.errors import StoreError, UsageError, did_you_mean
from xaibench.core.paths import default_store
from xaibench.report.overall import overall_table
from xaibench.report.plain import to_text
from xaibench.report.terminal import board_table, failures_table, gates_table, metric_table
from xaibench.store import Store

Missing = Literal["error", "drop", "worst"]


def show_leaderboard(
    store: Path | None, *, suite: str | None, filters: dict[str, str | None], overall: str | None, form: str
) -> None:
    """Print a leaderboard, filtered, in the form asked for."""
    path = store or default_store()
    if overall is not None and overall not in get_args(Missing):
        raise UsageError(f"--overall {overall!r} is no way to treat gaps", did_you_mean(overall, get_args(Missing)))
    try:
        write_leaderboard(Store(path).path)
    except StoreError:
        # A store that can only be read still has a leaderboard.
        Store(path)
    board = _filtered(leaderboard(path, suite), filters)
    frame = board if overall is None else overall_of(board, missing=cast(Missing, overall))
    if form != "table":
        stdout().print(to_text(frame, form).rstrip("\n"), markup=False, soft_wrap=True)
    elif overall is not None:
        stdout().print(overall_table(frame))
    else:
        _print_tables(board, results(path, suite), filters["metric"])
    for line in Store(path).coverage():
        stderr().print(line, soft_wrap=True)


def _filtered(board: pd.DataFrame, filters: dict[str, str | None]) -> pd.DataFrame:
    for column, wanted in filters.items():
        if wanted is None:
            continue
        if wanted not in set(board[column]):
            raise UsageError(f"the leaderboard has no {column} {wanted!r}", did_you_mean(wanted, set(board[column])))
        board = board[board[column] == wanted]
    return board.reset_index(drop=True)


def _print_tables(board: pd.DataFrame, rows: pd.DataFrame, metric: str | None) -> None:
    out = stdout()
    for i, (name, part) in enumerate(board.groupby("suite", sort=False)):
        if i:
            out.print()
        problems = part[["dataset", "model"]].drop_duplicates()
        samples = ", ".join(sorted({s.partition(" ")[0] for s in part["selection"]}))
        out.print(f"suite {name}: {len(problems)} problems, samples {samples}", style="bold")
        if metric is None:
            out.print(board_table(part))
        else:
            shown, lacking = _where_supported(part)
            out.print(metric_table(shown, metric))
            if lacking:
                out.print(f"unsupported on {', '.join(lacking)}", markup=False)
    for table in (gates_table(board), failures_table(rows)):
        if table is not None:
            out.print()
            out.print(table)


def _where_supported(board: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The problems where anything was scored, and the names of the others; all of them if that is none."""
    names = board["dataset"] + "/" + board["model"]
    supported = set(names[board["status"] != "unsupported"])
    if not supported:
        return board, []
    return board[names.isin(supported)], sorted(set(names) - supported)
