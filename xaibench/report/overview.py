"""The numbers behind the overview at the end of a run: what each line and column of it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from xaibench.analysis.leaderboard.placebo_tests import ORACLE, TESTED_FAMILIES
from xaibench.analysis.leaderboard.table import (
    COMPARISON_GROUP,
    CONDITIONAL,
    ENTRY,
    FAMILIES,
    FUNCTIONS,
    PROBLEM,
    REPEATED,
    RETRAINED,
    SETS,
    SINGLE,
)
from xaibench.analysis.ranks.relative_ranks import MEASURE, counted, mean_ranks
from xaibench.report.labels import metric_labels, number, rank_interval, share, variants

GAP = 2
"""Blank columns between two columns of a table."""
ESTIMANDS = {
    CONDITIONAL: "tests and intervals are conditional on the trained models, one training seed each",
    REPEATED: "for metrics over a whole data set, tests and intervals are over repeats on these data",
    SINGLE: "metrics over a whole data set that were run with one repeat have no interval",
    RETRAINED: "intervals are over retrained models; a test is won only if it is won on every one of them",
    FUNCTIONS: "tests and intervals of programs are over functions that are drawn like these",
    SETS: "intervals of programs are over sets of functions; a test is won only if it is won on every one of them",
}
LOG = "log10"
_TESTED = "faithfulness, ground truth or axiomatic"
REASONS = {"unsupported": "n/a", "failed": "failed", "missing": "missing", "undefined": "undef."}


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
    """An explainer: its label with the mark, tests won, made, lost, and of too few samples, problems it ran on."""

    key: tuple[str, str]
    label: str
    won: int
    tested: int
    undecidable: int
    problems: int
    lost: int = 0


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

    @property
    def any_lost(self) -> bool:
        """Whether any explainer is worse than a placebo anywhere."""
        return any(line.lost for line in self.explainers)


def overview(board: pd.DataFrame) -> Overview:
    """Condense a leaderboard to one line per explainer and one column per metric.

    Problems with a failed gate do not count. With one problem left, cells give the value; with
    several, the mean relative rank. In the families where a placebo should lose they also say on
    how many problems every placebo is beaten.
    """
    rows = counted(board)
    names = variants(zip(board["explainer"], board["explainer_params"], strict=True))
    n_problems = len(rows[PROBLEM].drop_duplicates())
    single = n_problems == 1
    ranks = mean_ranks(board)
    metrics = metric_labels(board)
    order = {family: i for i, family in enumerate(FAMILIES)}
    measures = ranks[MEASURE].drop_duplicates()
    measures = measures.sort_values(
        MEASURE, key=lambda s: s.map(order) if s.name == "family" else s, kind="stable", ignore_index=True
    )
    several_kinds = measures.loc[measures["family"] == "ground_truth", "truth_kind"].nunique() > 1
    columns = []
    for measure in measures.itertuples(index=False):
        chosen = ranks[(ranks[MEASURE] == list(measure)).all(axis=1)]
        here = rows[(rows[MEASURE] == list(measure)).all(axis=1)]
        texts = _values(here) if single else {_key(r): _rank_text(r) for r in chosen.itertuples(index=False)}
        label = metrics[str(measure.metric), str(measure.params), str(measure.asked_output)]
        header = [*_words(label), *([f"({measure.truth_kind!s})"] if several_kinds and measure.truth_kind else [])]
        if single:
            if here["aggregate"].iloc[0] == "median_log10":
                header.append(LOG)
            header.append("higher" if here["higher_is_better"].iloc[0] else "lower")
        columns.append(Column(str(measure.family), tuple(header), texts))
    lines = _lines(board, rows, names)
    failed = board[(board["gate_passed"] == False).fillna(False).astype(bool)]  # noqa: E712
    lost = (rows["beats_placebo"] == False).fillna(False).astype(bool)  # noqa: E712
    where = ("metric", "params", "asked_output", "dataset", "model")
    blind = rows[(rows["explainer"] == ORACLE) & rows["control"].astype(bool) & lost]
    return Overview(
        [line for line, control in lines if not control],
        [line for line, control in lines if control],
        columns,
        n_problems,
        len(failed[PROBLEM].drop_duplicates()),
        single,
        _untested(board, rows),
        _placebos(rows),
        sorted({f"{metrics[m, p, o]} on {d}/{k}" for m, p, o, d, k in zip(*(blind[c] for c in where), strict=True)}),
        sorted(board["estimand"].dropna().unique().tolist()),
    )


def _placebos(rows: pd.DataFrame) -> list[str]:
    """Names of the controls that were placebos in the tests; none where the board does not hold them all."""
    names: set[str] = set()
    for _, field in _with_placebos(rows).groupby(COMPARISON_GROUP, sort=False):
        fit = field[field["control"].astype(bool) & (field["explainer"] != ORACLE) & (field["status"] == "ok")]
        n = field["n_placebos"].iloc[0]
        if len(fit) < n:
            return []
        if len(fit) == n:  # of more controls than placebos some were not fit to be one
            names.update(fit["explainer"])
    return sorted(names)


def _with_placebos(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["n_placebos"] > 0) & rows["family"].isin(TESTED_FAMILIES)]


def _untested(board: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Why no explainer was compared with a placebo; empty where some were."""
    if len(_with_placebos(rows)):
        return ""
    if rows["family"].isin(TESTED_FAMILIES).any():
        return "no placebo was scored, so nothing here tells an explanation from a meaningless map"
    if board["family"].isin(TESTED_FAMILIES).any():
        return f"nothing is tested against placebos: where {_TESTED} was measured, a gate failed"
    return f"nothing is tested against placebos: in families other than {_TESTED} a meaningless map can score best"


