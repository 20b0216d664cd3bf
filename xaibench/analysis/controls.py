"""Comparison with the controls: skill, and whether an explanation beats every placebo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xaibench.analysis import stats
from xaibench.analysis.samples import Samples

Array = np.ndarray[Any, Any]
ORACLE, RANDOM = "oracle", "random"
TESTED_FAMILIES = frozenset({"faithfulness", "ground_truth", "axiomatic"})
"""Families in which a placebo should lose. A constant map is perfectly robust, sparse maps are
simple: elsewhere beating a placebo means nothing, and losing against one neither."""
MIN_RANDOM_DRAWS = 10
MIN_DEFINED = 0.5
"""Share of the samples of a problem seed that any explainer has a defined score on, below which an
explainer is neither ranked nor tested, nor a placebo: it would be judged on samples, or on trained
models, of its own choosing."""
N_RESAMPLES = 2000
LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
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
    """

    skill: Array
    skill_low: Array
    skill_high: Array
    placebo: int | None
    tested: tuple[int, ...]
    p: Array
    beats: Array


def defined_enough(samples: Samples) -> Array:
    """Whether each explainer is defined on enough of the samples that any is defined on, per problem seed (E, K).

    A seed on which nothing is defined for anyone is no reason against anyone.
    """
    known = np.isfinite(samples.scores)
    enough = np.ones(samples.draws.shape, dtype=bool)
    for k, columns in enumerate(samples.seeds):
        here = known[:, columns]
        enough[:, k] = here.sum(axis=1) >= MIN_DEFINED * here.any(axis=0).sum()
    return enough


def compare(
    samples: Samples,
    value: Array,
    names: Array,
    control: Array,
    eligible: Array,
    *,
    higher_is_better: bool,
    family: str,
    skill_valid: bool,
    weights: Array,
) -> Comparison:
    """Compare every explainer of one (problem, metric) with its controls.

    Parameters
    ----------
    samples : Samples
    value : array (E,)
        The aggregates that the board shows.
    names : array (E,) of str
    control : array (E,) of bool
    eligible : array (E,) of bool
        Complete, and defined on enough samples: may be tested or be a placebo.
    higher_is_better : bool
    family : str
    skill_valid : bool
    weights : array (B, U)
        Bootstrap resamples of the samples, for one problem seed.
    """
    sign = 1.0 if higher_is_better else -1.0
    missing = np.full(len(names), np.nan)
    skill = (missing, missing, missing)
    if skill_valid and not samples.median:
        skill = _skill(samples, names, control, sign, weights)
    placebos = np.flatnonzero(control & (names != ORACLE) & eligible & np.isfinite(value))
    best = int(placebos[np.argmax(sign * value[placebos])]) if len(placebos) else None
    p, least, beats = missing.copy(), missing.copy(), missing.copy()
    if best is None or family not in TESTED_FAMILIES:
        return Comparison(*skill, best, (), p, beats)
    # Where the oracle is the best answer by definition, its own test says whether the measure can tell.
    own = (names == ORACLE) if skill_valid or family == "ground_truth" else np.zeros(len(names), dtype=bool)
    candidates = eligible & (~control | own) & np.isfinite(value)
    rows = np.flatnonzero(candidates)
    if len(rows):
        p[rows], least[rows] = _intersection_union(samples, rows, placebos, sign)
    # Holm never lowers a p when another rises, so of the least p values it makes the least that data could reach.
    for values in (p, least):
        values[~control] = stats.holm(values[~control])
    known = least < LEVEL
    rounded = sign * stats.significant(value)
    ahead = rounded > rounded[best]
    beats[known] = ((p < LEVEL) & ahead)[known]
    return Comparison(*skill, best, tuple(placebos.tolist()), p, beats)


def _intersection_union(samples: Samples, rows: Array, placebos: Array, sign: float) -> tuple[Array, Array]:
    """Largest p over all placebos and problem seeds: it is small only if every one of them is beaten.

    Beside it the least that it could have been, 2^-n of the fewest pairs n, whatever the scores.

    The maximum needs no correction (Berger 1982). Where an explainer and a placebo have no sample of
    a seed in common there is no p-value, unless nobody has a defined score on that seed.
    """
    p, least = np.zeros(len(rows)), np.zeros(len(rows))
    for columns in samples.seeds:
        if not np.isfinite(samples.scores[:, columns]).any():
            continue
        first = samples.first[:, columns]
        differences = sign * _differences(first[rows][:, None], first[placebos][None], log10=samples.median)
        each = stats.signed_rank(differences.reshape(-1, differences.shape[-1])).reshape(len(rows), len(placebos))
        p = np.maximum(p, each.max(axis=1))
        least = np.maximum(least, 0.5 ** np.isfinite(differences).sum(axis=-1).min(axis=1))
    return p, np.where(np.isfinite(p), least, np.nan)


def _differences(a: Array, b: Array, *, log10: bool) -> Array:
    """Paired differences (..., n) of scores, 0 where they vanish in the digits that ranks are made of.

    The digits are those of the larger of the two scores, and of the typical one where both are
    smaller: a shift in the last bit stays one where scores pass through 0. Nor does the rounding
    error of a logarithm shrink with it, so logarithms count as 1 at least.
    """
    size = np.maximum(np.abs(a), np.abs(b))
    typical = np.maximum(stats.median(size), 1.0) if log10 else stats.median(size)
    differences: Array = a - b
    vanish = np.abs(differences) < stats.last_digit(np.maximum(size, typical[..., None])) / 2
    return np.where(vanish, 0.0, differences)


def _skill(samples: Samples, names: Array, control: Array, sign: float, weights: Array) -> tuple[Array, Array, Array]:
    """(score - random) / (oracle - random) on the samples where all three are defined, with its interval."""
    missing = np.full(len(names), np.nan)
    found = [np.flatnonzero(control & (names == name)) for name in (ORACLE, RANDOM)]
    if any(len(f) == 0 for f in found):
        return missing, missing, missing
    oracle, random = (int(f[0]) for f in found)
    if (samples.draws[random] < MIN_RANDOM_DRAWS).any():
        return missing, missing, missing
    scores = samples.scores
    span = scores[oracle] - scores[random]
    if not _valid(samples, sign * span, weights):
        return missing, missing, missing
    above = scores - scores[random]
    below = np.where(np.isfinite(above), span, np.nan)
    above = np.where(np.isfinite(below), above, np.nan)
    if len(samples.seeds) > 1:
        skill, low, high = stats.ratio_t_interval(samples.per_seed(above), samples.per_seed(below))
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            skill = stats.mean(above) / stats.mean(below)
        low, high = stats.ratio_interval(above, below, weights)
    fixed = np.isin(np.arange(len(names)), (oracle, random))
    return skill, np.where(fixed, np.nan, low), np.where(fixed, np.nan, high)


def _valid(samples: Samples, span: Array, weights: Array) -> bool:
    """Whether the 95 % interval of the mean of ``span`` (U,) lies above 0."""
    row = span[None]
    if len(samples.seeds) > 1:
        low, _ = stats.t_interval(samples.per_seed(row))
    else:
        low, _ = stats.ratio_interval(row, np.where(np.isfinite(row), 1.0, np.nan), weights)
    return bool(low[0] > 0)
