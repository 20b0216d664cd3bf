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
"""Share of the samples that any explainer has a defined score on, below which an explainer is
neither ranked nor tested, nor a placebo: it would be judged on samples of its own choosing."""
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
        1, 0, or NaN where the test does not apply.
    """

    skill: Array
    skill_low: Array
    skill_high: Array
    placebo: int | None
    tested: tuple[int, ...]
    p: Array
    beats: Array


def defined_enough(samples: Samples) -> Array:
    """Whether each explainer is defined on enough of the samples that any explainer is defined on (E,)."""
    known = np.isfinite(samples.scores)
    enough: Array = known.sum(axis=1) >= np.maximum(MIN_DEFINED * known.any(axis=0).sum(), 1)
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
    p, beats = missing.copy(), missing.copy()
    if best is None or family not in TESTED_FAMILIES:
        return Comparison(*skill, best, (), p, beats)
    # Where the oracle is the best answer by definition, its own test says whether the measure can tell.
    own = (names == ORACLE) if skill_valid or family == "ground_truth" else np.zeros(len(names), dtype=bool)
    candidates = eligible & (~control | own) & np.isfinite(value)
    rows = np.flatnonzero(candidates)
    if len(rows):
        p[rows] = _intersection_union(samples, rows, placebos, sign)
    p[~control] = stats.holm(p[~control])
    known = np.isfinite(p)
    ahead = sign * value > sign * value[best]
    beats[known] = ((p < LEVEL) & ahead)[known]
    return Comparison(*skill, best, tuple(placebos.tolist()), p, beats)


def _intersection_union(samples: Samples, rows: Array, placebos: Array, sign: float) -> Array:
    """Largest p over all placebos and problem seeds: it is small only if every one of them is beaten.

    The maximum needs no correction (Berger 1982). A placebo without a pair in common says nothing.
    """
    p = np.full(len(rows), np.nan)
    for columns in samples.seeds:
        first = samples.first[:, columns]
        differences = sign * (first[rows][:, None] - first[placebos][None])
        each = stats.signed_rank(differences.reshape(-1, differences.shape[-1])).reshape(len(rows), len(placebos))
        p = np.fmax(p, np.fmax.reduce(each, axis=1))
    return p


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
