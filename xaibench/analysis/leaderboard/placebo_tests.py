"""Comparison with the controls: skill, and whether an explanation beats every placebo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xaibench.analysis.leaderboard.paired_tests import paired_tests
from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix
from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.levels import ALPHA
from xaibench.core.components import ORACLE, RANDOM
from xaibench.core.types import Array

TESTED_FAMILIES = frozenset({"faithfulness", "ground_truth", "axiomatic"})
"""Families in which a placebo should lose. A constant map is perfectly robust, sparse maps are
simple: elsewhere beating a placebo means nothing, and losing against one neither."""
MIN_RANDOM_DRAWS = 10
MIN_DEFINED = 0.5
"""Share of the samples of a problem seed that any explainer has a defined score on, below which an
explainer is neither ranked nor tested, nor a placebo: it would be judged on samples, or on trained
models, of its own choosing."""


@dataclass(frozen=True)
class PlaceboTests:
    """What the controls say about E explainers; every array is (E,).

    Attributes
    ----------
    skill, skill_low, skill_high : array of float
    placebo : int or None
        Index of the best placebo, by value.
    tested : tuple of int
        The placebos that the test is against.
    p : array of float
        Holm-adjusted p-value; NaN where the test does not apply.
    beats : array of float
        1, 0, or NaN where the test does not apply, or where its pairs are so few that no scores could pass it.
    p_loses, loses : array of float
        The same for the opposite: worse than some placebo on every trained model.
    p_alone, p_loses_alone : array of float
        The p-values before Holm's correction: those of an explainer that is tested alone.
    effect : array of float
        Rank-biserial correlation of the differences to the best placebo, positive where better.
    """

    skill: Array
    skill_low: Array
    skill_high: Array
    placebo: int | None
    tested: tuple[int, ...]
    p: Array
    beats: Array
    p_loses: Array
    loses: Array
    p_alone: Array
    p_loses_alone: Array
    effect: Array


def defined_enough(samples: ScoreMatrix) -> Array:
    """Whether each explainer is defined on enough of the samples that any is defined on, per problem seed (E, K).

    A seed on which no explainer has a defined score counts against none of them.
    """
    known = np.isfinite(samples.scores)
    enough = np.ones(samples.draws.shape, dtype=bool)
    for k, columns in enumerate(samples.seeds):
        here = known[:, columns]
        enough[:, k] = here.sum(axis=1) >= MIN_DEFINED * here.any(axis=0).sum()
    return enough


def compare_with_placebos(
    samples: ScoreMatrix,
    value: Array,
    names: Array,
    control: Array,
    eligible: Array,
    *,
    higher_is_better: bool,
    family: str,
    skill_valid: bool,
    best_possible: float = np.nan,
) -> PlaceboTests:
    """Compare every explainer of one (problem, metric) with its controls.

    Parameters
    ----------
    samples : ScoreMatrix
    value : array (E,)
        The aggregates that the board shows.
    names : array (E,) of str
    control : array (E,) of bool
    eligible : array (E,) of bool
        Complete, and defined on enough samples: may be tested or be a placebo.
    higher_is_better : bool
    family : str
    skill_valid : bool
    best_possible : float
        The best score that the metric can give, NaN where there is none. Where a placebo has it on every sample and no
        oracle says whether the measure can tell, nothing is tested: there a map that explains nothing is the best one.
    """
    sign = 1.0 if higher_is_better else -1.0
    missing = np.full(len(names), np.nan)
    skill = (missing, missing, missing)
    if skill_valid and not samples.median:
        skill = _skill(samples, names, control, eligible, sign)
    placebos = np.flatnonzero(control & (names != ORACLE) & eligible & np.isfinite(value))
    best = int(placebos[np.argmax(sign * value[placebos])]) if len(placebos) else None
    p, least, beats, worse, loses, effect = (missing.copy() for _ in range(6))
    if best is None or family not in TESTED_FAMILIES:
        return PlaceboTests(*skill, best, (), p, beats, worse, loses, p, worse, effect)
    # Where the oracle is the best answer by definition, its own test says whether the measure can tell.
    own = (names == ORACLE) if skill_valid or family == "ground_truth" else np.zeros(len(names), dtype=bool)
    candidates = eligible & (~control | own) & np.isfinite(value)
    if not (candidates & own).any() and _is_perfect(samples.scores[placebos], best_possible):
        return PlaceboTests(*skill, best, (), p, beats, worse, loses, p, worse, effect)
    rows = np.flatnonzero(candidates)
    if len(rows):
        first = int(np.flatnonzero(placebos == best)[0])
        p[rows], least[rows], worse[rows], effect[rows] = _against(
            samples, rows, placebos, first, higher_is_better=higher_is_better
        )
    p_alone, worse_alone = p.copy(), worse.copy()
    # Holm never lowers a p when another rises, so of the least p values it makes the least that data could reach.
    for values in (p, least, worse):
        values[~control] = intervals.holm(values[~control])
    known = least < ALPHA
    lead = sign * (intervals.significant(value) - intervals.significant(value)[best])
    beats[known] = ((p < ALPHA) & (lead > 0))[known]
    loses[known] = ((worse < ALPHA) & (lead < 0))[known]
    return PlaceboTests(*skill, best, tuple(placebos.tolist()), p, beats, worse, loses, p_alone, worse_alone, effect)


def _is_perfect(scores: Array, best_possible: float) -> bool:
    """Whether some row of scores (P, U) is the best possible one wherever it is defined."""
    known = np.isfinite(scores)
    at_best = np.abs(scores - best_possible) <= intervals.last_digit(np.maximum(np.abs(best_possible), 1.0))
    return bool(((at_best | ~known).all(axis=1) & known.any(axis=1)).any())


def _against(
    samples: ScoreMatrix, rows: Array, placebos: Array, best: int, *, higher_is_better: bool
) -> tuple[Array, Array, Array, Array]:
    """Tests of every explainer against every placebo.

    Returns
    -------
    p : array (R,)
        Of "beats every placebo on every problem seed": the largest, which needs no correction (Berger
        1982). Where an explainer and a placebo have no sample of a seed in common there is none,
        unless no explainer has a defined score on that seed.
    least : array (R,)
        What ``p`` could have been at least: 2^-n of the fewest pairs n, whatever the scores.
    worse : array (R,)
        Of "loses to some placebo on every problem seed": the largest over the seeds, of that the
        smallest over the placebos times their number (Bonferroni).
    effect : array (R,)
        Against the placebo number ``best``, mean over the seeds.
    """
    shape = (len(rows), len(placebos))
    above, below, least = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    effects = []
    left, right = (side.ravel() for side in np.meshgrid(rows, placebos, indexing="ij"))
    for columns in samples.seeds:
        if not np.isfinite(samples.scores[:, columns]).any():
            continue
        test = paired_tests(
            samples.first[:, columns], samples.rounding[:, columns], left, right,
            higher_is_better=higher_is_better, median=samples.median,
        )  # fmt: skip
        above = np.maximum(above, test.above.reshape(shape))
        below = np.maximum(below, test.below.reshape(shape))
        least = np.maximum(least, 0.5 ** test.n.reshape(shape))
        effects.append(test.effect.reshape(shape)[:, best])
    p = above.max(axis=1)
    worse = np.minimum(below.min(axis=1) * len(placebos), 1.0)
    effect = np.mean(effects, axis=0) if effects else np.full(len(rows), np.nan)
    return p, np.where(np.isfinite(p), least.max(axis=1), np.nan), worse, effect


def _skill(
    samples: ScoreMatrix, names: Array, control: Array, eligible: Array, sign: float
) -> tuple[Array, Array, Array]:
    """(score - random) / (oracle - random) on the samples where all three are defined, with its interval.

    NaN for explainers that are not eligible, and where the oracle is not shown to be better than random
    on these very samples: a ratio to a span of about 0 can have any value.
    """
    missing = np.full(len(names), np.nan)
    found = [np.flatnonzero(control & (names == name)) for name in (ORACLE, RANDOM)]
    if any(len(f) == 0 for f in found):
        return missing, missing, missing
    oracle, random = (int(f[0]) for f in found)
    if (samples.draws[random] < MIN_RANDOM_DRAWS).any():
        return missing, missing, missing
    scores = samples.scores
    span = scores[oracle] - scores[random]
    above = scores - scores[random]
    below = np.where(np.isfinite(above), span, np.nan)
    above = np.where(np.isfinite(below), above, np.nan)
    spans = _units(samples, below)
    skill, low, high = intervals.ratio_interval(_units(samples, above), spans)
    shown = eligible & _above_zero(sign * spans)
    bounded = shown & ~np.isin(np.arange(len(names)), (oracle, random))
    return np.where(shown, skill, np.nan), np.where(bounded, low, np.nan), np.where(bounded, high, np.nan)


def _above_zero(values: Array) -> Array:
    """Whether the 95 % interval of the mean of values (E, n) lies above 0; of equal ones, whether enough do."""
    least, most = np.fmin.reduce(values, axis=1, initial=np.nan), np.fmax.reduce(values, axis=1, initial=np.nan)
    enough = 0.5 ** (np.isfinite(values).sum(axis=1) - 1.0) < ALPHA
    result: Array = np.where(least == most, (least > 0) & enough, intervals.mean_interval(values)[0] > 0)
    return result


def _units(samples: ScoreMatrix, scores: Array) -> Array:
    """What an interval is over: the samples of one problem seed, or the means of several."""
    return samples.per_seed(scores) if len(samples.seeds) > 1 else scores
