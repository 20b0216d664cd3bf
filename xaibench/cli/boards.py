"""``xaibench leaderboard``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import pandas as pd

from xaibench.analysis.advice.verdicts import Advice
from xaibench.analysis.leaderboard.columns import ENTRY
from xaibench.analysis.leaderboard.extent import extent
from xaibench.analysis.leaderboard.supported_problems import supported_problems
from xaibench.analysis.ranks.critical_differences import critical_differences
from xaibench.analysis.ranks.overall import Missing, overall, overall_by
from xaibench.analysis.ranks.rank_agreement import masker_agreement, masker_ranks
from xaibench.analysis.ranks.standings import standings
from xaibench.api.advising import advice_on
from xaibench.api.reading import leaderboard, results, write_leaderboard
from xaibench.cli.next_steps import next_steps
from xaibench.cli.output import stderr, stdout
from xaibench.core.errors import NothingToDoError, StoreError, UsageError, did_you_mean
from xaibench.core.storage.files import write_atomic
from xaibench.core.storage.paths import default_store
from xaibench.report import tables as forms
from xaibench.report.board_tables import tables_of_board, tables_of_metric
from xaibench.report.labels import variants
from xaibench.report.overall import masker_tables, overall_tables, tables_by
from xaibench.report.placebo_tests import placebo_tests_list
from xaibench.report.serialise import to_csv, to_json
from xaibench.report.standings import first_screen
from xaibench.report.tables import TitledTable
from xaibench.report.terminal import board_table, failures_table, gates_table, legend_text, metric_table
from xaibench.report.unscored import unscored_list

FORMAT_BY_SUFFIX = {
    ".md": "markdown",
    ".csv": "csv",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
    ".parquet": "parquet",
}
BY = ("dataset", "model", "family", "masker")


@dataclass(frozen=True)
class View:
    """What is asked for.

    Attributes
    ----------
    suite : str or None
    filters : dict
        Column of the board to the value that is selected; None selects all.
    overall, by : str or None
        How gaps are treated in an overall rank; what ranks are shown against.
    trust : Path or None
        Weights of metrics, as `xaibench audit` writes them.
    wide, legend : bool
        Whether every metric has a column; whether what words and marks mean is printed.
    """

    suite: str | None
    filters: dict[str, str | None]
    overall: str | None = None
    by: str | None = None
    trust: Path | None = None
    wide: bool = False
    legend: bool = False


def show_leaderboard(store: str | Path | None, view: View, *, form: str | None, output: Path | None) -> None:
    """Print a leaderboard, or write it to a file, filtered, in the form asked for."""
    path = store or default_store()
    form = _form(form, output)
    _check(view)
    everything = _board(path, view.suite)
    board = _filtered(everything, view.filters)
    if form == "table" and output is None and view.overall is None and view.by is None:
        _print_tables(board, everything, results(path, view.suite), view, path)
        return
    frame, tables = _content(board, view)
    if form == "table":
        stdout().print(forms.terminal(tables))
    elif form == "parquet":
        assert output is not None
        write_atomic(output, lambda draft: frame.to_parquet(draft, index=False))
        stderr().print(f"leaderboard: {output}", markup=False, soft_wrap=True)
    else:
        text = _text(frame, tables, form)
        if output is None:
            stdout().print(text.rstrip("\n"), markup=False, soft_wrap=True)
        else:
            write_atomic(output, lambda draft: _write(draft, text))
            stderr().print(f"leaderboard: {output}", markup=False, soft_wrap=True)


def _form(form: str | None, output: Path | None) -> str:
    """The form that is asked for, or that the file's name says."""
    if output is None:
        if form == "parquet":
            raise UsageError("Parquet goes to a file", "name it with --output FILE")
        return form or "table"
    found = form or FORMAT_BY_SUFFIX.get(output.suffix.lower())
    if found is None or found == "table":
        raise UsageError(
            f"{output.name} does not say which format it is to have", f"end it in {', '.join(FORMAT_BY_SUFFIX)}"
        )
    return found


def _check(view: View) -> None:
    for option, value, known in (("overall", view.overall, get_args(Missing)), ("by", view.by, BY)):
        if value is not None and value not in known:
            what = "way to treat missing scores" if option == "overall" else "column of ranks"
            raise UsageError(f"--{option} {value!r} is not a {what}", did_you_mean(value, known))
    if view.trust is not None and view.overall is None and view.by in (None, "masker"):
        raise UsageError("--trust weighs metrics in an overall rank", "ask for one with --overall")


def _board(path: str | Path, suite: str | None) -> pd.DataFrame:
    try:
        board = write_leaderboard(path)
    except StoreError:
        # A store that can only be read still has a leaderboard.
        return leaderboard(path, suite)
    if suite is not None and suite not in set(board["suite"]):
        return leaderboard(path, suite)
    return board if suite is None else board[board["suite"] == suite].reset_index(drop=True)


def _filtered(board: pd.DataFrame, filters: dict[str, str | None]) -> pd.DataFrame:
    for column, wanted in filters.items():
        if wanted is None:
            continue
        if wanted not in set(board[column]):
            raise UsageError(f"the leaderboard has no {column} {wanted!r}", did_you_mean(wanted, set(board[column])))
        board = board[board[column] == wanted]
    return board.reset_index(drop=True)


