"""What two runs share: their common samples and trainings, aligned, as changes of one score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP
from xaibench.analysis.leaderboard.score_matrix import unique_names
from xaibench.analysis.regressions.cell_matching import KEY
from xaibench.analysis.regressions.tolerances import ATOL, RTOL
from xaibench.analysis.statistics.intervals import nanmean
from xaibench.core.types import Array


@dataclass(frozen=True)
class _Units:
    """Independent units of all entries: samples, or trainings.

    Attributes
    ----------
    entry : array (U,) of int
    old, new : array (U,)
        Scores in the units in which they are compared, NaN where either side has none.
    change : array (U,)
        Candidate less baseline, 0 within rounding, NaN where either side has no score.
    lost : array (U,)
        Share of scores that became undefined, less those that became defined.
    touched : array (U,)
        Share of draws that changed beyond rounding.
    """

    entry: Array
    old: Array
    new: Array
    change: Array
    lost: Array
    touched: Array


def _roundings(cells: pd.DataFrame, baseline: pd.DataFrame, unit: Array) -> Array:
    """Absolute differences that may be rounding, by cell (C,).

    `ATOL`; of scores that have the unit of an output below 1 that share of the largest mean absolute score
    that any explainer has with this metric on this problem: 1e-5 may be the whole of it.
    """
    sizes = np.full(len(cells), 1.0)
    if unit.any():
        rows = baseline["scores"].to_numpy()[cells["b"].to_numpy()[unit]]
        own = [float(nanmean(np.abs(np.asarray(row, dtype=np.float64)))) for row in rows]
        group = cells.loc[unit, COMPARISON_GROUP].groupby(COMPARISON_GROUP, sort=False, dropna=False).ngroup()
        largest = pd.Series(own).groupby(group.to_numpy()).transform("max").to_numpy()
        sizes[unit] = np.fmin(largest, 1.0)
    return ATOL * sizes


def _samples(cells: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame, roundings: Array) -> _Units:
    """Samples of entries with equal weights, their draws averaged."""
    sides = [(side["scores"].to_numpy(), side["sample_ids"].to_numpy()) for side in (baseline, candidate)]
    known: dict[tuple[int, Any], int] = {}
    numbered: dict[tuple[int, tuple[Any, ...]], Array] = {}
    old, new, unit = [], [], []
    for b, c, number in zip(cells["b"], cells["c"], cells["problem_seed"], strict=True):
        scores, names = _aligned(*((side[0][at], side[1][at]) for side, at in zip(sides, (b, c), strict=True)))
        place = (int(number), names)
        if place not in numbered:
            numbered[place] = np.array(
                [known.setdefault((place[0], name), len(known)) for name in names], dtype=np.int64
            )
        old.append(scores[0])
        new.append(scores[1])
        unit.append(numbered[place])
    sizes = [len(part) for part in unit]
    facts = (_entries(cells), cells["aggregate"] == "median_log10", roundings)
    entry, log10, rounding = (np.repeat(column, sizes) for column in facts)
    changes = _changes(np.concatenate(old), np.concatenate(new), log10, rounding)
    return _averaged(entry, np.concatenate(unit), *changes)


def _entries(cells: pd.DataFrame) -> Array:
    numbers: Array = cells.groupby(KEY, sort=False, dropna=False).ngroup().to_numpy()
    return numbers


def _aligned(old: tuple[Any, Any], new: tuple[Any, Any]) -> tuple[tuple[Array, Array], tuple[Any, ...]]:
    """Scores of both sides on the samples of the baseline, NaN where the candidate lacks one, and their names."""
    scores = [np.asarray(side[0], dtype=np.float64) for side in (old, new)]
    names = [unique_names(side[1], len(values)) for side, values in zip((old, new), scores, strict=True)]
    if names[0] == names[1]:
        return (scores[0], scores[1]), names[0]
    where = {name: i for i, name in enumerate(names[1])}
    places = np.array([where.get(name, -1) for name in names[0]], dtype=np.int64)
    found = np.append(scores[1], np.nan)[places]
    return (scores[0], found), names[0]


def _changes(old: Array, new: Array, log10: Array, rounding: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Columns of `_Units` from raw scores."""
    old, new = (np.where(np.isfinite(side), side, np.nan) for side in (old, new))
    lost = np.isnan(new).astype(np.float64) - np.isnan(old)
    equal = np.abs(new - old) <= rounding + RTOL * np.abs(old)
    old, new = (np.where(log10, np.log10(np.maximum(side, ATOL)), side) for side in (old, new))
    change = np.where(equal, 0.0, new - old)
    nowhere = np.isnan(change)
    old, new = (np.where(nowhere, np.nan, side) for side in (old, new))
    return old, new, change, lost, ((change != 0) & ~nowhere) | (lost != 0)


def _trainings(cells: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame, roundings: Array) -> _Units:
    """Retrained models of entries: the mean score of each, draws averaged."""
    log10 = (cells["aggregate"] == "median_log10").to_numpy()
    values: list[Array] = []
    undefined: list[Array] = []
    expected = np.empty(0)
    for side, at in ((baseline, cells["b"]), (candidate, cells["c"])):
        rows = [np.asarray(scores, dtype=np.float64) for scores in side["scores"].to_numpy()[at.to_numpy()]]
        sizes = [len(row) for row in rows]
        cell, flat = np.repeat(np.arange(len(rows)), sizes), np.concatenate(rows)
        flat = np.where(np.repeat(log10, sizes), np.log10(np.maximum(flat, ATOL)), flat)
        values.append(_mean_by(cell, flat, len(rows)))
        # Samples that the candidate lacks count as undefined.
        expected = expected if undefined else np.array(sizes, dtype=np.float64)
        undefined.append(1 - np.minimum(np.bincount(cell, np.isfinite(flat), len(rows)), expected) / expected)
    change = values[1] - values[0]
    change = np.where(np.abs(change) <= roundings + RTOL * np.abs(values[0]), 0.0, change)
    lost = undefined[1] - undefined[0]
    return _averaged(
        _entries(cells), cells["problem_seed"].to_numpy(np.int64), *values, change, lost, (change != 0) | (lost != 0)
    )


def _averaged(entry: Array, unit: Array, *columns: Array) -> _Units:
    """Average draws of the same unit; those that are not defined are left out."""
    group, where = np.unique(entry * (unit.max(initial=0) + 1) + unit, return_inverse=True)
    means = []
    for column in columns:
        known = np.isfinite(column)
        total = np.bincount(where, np.where(known, column, 0.0), len(group))
        with np.errstate(invalid="ignore"):
            means.append(total / np.bincount(where, known, len(group)))
    return _Units(group // (unit.max(initial=0) + 1), *means)


def _mean_by(entry: Array, values: Array, size: int) -> Array:
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        found: Array = np.bincount(entry, np.where(known, values, 0.0), size) / np.bincount(entry, known, size)
    return found
