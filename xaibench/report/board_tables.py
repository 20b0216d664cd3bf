"""A leaderboard as tables, for Markdown and HTML: what the terminal shows, without its width."""

from __future__ import annotations

import pandas as pd

from xaibench.analysis.advice.verdicts import advise
from xaibench.report.advice import advice_sentences
from xaibench.report.overview import Overview, legend, overview
from xaibench.report.standings import placebo_sentence, rank_sentence, standings_rows
from xaibench.report.tables import TitledTable
from xaibench.report.terminal import CONTROLS, metric_tables, won


def tables_of_board(board: pd.DataFrame) -> list[TitledTable]:
    """Per suite the order of explainers, then explainers against metrics per family, then what marks mean."""
    tables = []
    for suite, part in board.groupby("suite", sort=False):
        view = overview(part)
        if view.columns and view.explainers:
            tables.append(_standings_table(part, view, str(suite)))
        families = list(dict.fromkeys(c.family for c in view.columns))
        tables += [_family_table(view, family, f"{suite}: {family.replace('_', ' ')}") for family in families]
        tables.append(
            TitledTable("" if families else f"{suite}: nothing to compare", (), [], notes=tuple(legend(view)))
        )
    return tables


def _standings_table(board: pd.DataFrame, view: Overview, suite: str) -> TitledTable:
    heads, rows = standings_rows(view)
    said = [] if view.untested else advice_sentences(advise(board), board)
    notes = (placebo_sentence(view), *said, rank_sentence(view.ground, len(view.explainers), view.n_problems))
    return TitledTable(f"{suite}: explainers", heads, rows, frozenset({heads.index("explainer")}), notes)


def _family_table(view: Overview, family: str, title: str) -> TitledTable:
    columns = [c for c in view.columns if c.family == family]
    heads = ["explainer", "tests won", *(["tests lost"] if view.any_lost else [])]
    heads += [*([] if view.single else ["problems"]), *(" ".join(c.header) for c in columns)]
    rows = []
    for lines, name in ((view.explainers, ""), (view.controls, CONTROLS)):
        if name and lines:
            rows.append((name, *[""] * (len(heads) - 1)))
        for line in lines:
            cells = [line.label, won(line), *([str(line.lost or "")] if view.any_lost else [])]
            cells += [] if view.single else [f"{line.problems}/{view.n_problems}"]
            rows.append((*cells, *(c.cells.get(line.key, "") for c in columns)))
    return TitledTable(title, tuple(heads), rows)


def tables_of_metric(board: pd.DataFrame, metric: str) -> list[TitledTable]:
    """One table per problem: value, interval, ranks that cannot be excluded, tie groups, placebo test."""
    tables = []
    for view in metric_tables(board, metric):
        heads = [c for c in view.rows[0] if any(row[c] for row in view.rows)]
        rows = [tuple(row[c] for c in heads) for row in view.rows]
        left = frozenset(i for i, c in enumerate(heads) if c in ("explainer", "ties", "beats placebos"))
        tables.append(TitledTable(view.title, tuple(heads), rows, left, tuple(view.notes)))
    return tables
