"""What a suite says in short: the tests won against placebos, and ranks by metric, as plain values for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from xaibench.analysis.advice.verdicts import Advice, advise
from xaibench.analysis.leaderboard.columns import METRIC_FAMILIES
from xaibench.analysis.leaderboard.extent import extent
from xaibench.analysis.leaderboard.validity import Validity, validity
from xaibench.analysis.ranks.board_summary import board_summary
from xaibench.analysis.ranks.relative_ranks import MEASURE
from xaibench.report.advice import AdviceGroup, advice_groups, opening_sentence, scope_sentence, unknown_sentence
from xaibench.report.labels import metric_labels, number, share
from xaibench.report.overview import REASONS, Overview, legend, overview
from xaibench.report.single_cells import marked
from xaibench.report.standings import rank_sentence, standings_rows

_STATES = {"all": "all", "most": "some", "few": "some", "none": "none", "untested": ""}
SHADES = 5
"""Steps of the background of a relative rank: 0 is best."""


@dataclass(frozen=True)
class MatrixCell:
    """A cell of the matrix: its text, a second line, the shade of its background, and whether placebos were beaten."""

    text: str = ""
    below: str = ""
    shade: int | None = None
    state: str = ""


@dataclass(frozen=True)
class MatrixColumn:
    """A column of the matrix: a metric."""

    family: str
    label: str
    note: str
    entries: dict[tuple[str, str], MatrixCell]


@dataclass(frozen=True)
class Summary:
    """One suite. ``counts`` are shown as they are; the rest is what the page says about them."""

    suite: str
    counts: dict[str, int]
    samples: str
    view: Overview
    advice: list[AdviceGroup]
    opening: str
    remarks: list[str]
    rank_sentence: str
    standings: tuple[tuple[str, ...], list[tuple[str, ...]]]
    measures: list[MatrixColumn]
    legend: list[str]
    found: Validity

    @property
    def any_partly(self) -> bool:
        """Whether the matrix marks any number as one over fewer problems."""
        return any(e.text.endswith("~") for c in self.measures for e in c.entries.values())


def summarise(board: pd.DataFrame, advice: Advice | None = None) -> Summary:
    """Condense the leaderboard of one suite; ``advice`` is what it advises, by default from the board alone."""
    advice = advise(board) if advice is None else advice
    found, size = board_summary(board), extent(board)
    view = overview(board, found)
    low, high = size.least_samples, size.most_samples
    return Summary(
        str(board["suite"].iloc[0]),
        {"problems": size.problems, "explainers": size.explainers, "metrics": size.metrics, "cells": size.cells},
        str(low) if low == high else f"{low} to {high}",
        view,
        advice_groups(advice, board),
        opening_sentence(advice),
        [text for text in (unknown_sentence(advice), scope_sentence(advice.scope)) if text],
        rank_sentence(view.ground, len(view.explainers), view.n_problems),
        standings_rows(view),
        _measures(board, found.ranks, single=view.single),
        legend(view, page=True),
        validity(board),
    )


def _measures(board: pd.DataFrame, ranks: pd.DataFrame, *, single: bool) -> list[MatrixColumn]:
    """Columns of the matrix, families in their usual order."""
    labels = metric_labels(board)
    place = {family: i for i, family in enumerate(METRIC_FAMILIES)}
    kinds = ranks.loc[ranks["family"] == "ground_truth", "truth_kind"].nunique()
    values = _single_values(board) if single else {}
    columns = []
    for key, group in ranks.groupby(MEASURE, sort=False):
        family, truth, metric, params, output = map(str, key)
        entries = {}
        for row in group.to_dict("records"):
            name = (row["explainer"], row["explainer_params"])
            entries[name] = _entry(row, values.get((name, metric, params, output)))
        note = f"truth: {truth}" if truth and kinds > 1 else ""
        columns.append(
            MatrixColumn(family.replace("_", " "), marked(labels[metric, params, output], params), note, entries)
        )
    order = [family.replace("_", " ") for family in METRIC_FAMILIES]
    return sorted(columns, key=lambda c: (place.get(c.family.replace(" ", "_"), len(order)), c.family, c.label))


def _single_values(board: pd.DataFrame) -> dict[Any, str]:
    """Values by explainer and metric where a board is of one problem."""
    rows = board[board["value"].notna()]
    keys = zip(rows["explainer"], rows["explainer_params"], strict=True)
    where = zip(rows["metric"], rows["params"], rows["asked_output"], strict=True)
    return {(k, *w): number(v) for k, w, v in zip(keys, where, rows["value"], strict=True)}


def _entry(row: dict[Any, Any], value: str | None) -> MatrixCell:
    if row["gap"] is not None:
        return MatrixCell(value or REASONS[row["gap"]], state="gap")
    relative, tested = float(row["relative_rank"]), row["n_tested"]
    partly = "~" if row["partly"] and not row["control"] else ""
    return MatrixCell(
        value or f"{share(relative)}{partly}",
        f"{row['n_beats']}/{tested}" if tested else "",
        min(int(relative * SHADES), SHADES - 1),
        _STATES[row["record"]],
    )
