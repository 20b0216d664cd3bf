"""The overview of a leaderboard in words and marks: a line per explainer, a column per metric, and a legend."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xaibench.analysis.leaderboard.columns import (
    ABOUT_CASES,
    ABOUT_FUNCTIONS,
    CONDITIONAL,
    ENTRY,
    REPEATED,
    RETRAINED,
    SETS,
    SETS_OF_CASES,
    SINGLE,
)
from xaibench.analysis.leaderboard.placebo_outcomes import BEATS, LOSES
from xaibench.analysis.ranks.board_summary import BoardSummary, board_summary
from xaibench.analysis.ranks.relative_ranks import MEASURE, describes
from xaibench.analysis.ranks.standings import CommonGround
from xaibench.core.components import ORACLE
from xaibench.report.labels import metric_labels, number, rank_interval, share, variants
from xaibench.report.single_cells import CELL_MARK, mark_sentence, marked

GAP = 2
"""Blank columns between two columns of a table."""
ESTIMANDS = {
    CONDITIONAL: "tests and intervals are conditional on the trained models, one training seed each",
    REPEATED: "for metrics over a whole data set, tests and intervals are over repeats on these data",
    SINGLE: "metrics over a whole data set that were run with one repeat have no interval",
    RETRAINED: "intervals are over retrained models; a test is won only if it is won on every one of them",
    ABOUT_FUNCTIONS: "tests and intervals of programs are over functions that are drawn like these",
    SETS: "intervals of programs are over sets of functions; a test is won only if it is won on every one of them",
    ABOUT_CASES: "tests and intervals are over cases that are made like these",
    SETS_OF_CASES: "intervals are over sets of cases; a test is won only if it is won on every one of them",
}
LOG = "log10"
_TESTED = "faithfulness, ground truth or axiomatic"
REASONS = {"unsupported": "n/a", "failed": "failed", "missing": "missing", "undefined": "undef.", "alone": "alone"}
LOST_MARK = " !"
"""Behind the name of an explainer that is significantly worse than a placebo in some test."""
_UNTESTED = {
    "no placebo": "no placebo was scored, so nothing here distinguishes an explanation from a meaningless map",
    "failed gates": f"nothing is tested against placebos: where {_TESTED} was measured, a gate failed",
    "other families": (
        f"nothing is tested against placebos: in families other than {_TESTED} a meaningless map can score best"
    ),
}
_STARS = {BEATS: "*", LOSES: "x"}


@dataclass(frozen=True)
class Column:
    """A metric: its family, the lines of its header, and the text of every cell by explainer."""

    family: str
    header: tuple[str, ...]
    cells: dict[tuple[str, str], str]

    @property
    def width(self) -> int:
        return max(len(text) for text in (*self.header, *self.cells.values(), ""))


@dataclass(frozen=True)
class Line:
    """An explainer: its name, tests won, made, lost, and of too few samples, problems it ran on, its overall rank.

    ``place`` is None without an overall rank, ``interval`` without an interval of the relative rank.
    """

    key: tuple[str, str]
    name: str
    won: int
    tested: int
    undecidable: int
    problems: int
    lost: int
    place: int | None
    relative_rank: float
    interval: tuple[float, float] | None
    control: bool

    @property
    def label(self) -> str:
        """The name, marked where a placebo was better in some test."""
        return f"{self.name}{LOST_MARK}" if self.lost and not self.control else self.name


@dataclass(frozen=True)
class Overview:
    """See `overview`."""

    explainers: list[Line]
    controls: list[Line]
    columns: list[Column]
    n_problems: int
    n_failed_gates: int
    single: bool
    untested: str
    placebos: list[str]
    blind: list[str]
    estimands: list[str]
    ground: CommonGround | None
    silent: list[str]
    single_cells: str | None = None

    @property
    def explainers_of_single_cells(self) -> str | None:
        """What the mark behind names of explainers means; None where no explainer has it."""
        return self.single_cells if any(x.name.endswith(CELL_MARK) for x in self.explainers) else None

    @property
    def any_lost(self) -> bool:
        """Whether any explainer is worse than a placebo anywhere."""
        return any(line.lost for line in self.explainers)


def overview(board: pd.DataFrame, found: BoardSummary | None = None) -> Overview:
    """Say a leaderboard in one line per explainer and one column per metric.

    With one problem, cells give the value; with several, the mean relative rank. In the families where
    a placebo should lose they also say on how many problems every placebo is beaten.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`.
    found : BoardSummary, optional
        Its numbers, where they are known already.
    """
    found = board_summary(board) if found is None else found
    names = variants(zip(board["explainer"], board["explainer_params"], strict=True))
    metrics = metric_labels(board)
    single = found.n_problems == 1
    truths = found.measures.loc[found.measures["family"] == "ground_truth", "truth_kind"]
    several_kinds = truths.nunique() > 1
    columns = []
    for measure in found.measures.itertuples(index=False):
        label = metrics[str(measure.metric), str(measure.params), str(measure.asked_output)]
        header = [
            *_words(marked(label, str(measure.params))),
            *([f"({measure.truth_kind!s})"] if several_kinds and measure.truth_kind else []),
        ]
        if single:
            rows = found.rows[(found.rows[MEASURE] == list(measure)).all(axis=1)]
            texts = {_key(row): _value_text(row) for row in rows.to_dict("records")}
            if rows["aggregate"].iloc[0] == "median_log10":
                header.append(LOG)
            header.append("higher" if rows["higher_is_better"].iloc[0] else "lower")
        else:
            rows = found.ranks[(found.ranks[MEASURE] == list(measure)).all(axis=1)]
            texts = {_key(row): _rank_text(row) for row in rows.to_dict("records")}
        columns.append(Column(str(measure.family), tuple(header), texts))
    entries = found.explainers.to_dict("records")
    where = ("metric", "params", "asked_output", "dataset", "model")
    blind, silent = found.coverage.oracle_losses, board[describes(board)]
    return Overview(
        [_line(row, names) for row in entries if not row["control"]],
        [_line(row, names) for row in entries if row["control"]],
        columns,
        found.n_problems,
        found.n_failed_gates,
        single,
        "" if found.coverage.untested is None else _UNTESTED[found.coverage.untested],
        list(found.coverage.placebos),
        sorted({f"{metrics[m, p, o]} on {d}/{k}" for m, p, o, d, k in zip(*(blind[c] for c in where), strict=True)}),
        list(found.estimands),
        found.ground,
        sorted({metrics[m, p, o] for m, p, o in zip(*(silent[c] for c in where[:3]), strict=True)}),
        mark_sentence([*board["params"], *board["explainer_params"]]),
    )


def nothing_to_compare(view: Overview) -> str:
    """Why a board has no column."""
    failed = view.n_failed_gates
    why = f"The gates of all {failed} problems failed" if failed > 1 else "A gate of the problem failed"
    return f"{why if failed else 'No problem has scores'}, so there is nothing to compare."


def _key(row: Mapping[Hashable, Any]) -> tuple[str, str]:
    return row[ENTRY[0]], row[ENTRY[1]]


def _line(row: Mapping[Hashable, Any], names: dict[tuple[str, str], str]) -> Line:
    place, low = row["place"], row["ci_low"]
    name = marked(names[_key(row)], row[ENTRY[1]])
    return Line(
        _key(row), name, row["won"], row["tested"], row["undecidable"], row["n_problems"], row["lost"],
        None if place != place else int(place), row["relative_rank"],
        None if low != low else (low, row["ci_high"]), bool(row["control"]),
    )  # fmt: skip


def _words(label: str) -> list[str]:
    """Lines of a header: a metric's name is stacked word by word, its parameters one by one."""
    name, bracket, params = label.partition("(")
    return [*name.split("_"), *((bracket + params).split(" ") if bracket else [])]


def _rank_text(row: Mapping[Hashable, Any]) -> str:
    """A cell for several problems: tests won and relative rank, or why there is none."""
    if row["gap"] is not None:
        return REASONS[row["gap"]]
    won = f"{row['n_beats']}/{row['n_tested']} " if row["n_tested"] else ""
    return f"{won}{share(row['relative_rank'])}{'~' if row['partly'] else ''}"


def _value_text(row: Mapping[Hashable, Any]) -> str:
    """A cell for a single problem: value, a star where every placebo is beaten, rank."""
    if row["status"] != "ok":
        return REASONS[row["status"]]
    ranks = rank_interval(row.get("rank_low"), row.get("rank_high"))
    rank = f" #{ranks}" if ranks else f" #{row['rank']:g}" if row["rank"] == row["rank"] else ""
    return number(row["value"]) + _STARS.get(row["outcome"], "") + rank


def pack(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Split columns into tables at most ``width`` wide; a family moves on whole where it fits a table."""
    groups: list[list[Column]] = []
    for column in columns:
        if groups and groups[-1][0].family == column.family:
            groups[-1].append(column)
        else:
            groups.append([column])

    def size(group: Sequence[Column]) -> int:
        return sum(GAP + max(c.width, len(h)) for c, h in zip(group, family_heads(group), strict=True))

    tables: list[list[Column]] = []
    for group in groups:
        if tables and size([*tables[-1], *group]) <= width:
            tables[-1].extend(group)
        elif size(group) <= width:
            tables.append(list(group))
        else:
            for column in group:
                if tables and size([*tables[-1], column]) <= width:
                    tables[-1].append(column)
                else:
                    tables.append([column])
    return tables


def family_heads(columns: Sequence[Column]) -> list[str]:
    """The family's name over the first of its columns."""
    before = ["", *(c.family for c in columns)]
    return [c.family.replace("_", " ") if c.family != b else "" for c, b in zip(columns, before, strict=False)]


def legend(view: Overview, *, page: bool = False) -> list[str]:
    """What the marks of the overview mean, only those that it can hold; on a ``page`` that explains its own cells."""
    shown = [text for c in view.columns for text in c.cells.values()]
    lines = []
    if page:
        pass
    elif view.single:
        lines.append(
            "value: * means better than every placebo, x worse than one; # gives the ranks that the tests leave open"
            " (1 is best); the last line of the head says whether higher or lower values are better"
        )
    else:
        lines.append(
            "k/n .rr: better than every placebo on k of n problems; .rr is the mean relative rank, 0 best, 1 last"
        )
    if any(LOG in c.header for c in view.columns):
        lines.append(f"{LOG}: the value is the median of log10(score)")
    if view.untested:
        lines.append(view.untested)
    else:
        here = f" (here {', '.join(view.placebos)})" if view.placebos else ""
        lines.append(
            f"placebo: a control that cannot explain{here}; an explainer beats"
            " them if paired tests of the mean (or median) show it to be better than each (5 % after Holm)"
        )
        undecidable = sum(x.undecidable for x in view.explainers)
        if undecidable:
            n = undecidable + sum(x.tested for x in view.explainers)
            lines.append(
                f"too few samples to tell: {undecidable} of {n} tests could not have been won with any scores, so they"
                " do not count"
            )
        if view.any_lost:
            lines.append(
                "tests lost, !: significantly worse than a placebo, at 5 % after correction within each comparison (one"
                " metric on one problem), so that in one of twenty some explainer may lose by chance alone; all"
                " other tests are undecided"
            )
        lines.append(
            "robustness, sanity and complexity are not tested, because there a map that explains nothing can score best"
        )
    lines.append(_order_line(view))
    if view.blind:
        lines.append(
            f"the oracle itself does not beat the placebos for {', '.join(view.blind)}: nothing follows from it there"
        )
    if not view.single:
        number_shown = "number" if page else ".rr"
        lines.append(f"controls are not ranked: their {number_shown} is the share of explainers that do better")
    if any(x.key[0] == ORACLE for x in view.controls):
        lines.append(
            "oracle: the truth of the data set, best by ground truth; what removing features does to a model may be"
            " shown better by explanations of that model"
        )
    if any("~" in text for text in shown):
        lines.append("~ ranked on fewer problems than the metric was measured on: not comparable with the other ranks")
    if view.single_cells:
        lines.append(view.single_cells)
    if any(text in ("n/a", "failed", "missing", "undef.") for text in shown):
        lines.append("n/a: unsupported; failed, missing: no result; undef.: no sample has a defined score")
    if any(line.key not in c.cells for c in view.columns for line in (*view.explainers, *view.controls)):
        lines.append("blank: not in the suite")
    lines += [ESTIMANDS[e] for e in view.estimands]
    if view.silent:
        lines.append(
            f"{', '.join(view.silent)}: shown in the leaderboard, and counted in no rank and no test, because scores"
            " describe explanations and do not say which one is better"
        )
    if view.n_failed_gates:
        one = view.n_failed_gates == 1
        lines.append(f"left out: {view.n_failed_gates} problem{' whose gate' if one else 's whose gates'} failed")
    return lines


def _order_line(view: Overview) -> str:
    if view.ground is None:
        return "explainers are in the order of tests won"
    n, family = view.ground.n_problems, view.ground.family.replace("_", " ")
    return (
        f"explainers are in the order of their overall rank: mean relative rank by {family} on"
        f" {n} problem{'' if n == 1 else 's'}, one vote per construct and masker, mean over data sets; those not"
        " measured on all of it come after"
    )