def _content(board: pd.DataFrame, view: View) -> tuple[pd.DataFrame, list[TitledTable]]:
    """The frame for machines and the tables for people; suites are never averaged."""
    if view.by is None and view.overall is None:
        metric = view.filters["metric"]
        return board, tables_of_board(board) if metric is None else tables_of_metric(board, metric)
    trust = None if view.trust is None else _trust(view.trust)
    frames, tables, nothing = [], [], None
    for name, part in board.groupby("suite", sort=False):
        try:
            frame, found = _ranks(part, view, trust)
        except NothingToDoError as refusal:
            nothing = refusal
            continue
        frames.append(frame.assign(suite=name)[["suite", *frame.columns]])
        tables += [replace(t, title=f"{name}: {t.title}") if t.title else t for t in found]
    if not frames:
        raise nothing or NothingToDoError("the leaderboard is empty")
    last = {t.notes: i for i, t in enumerate(tables) if not t.title}  # a legend stands once, at the end
    return pd.concat(frames, ignore_index=True), [t for i, t in enumerate(tables) if t.title or last[t.notes] == i]


def _ranks(board: pd.DataFrame, view: View, trust: pd.DataFrame | None) -> tuple[pd.DataFrame, list[TitledTable]]:
    """Ranks of one suite."""
    missing = cast(Missing, view.overall or "error")
    if view.by == "masker":
        ranks = masker_ranks(board)
        if ranks.empty:
            raise NothingToDoError("no metric on this board removes features")
        return ranks, masker_tables(ranks, masker_agreement(board))
    if view.by in ("dataset", "model"):
        frame = overall_by(board, "dataset" if view.by == "dataset" else "model", missing=missing, trust=trust)
        return frame, tables_by(frame, view.by)
    frame = overall(board, missing=missing, trust=trust)
    return frame, tables_by(frame, "family") if view.by else overall_tables(frame, standings(board))


def _trust(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "`xaibench audit STORE` writes audit.parquet into a store")
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except Exception as error:
        raise UsageError(f"{path} holds no weights of metrics ({error})") from error


def _text(frame: pd.DataFrame, tables: list[TitledTable], form: str) -> str:
    if form == "html":
        return forms.html(tables, "xaibench leaderboard")
    if form == "markdown":
        return forms.tables_markdown(tables)
    return to_csv(frame) if form == "csv" else to_json(frame)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _print_tables(
    board: pd.DataFrame, everything: pd.DataFrame, rows: pd.DataFrame, view: View, store: str | Path
) -> None:
    out, metric = stdout(), view.filters["metric"]
    for i, (name, part) in enumerate(board.groupby("suite", sort=False)):
        if i:
            out.print()
        size = extent(part)
        n, low, high = size.problems, size.least_samples, size.most_samples
        samples = f"{low} samples" if low == high else f"{low} to {high} samples or repeats"
        out.print(f"suite {name}: {n} problem{'' if n == 1 else 's'}, {samples} per score", style="bold", markup=False)
        if metric is None:
            out.print(board_table(part) if view.wide else first_screen(part, _advice(store, part, everything, view)))
            of_one = not view.wide and view.filters["explainer"] is not None
            for listed in (placebo_tests_list(part), unscored_list(part)) if of_one else ():
                if listed is not None:
                    out.print()
                    out.print(listed)
        else:
            shown, lacking = supported_problems(part)
            out.print(metric_table(shown, metric))
            if lacking:
                out.print(f"unsupported on {', '.join(lacking)}", markup=False)
            for line in _over_problems(shown):
                out.print(line, markup=False)
        if view.legend:
            out.print()
            out.print(legend_text(part))
    for table in (gates_table(board), failures_table(rows)):
        if table is not None:
            out.print()
            out.print(table)
    if metric is None and not view.wide:
        out.print()
        out.print(next_steps(store, board, width=out.width), markup=False, soft_wrap=True)


def _advice(store: str | Path, part: pd.DataFrame, everything: pd.DataFrame, view: View) -> Advice:
    """The advice of what is shown; of a single explainer what is said of it beside all others."""
    whole = everything[everything["suite"] == part["suite"].iloc[0]]
    for column in ("dataset", "model", "family"):
        wanted = view.filters[column]
        whole = whole if wanted is None else whole[whole[column] == wanted]
    found = advice_on(store, whole)
    return found.only(set(part[ENTRY].itertuples(index=False, name=None)))


def _over_problems(board: pd.DataFrame) -> list[str]:
    """What a test over data sets says on one metric, or why there is none; nothing for a single problem."""
    if len(board[["dataset", "model"]].drop_duplicates()) < 2:
        return []
    found = critical_differences(board)
    lines = []
    for _, part in found[found["metric"] != ""].groupby(["metric", "params", "asked_output", "truth_kind"], sort=False):
        head = part.iloc[0]
        if isinstance(head["reason"], str):
            lines.append(head["reason"])
            continue
        names = variants(zip(part["explainer"], part["explainer_params"], strict=True))
        places = part[["explainer", "explainer_params", "mean_rank", "tie_group"]].itertuples(index=False, name=None)
        ranks = ", ".join(f"{names[e, p]} {rank:.2f} {group}" for e, p, rank, group in places)
        lines.append(
            f"over {head['n_datasets']} data sets: critical difference {head['critical_difference']:.2f} of mean ranks"
            f" (Nemenyi, 5 %; Friedman p = {head['p_friedman']:.2g}): {ranks}"
        )
    return list(dict.fromkeys(lines))
