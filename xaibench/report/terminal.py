"""Tables for the terminal. They fit the width they are given and read the same without colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from xaibench.analysis.leaderboard import placebo_outcomes as outcomes
from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP
from xaibench.analysis.leaderboard.gates import gate_conditions
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.user_errors import shortened
from xaibench.report.labels import (
    interval,
    metric_labels,
    needed_label,
    number,
    p_value,
    problem_labels,
    rank_interval,
    variants,
)
from xaibench.report.layout import Trimmed, simple_table
from xaibench.report.overview import (
    GAP,
    Column,
    Line,
    Overview,
    family_heads,
    legend,
    nothing_to_compare,
    overview,
    pack,
)
from xaibench.report.single_cells import mark_sentence, marked
from xaibench.store import FAILURES

CONTROLS = "-- controls --"
TOO_FEW_MARK = "too few"
NOT_SHOWN = "not shown"
LOSES_MARK = "LOSES"
_OUTCOMES = {
    outcomes.BEATS: "yes",
    outcomes.LOSES: LOSES_MARK,
    outcomes.UNDECIDED: NOT_SHOWN,
    outcomes.TOO_FEW: TOO_FEW_MARK,
}


def board_table(board: pd.DataFrame, *, legend: bool = False) -> RenderableType:
    """Every metric of a leaderboard: explainers in the order of their overall rank, then controls, a column per metric.

    It splits into as many tables as the width asks for, families stay together. With ``legend`` what the marks mean
    follows.
    """
    return Trimmed(_BoardTable(overview(board), legend))


def legend_text(board: pd.DataFrame) -> RenderableType:
    """What the words and marks of `board_table` mean, those that it holds."""
    return Text("\n".join(legend(overview(board))))


@dataclass(frozen=True)
class _BoardTable:
    view: Overview
    legend: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        view = self.view
        if not view.columns:
            yield Text(nothing_to_compare(view))
            return
        yield Text(_layout(view))
        lines = [*view.explainers, *view.controls]
        names = ["explainer", *([CONTROLS] if view.controls else []), *(x.label for x in lines)]
        label = min(max(map(len, names)), max(options.max_width // 3, len(CONTROLS)))
        summary = [Column("", ("tests", "won"), {x.key: won(x) for x in lines})]
        if view.any_lost:
            summary.append(Column("", ("tests", "lost"), {x.key: str(x.lost) if x.lost else "" for x in lines}))
        if not view.single:
            ran = {x.key: f"{x.problems}/{view.n_problems}" for x in lines}
            summary.append(Column("", ("problems",), ran))
        for chunk in pack([*summary, *view.columns], options.max_width - label):
            yield _overview_table(view, chunk, label)
            yield Text("")
        if self.legend:
            yield Text("\n".join(legend(view)))


def _layout(view: Overview) -> str:
    """What the cells hold: there is a layout for one problem, and one for several."""
    if view.single:
        return "every metric: values (* beats every placebo, x loses to one), # ranks that tests leave open"
    return (
        f"every metric: problems on which every placebo is beaten, mean relative rank over {view.n_problems} problems"
    )


def won(line: Line) -> str:
    """Tests against the placebos that an explainer won, of those that it could have won."""
    return f"{line.won}/{line.tested}" if line.tested else TOO_FEW_MARK if line.undecidable else ""


def _overview_table(view: Overview, columns: Sequence[Column], label: int) -> Table:
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=False, collapse_padding=True)
    table.add_column(overflow="fold", width=label)
    for column in columns:
        table.add_column(justify="right" if column.family == "" else "left", overflow="fold", min_width=column.width)
    heads = family_heads(columns)
    if any(heads):
        table.add_row("", *(Text(h, style="bold") for h in heads))
    depth = max(len(c.header) for c in columns)
    for i in range(depth):
        words = [c.header[i] if i < len(c.header) else "" for c in columns]
        table.add_row(
            Text("explainer" if i == depth - 1 else "", style="bold"), *(Text(w, style="bold") for w in words)
        )
    rule = ["-" * max(c.width, len(h)) for c, h in zip(columns, heads, strict=True)]
    table.add_row(Text("-" * label, style="dim"), *(Text(r, style="dim") for r in rule))
    for line in view.explainers:
        _add(table, line, columns)
    if view.controls:
        table.add_row(Text(CONTROLS, style="dim"))
        for line in view.controls:
            _add(table, line, columns, style="dim")
    return table


def _add(table: Table, line: Line, columns: Sequence[Column], style: str = "") -> None:
    table.add_row(Text(line.label, style=style), *(Text(c.cells.get(line.key, ""), style=style) for c in columns))


def metric_table(
    board: pd.DataFrame,
    metric: str,
    *,
    dataset: str | None = None,
    model: str | None = None,
    params: str | None = None,
) -> RenderableType:
    """One metric on every problem that is selected: value, interval, skill, placebo test, counts.

    Parameters
    ----------
    board : DataFrame
        From `xaibench.analysis.leaderboard.table.leaderboard`.
    metric : str
    dataset, model, params : str, optional
        Only this data set, model, or these parameters (canonical JSON).

    Raises
    ------
    UsageError
        If the board has no such metric, data set, model or parameters.
    """
    rows = board
    for column, wanted in (("metric", metric), ("dataset", dataset), ("model", model), ("params", params)):
        if wanted is not None:
            chosen = rows[rows[column] == wanted]
            if chosen.empty:
                raise UsageError(f"the leaderboard has no {column} {wanted!r}", did_you_mean(wanted, rows[column]))
            rows = chosen
    tables: list[RenderableType] = []
    for table in metric_tables(rows, metric, named=board):
        tables += [table, Text("")]
    return Trimmed(Group(*tables))


def metric_tables(board: pd.DataFrame, metric: str, *, named: pd.DataFrame | None = None) -> list[MetricTable]:
    """The tables of `metric_table`, one per problem; labels distinguish what is in ``named``."""
    whole = board if named is None else named
    names = variants(zip(whole["explainer"], whole["explainer_params"], strict=True))
    labels = metric_labels(whole)
    rows = board[board["metric"] == metric]
    return [_metric_table(group, names, labels) for _, group in rows.groupby(COMPARISON_GROUP, sort=False)]


@dataclass(frozen=True)
class MetricTable:
    """One metric on one problem. What does not fit the width goes, the least important first.

    Attributes
    ----------
    title : str
    rows : list of dict
        Head of the column to text.
    notes : list of str
    """

    title: str
    rows: list[dict[str, str]]
    notes: list[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text(self.title)
        columns = [c for c in self.rows[0] if any(row[c] for row in self.rows)]
        for expendable in ("skill interval", "p", "undef.", "skill", "n", "#"):
            if sum(self._width(c) + GAP for c in columns) - GAP > options.max_width and expendable in columns:
                columns.remove(expendable)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
        for column in columns:
            left = column in ("explainer", "interval", "ties", "skill interval", "beats placebos")
            table.add_column(
                Text(METRIC_HEADINGS.get(column, column)), justify="left" if left else "right", overflow="fold"
            )
        for row in self.rows:
            table.add_row(*(Text(row[c]) for c in columns))
        yield table
        yield from map(Text, self.notes)

    def _width(self, column: str) -> int:
        texts = [row[column] for row in self.rows]
        return max(len(text) for text in (*texts, *METRIC_HEADINGS.get(column, column).split("\n")))


METRIC_HEADINGS = {"skill interval": "interval", "beats placebos": "beats\nplacebos"}


def _metric_table(
    rows: pd.DataFrame, names: dict[tuple[str, str], str], labels: dict[tuple[str, str, str], str]
) -> MetricTable:
    head = rows.iloc[0]
    aggregate = {"median_log10": "median of log10(score)"}.get(head["aggregate"], head["aggregate"])
    direction = "higher" if head["higher_is_better"] else "lower"
    estimands = ", ".join(rows["estimand"].dropna().unique())
    label = marked(labels[head["metric"], head["params"], head["asked_output"]], head["params"])
    title = (
        f"{label} on {problem_labels(rows.head(1))[0]}: {aggregate}, {direction} is"
        f" better, 95 % intervals{f' ({estimands})' if estimands else ''}"
    )
    sign = -1.0 if head["higher_is_better"] else 1.0
    ordered = rows.assign(_order=sign * rows["value"], outcome=outcomes.placebo_outcomes(rows)).sort_values(
        ["control", "rank", "_order", "explainer", "explainer_params"], kind="stable"
    )
    notes: dict[str, list[str]] = {}
    cells = []
    for row in ordered.to_dict("records"):
        name = marked(names[row["explainer"], row["explainer_params"]], row["explainer_params"])
        if isinstance(row["message"], str):
            note = shortened(row["message"].replace(f"explainer {row['explainer']} ", ""))
            notes.setdefault(note, []).append(name)
        cells.append(
            {
                "#": "" if pd.isna(row["rank"]) else f"{row['rank']:g}",
                "ranks": "control" if row["control"] else rank_interval(row.get("rank_low"), row.get("rank_high")),
                "explainer": name,
                "value": number(row["value"]) if row["status"] == "ok" else row["status"],
                "interval": interval(row["ci_low"], row["ci_high"]),
                "ties": _text(row.get("tie_group")),
                "skill": number(row["skill"]),
                "skill interval": interval(row["skill_low"], row["skill_high"]),
                "beats placebos": _OUTCOMES.get(row["outcome"], ""),
                "p": p_value(row["p_placebo"]),
                "n": str(row["n"]) if row["n"] else "",
                "undef.": str(row["n_undefined"]) if row["n_undefined"] else "",
            }
        )
    below = []
    if isinstance(head["placebo"], str):
        below.append(f"best placebo: {head['placebo']}, {number(head['placebo_value'])}")
    if any(cell["ties"] for cell in cells):
        below.append(
            "ranks: those that paired tests of all pairs leave open (Holm, 5 %); the tests cannot separate explainers"
            " that share a letter under ties"
        )
    if any(cell["beats placebos"] in (NOT_SHOWN, LOSES_MARK) for cell in cells):
        below.append(f"{NOT_SHOWN}: not shown to be better than every placebo; {LOSES_MARK}: worse than one")
    if any(cell["beats placebos"] == TOO_FEW_MARK for cell in cells):
        below.append(f"{TOO_FEW_MARK}: too few samples to tell, no scores could have passed the test")
    single_cells = mark_sentence([head["params"], *rows["explainer_params"]])
    below += [single_cells] if single_cells else []
    below += [f"{', '.join(who)}: {message}" for message, who in notes.items()]
    return MetricTable(title, cells, below)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def gates_table(board: pd.DataFrame, *, every: bool = False) -> RenderableType | None:
    """Conditions that make problems true, those that failed or ``every`` one; None if there is none to show."""
    rows = []
    for gate in gate_conditions(board).to_dict("records"):
        if every or not gate["passed"]:
            needed = needed_label(gate, ">=", "<=")
            name = f"{gate['dataset']}/{gate['model']}"
            state = "" if not needed else "passed" if gate["passed"] else "FAILED"
            rows.append((name, str(gate["problem_seed"]), gate["name"], f"{gate['value']:.3f}", needed, state))
    return _titled("Gates", ("problem", "seed", "condition", "measured", "needed", ""), rows, left=(0, 2, 5))


def failures_table(results: pd.DataFrame, *, limit: int = 20) -> RenderableType | None:
    """Cells that failed, timed out or ran out of memory, equal reasons together; None if there are none."""
    bad = results[results["status"].isin(FAILURES)]
    bad = bad.assign(
        problem=problem_labels(bad),
        reason=[shortened(_joined(pair)) for pair in zip(bad["error_kind"], bad["message"], strict=True)],
    )
    rows = []
    for (status, reason), group in bad.groupby(["status", "reason"], sort=True):
        explainers, metrics, problems = (_some(sorted(group[c].unique())) for c in ("explainer", "metric", "problem"))
        rows.append((len(group), explainers, str(status), metrics, problems, str(reason)))
    rows.sort(key=lambda r: (-r[0], *r[1:]))
    shown = [(str(r[0]), *r[1:]) for r in rows[:limit]]
    more = f"and {len(rows) - limit} more kinds of failure" if len(rows) > limit else None
    heads = ("cells", "explainers", "status", "metrics", "problems", "reason")
    return _titled("Failures", heads, shown, left=(1, 2, 3, 4, 5), below=more)


def frame_table(frame: pd.DataFrame) -> RenderableType:
    """Any frame as a table."""
    numeric = [pd.api.types.is_numeric_dtype(d) and not pd.api.types.is_bool_dtype(d) for d in frame.dtypes]
    table = simple_table([str(c) for c in frame.columns], left=[i for i, n in enumerate(numeric) if not n])
    for row in frame.itertuples(index=False, name=None):
        table.add_row(*(Text(_cell(v)) for v in row))
    return Trimmed(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return number(value, 4)
    return "" if value is None or value is pd.NA else str(value)


def _joined(texts: Iterable[object]) -> str:
    return ": ".join(t for t in texts if isinstance(t, str) and t)


def _some(names: Sequence[str]) -> str:
    """The first name, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _titled(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Iterable[int],
    below: str | None = None,
) -> RenderableType | None:
    if not rows:
        return None
    table = simple_table(heads, left)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return Trimmed(Group(Text(title, style="bold"), table, *([Text(below)] if below else [])))