def _key(row: object) -> tuple[str, str]:
    return getattr(row, ENTRY[0]), getattr(row, ENTRY[1])


def _words(label: str) -> list[str]:
    """Lines of a header: a metric's name is stacked word by word, its parameters one by one."""
    name, bracket, params = label.partition("(")
    return [*name.split("_"), *((bracket + params).split(" ") if bracket else [])]


def _missing(row: object) -> str:
    """Why there is no number: the gravest reason first."""
    for reason in ("failed", "missing", "undefined", "unsupported"):
        if getattr(row, f"n_{reason}"):
            return REASONS[reason]
    return "alone"


def _rank_text(row: object) -> str:
    ranked, expected, tested = (int(getattr(row, n)) for n in ("n_ranked", "n_expected", "n_tested"))
    if not ranked:
        return _missing(row)
    won = f"{int(getattr(row, 'n_beats'))}/{tested} " if tested else ""  # noqa: B009
    return f"{won}{share(float(getattr(row, 'relative_rank')))}{'~' if ranked < expected else ''}"  # noqa: B009


def _values(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Cells for a single problem: value, a star where every placebo is beaten, rank."""
    texts = {}
    for row in rows.to_dict("records"):
        star = "*" if row["beats_placebo"] is True else "x" if row.get("loses_to_placebo") is True else ""
        ranks = rank_interval(row.get("rank_low"), row.get("rank_high"))
        rank = f" #{ranks}" if ranks else f" #{row['rank']:g}" if row["rank"] == row["rank"] else ""
        value = number(row["value"]) + star + rank if row["status"] == "ok" else REASONS[row["status"]]
        texts[row["explainer"], row["explainer_params"]] = value
    return texts


def _lines(board: pd.DataFrame, rows: pd.DataFrame, names: dict[tuple[str, str], str]) -> Iterable[tuple[Line, bool]]:
    """Explainers by the share of tests won, then by mean relative rank in the tested families; controls by name."""
    tested = rows[rows["family"].isin(TESTED_FAMILIES)]
    found = []
    for key, group in board.groupby(ENTRY, sort=True):
        name = (str(key[0]), str(key[1]))
        own = tested[(tested["explainer"] == name[0]) & (tested["explainer_params"] == name[1])]
        marks = own["beats_placebo"].dropna()
        won, n = int(marks.sum()), len(marks)
        ran = rows[(rows["explainer"] == name[0]) & (rows["explainer_params"] == name[1]) & (rows["status"] == "ok")]
        undecidable = int((own["p_placebo"].notna() & own["beats_placebo"].isna()).sum())
        control = bool(group["control"].iloc[0])
        mark = "" if control or not n or 2 * won >= n else " !" if won else " !!"
        lost = int(own["loses_to_placebo"].dropna().sum()) if "loses_to_placebo" in own else 0
        line = Line(name, names[name] + mark, won, n, undecidable, len(ran[PROBLEM].drop_duplicates()), lost)
        place = own["relative_rank"].mean()
        found.append((control, -won / n if n else 1.0, place if place == place else 2.0, name, line))
    return [(line, control) for control, _, _, _, line in sorted(found, key=lambda f: f[:4])]


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


def legend(view: Overview) -> list[str]:
    """What the marks of the overview mean, only those that it can hold."""
    shown = [text for c in view.columns for text in c.cells.values()]
    lines = []
    if view.single:
        lines.append(
            "value, * = beats every placebo, x = loses to one, #ranks that cannot be excluded (1 is best); last line of"
            " the head: which values are better"
        )
    else:
        lines.append("k/n .rr: beats every placebo on k of n problems; .rr is the mean relative rank, 0 best, 1 last")
    if any(LOG in c.header for c in view.columns):
        lines.append(f"{LOG}: the value is the median of log10(score)")
    if view.untested:
        lines.append(view.untested)
    else:
        here = f" (here {', '.join(view.placebos)})" if view.placebos else ""
        lines.append(
            f"placebo: a control that cannot explain{here}; beaten means better in paired"
            " signed-rank tests against every one of them, 5 % after Holm"
        )
        undecidable = sum(x.undecidable for x in view.explainers)
        if undecidable:
            n = undecidable + sum(x.tested for x in view.explainers)
            lines.append(
                f"too few samples to tell: {undecidable} of {n} tests could not have been won with any scores, so they"
                " do not count"
            )
        if view.any_lost:
            lines.append("tests lost: significantly worse than a placebo, after correction; the others are not decided")
        if any(x.tested for x in view.explainers):
            lines.append("!! beats the placebos in no test; ! in fewer than half of the tests: do not trust it here")
        lines.append(
            "explainers are in the order of tests won; robustness, sanity and complexity are not tested, because there"
            " a map that explains nothing can score best"
        )
    if view.blind:
        lines.append(
            f"the oracle itself does not beat the placebos for {', '.join(view.blind)}: no truth is told there"
        )
    if not view.single:
        lines.append("controls are not ranked: their .rr is the share of explainers that are better")
    if any("~" in text for text in shown):
        lines.append("~ ranked on fewer problems than the metric was measured on: not comparable with the other ranks")
    if any(text in ("n/a", "failed", "missing", "undef.") for text in shown):
        lines.append("n/a: unsupported; failed, missing: no result; undef.: no sample has a defined score")
    if any(line.key not in c.cells for c in view.columns for line in (*view.explainers, *view.controls)):
        lines.append("blank: not in the suite")
    lines += [ESTIMANDS[e] for e in view.estimands]
    if view.n_failed_gates:
        one = view.n_failed_gates == 1
        lines.append(f"left out: {view.n_failed_gates} problem{' whose gate' if one else 's whose gates'} failed")
    return lines
