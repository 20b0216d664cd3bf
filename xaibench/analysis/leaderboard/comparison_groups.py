"""From result rows to comparison groups: the scores of all explainers with one metric on one problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import CELL_SEEDS, COMPARISON_GROUP, ENTRY, METRIC_FAMILIES, PROBLEM, SCORED
from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix, stack_cells, unique_names
from xaibench.core.types import Array


def sorted_cells(results: pd.DataFrame) -> pd.DataFrame:
    """Cells in the order of the board: comparison groups together, explainers before controls."""
    by = [*PROBLEM, "family", "metric", "params", "asked_output", "control", *ENTRY, *CELL_SEEDS]
    order = {family: f"{i}" for i, family in enumerate(METRIC_FAMILIES)}
    # Not ``output``, what was measured: a cell without a result has none and belongs to the same entry.
    asked = results.get("asked_output", pd.Series(None, results.index, dtype=object))
    cells = results.assign(asked_output=asked.where(asked.notna(), "").astype(str)).sort_values(
        by, key=lambda s: s.map(order).fillna(s) if s.name == "family" else s, kind="stable", ignore_index=True
    )
    twice = cells.duplicated([*COMPARISON_GROUP, *ENTRY, *CELL_SEEDS])
    if twice.any():
        row = cells[twice].iloc[0]
        raise ValueError(f"two results for one cell: {row.explainer}, {row.metric} on {row.dataset}/{row.model}")
    return cells


def stacked(
    cells: pd.DataFrame, group_of: Array, entry_of: Array, log10: Sequence[bool]
) -> Iterator[tuple[int, int, Array, slice, ScoreMatrix]]:
    """Stack the scores of every comparison group.

    Parameters
    ----------
    cells : DataFrame
        From `sorted_cells`.
    group_of, entry_of : array (cells,) of int
        Number of the comparison group and of the board's row, rising.
    log10 : sequence of bool
        By comparison group: take log10 of the scores and aggregate by the median.

    Yields
    ------
    start, stop : int
        The cells of the comparison group.
    rows : array of int
        Those with scores, by problem seed.
    at : slice
        The rows of the board.
    samples : ScoreMatrix
    """
    scored = np.isin(cells["status"].to_numpy(), SCORED)
    scores, names = cells["scores"].to_numpy(), _names(cells, scored)
    problem_seed, repeat = cells["problem_seed"].to_numpy(np.int64), cells["repeat"].to_numpy(np.int64)
    cuts = np.flatnonzero(np.diff(group_of, prepend=-1))
    for start, stop, log in zip(cuts.tolist(), [*cuts[1:].tolist(), len(cells)], log10, strict=True):
        rows = np.flatnonzero(scored[start:stop]) + start
        at = slice(int(entry_of[start]), int(entry_of[stop - 1]) + 1)
        # Stacking wants cells by problem seed first; they come by explainer.
        rows = rows[np.lexsort((rows, problem_seed[rows]))]
        samples = stack_cells(
            [scores[r] for r in rows], [names[r] for r in rows], entry_of[rows] - at.start, problem_seed[rows],
            repeat[rows], at.stop - at.start, log10=log,
        )  # fmt: skip
        yield start, stop, rows, at, samples


def _names(cells: pd.DataFrame, scored: Array) -> list[tuple[Any, ...]]:
    """Sample names of every cell, one tuple object for all cells with the same names."""
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    names: list[tuple[Any, ...]] = []
    for ids, scores, wanted in zip(cells["sample_ids"], cells["scores"], scored, strict=True):
        if not wanted:
            names.append(())
            continue
        n = len(scores)
        raw = (n, *(() if ids is None else ids.tolist() if isinstance(ids, np.ndarray) else ids))
        if raw not in known:
            known[raw] = unique_names(raw[1:], n)
        names.append(known[raw])
    return names
