"""From cells to matrices: one row per explainer, one column per sample, draws averaged."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xaibench.analysis.statistics import intervals
from xaibench.core.types import Array

FLOOR = 1e-12
"""Heavy-tailed scores below this count as this before the logarithm is taken."""


@dataclass(frozen=True)
class ScoreMatrix:
    """Scores of E explainers with one metric on the U samples of one problem.

    Several problem seeds are several trained models; their samples stand one after the other.

    Attributes
    ----------
    scores : array (E, U)
        Mean over the draws (seeds and repeats) in which the score is defined; log10 of the scores
        where the metric aggregates so. NaN where the explainer has no defined score.
    first : array (E, U)
        The same over the first repeat only. A test against the random control uses it: the mean of
        ten draws has another distribution than one draw, one draw has that of any other noise.
    scored, partly : array (E, U) of bool
        Whether a cell with this sample is there; whether it is defined in some draws, not in others.
    bounds : array (K + 1,)
        Columns of problem seed k: ``bounds[k]:bounds[k + 1]``.
    draws : array (E, K)
        Number of draws behind each explainer's scores.
    median : bool
        Aggregate as a median, not as a mean.
    """

    scores: Array
    first: Array
    scored: Array
    partly: Array
    bounds: Array
    draws: Array
    median: bool

    @property
    def seeds(self) -> list[slice]:
        """Columns of every problem seed."""
        return [slice(a, b) for a, b in itertools.pairwise(self.bounds.tolist())]

    @cached_property
    def rounding(self) -> Array:
        """Differences of ``scores`` and ``first`` below this are rounding errors (E, U).

        Half a unit in the last of the digits that ranks are made of: of a score, and of the typical one
        of the explainer on this seed where that is larger, so that a shift in the last bit stays one where
        scores pass through 0. Nor does the rounding error of a logarithm shrink with it, so logarithms
        count as 1 at least.
        """
        size = np.abs(self.scores)
        for columns in self.seeds:
            typical = intervals.median(size[:, columns])
            typical = np.maximum(typical, 1.0) if self.median else typical
            size[:, columns] = np.fmax(size[:, columns], typical[:, None])
        return intervals.last_digit(size) / 2

    def per_seed(self, scores: Array) -> Array:
        """Aggregate of each problem seed, (E, K)."""
        centre = intervals.median if self.median else intervals.nanmean
        return np.stack([centre(scores[:, columns]) for columns in self.seeds], axis=1)

    def aggregate(self) -> tuple[Array, Array, Array]:
        """Value and 95 % interval (E,) each.

        With one problem seed over its samples: Student's t corrected for skew for a mean, order
        statistics for a median. With several, the former over the aggregates of the seeds, whose mean
        the value is.
        """
        if len(self.seeds) > 1:
            values = self.per_seed(self.scores)
            return intervals.nanmean(values), *intervals.mean_interval(values)
        if self.median:
            return intervals.median(self.scores), *intervals.median_interval(self.scores)
        return intervals.nanmean(self.scores), *intervals.mean_interval(self.scores)


def paired(scores: Array, rounding: Array, left: Array, right: Array) -> Array:
    """Differences (P, n) of the rows ``left`` and ``right`` of scores (E, n), 0 where they are rounding errors."""
    differences: Array = scores[left] - scores[right]
    differences[np.abs(differences) < np.fmax(rounding[left], rounding[right])] = 0.0
    return differences


def stack_cells(
    scores: Sequence[Any],
    names: Sequence[tuple[Any, ...]],
    explainers: Array,
    seeds: Array,
    repeats: Array,
    n_explainers: int,
    *,
    log10: bool,
) -> ScoreMatrix:
    """Stack the cells of one (problem, metric), sorted by problem seed, then by explainer.

    Parameters
    ----------
    scores : sequence of array (n,)
        Per-sample scores of every cell.
    names : sequence of tuple
        Their samples, unique within a cell.
    explainers, seeds, repeats : array (cells,) of int
    n_explainers : int
    log10 : bool
        Take log10 of the scores and aggregate by the median.
    """
    cuts = [0, *(np.flatnonzero(np.diff(seeds)) + 1).tolist(), len(seeds)]
    blocks = []
    for a, b in itertools.pairwise(cuts):
        if a == b:
            continue
        block = _align(scores[a:b], names[a:b])
        block[0][~np.isfinite(block[0])] = np.nan
        if log10:
            block[0][:] = np.log10(np.maximum(block[0], FLOOR))
        blocks.append(_average(*block, explainers[a:b], repeats[a:b], n_explainers))
    if not blocks:
        empty = np.empty((n_explainers, 0))
        return ScoreMatrix(empty, empty, empty > 0, empty > 0, np.array([0]), np.empty((n_explainers, 0), int), log10)
    averages, firsts, scored, partly, draws = zip(*blocks, strict=True)
    return ScoreMatrix(
        np.concatenate(averages, axis=1),
        np.concatenate(firsts, axis=1),
        np.concatenate(scored, axis=1),
        np.concatenate(partly, axis=1),
        np.cumsum([0, *(block.shape[1] for block in averages)]),
        np.stack(draws, axis=1),
        log10,
    )


def unique_names(sample_ids: Any, n: int) -> tuple[Any, ...]:
    """Names of a cell's samples, equal data rows distinguished by their order; positions where none are given.

    Raises
    ------
    ValueError
        If there are names, but not one for every score.
    """
    ids = [] if sample_ids is None else list(sample_ids)
    if not ids:
        return tuple(range(n))
    if len(ids) != n:
        raise ValueError(f"a cell has {n} scores and {len(ids)} sample ids")
    if len(set(ids)) == n:
        return tuple(ids)
    seen: dict[Any, int] = {}
    numbered = []
    for name in ids:
        seen[name] = seen.get(name, 0) + 1
        numbered.append((name, seen[name]))
    return tuple(numbered)


def _align(scores: Sequence[Any], names: Sequence[tuple[Any, ...]]) -> tuple[Array, Array]:
    """Matrix (cells, U) of scores and whether each was given, columns matched by name."""
    if all(n is names[0] for n in names):
        matrix = np.array([np.asarray(s, dtype=np.float64) for s in scores])
        return matrix, np.ones(matrix.shape, dtype=bool)
    union = {name: i for i, name in enumerate(dict.fromkeys(x for row in names for x in row))}
    matrix = np.full((len(scores), len(union)), np.nan)
    given = np.zeros(matrix.shape, dtype=bool)
    for row, (values, known) in enumerate(zip(scores, names, strict=True)):
        columns = [union[name] for name in known]
        matrix[row, columns] = values
        given[row, columns] = True
    return matrix, given


def _average(
    matrix: Array, given: Array, explainers: Array, repeats: Array, n_explainers: int
) -> tuple[Array, Array, Array, Array, Array]:
    """Average the cells of each explainer over its draws: scores, first repeat, scored, partly, draws."""
    starts = np.flatnonzero(np.diff(explainers, prepend=-1))
    present = explainers[starts]
    known = np.isfinite(matrix)
    lowest = np.minimum.reduceat(repeats, starts)[np.searchsorted(starts, np.arange(len(repeats)), side="right") - 1]

    def total(values: Array) -> Array:
        return np.add.reduceat(values, starts, axis=0)

    def averaged(mask: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return total(np.where(mask, matrix, 0.0)) / total(mask.astype(np.float64))

    def first_repeat() -> Array:
        mask = repeats == lowest
        if np.count_nonzero(mask) == len(starts):  # one cell each, which needs no average
            alone: Array = matrix[mask]
            return alone
        return averaged(known & mask[:, None])

    counts = total(known.astype(np.int64))
    rows = total(given.astype(np.int64))
    shape = (n_explainers, matrix.shape[1])
    scores, first = np.full(shape, np.nan), np.full(shape, np.nan)
    scored, partly = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    draws = np.zeros(n_explainers, dtype=np.int64)
    scores[present] = averaged(known)
    first[present] = first_repeat()
    scored[present] = rows > 0
    partly[present] = (counts > 0) & (counts < rows)
    draws[present] = np.diff(np.append(starts, len(explainers)))
    return scores, first, scored, partly, draws
