"""The regression gate: what changed between two runs beyond rounding, chance and practical deltas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr

from xaibench.analysis.case_exclusions import without_excluded
from xaibench.analysis.regressions.cell_matching import BAD, KEY, MATCHED_FACTS, lost_gates, pair_cells
from xaibench.analysis.regressions.tolerances import RTOL, Bounds, HasUnit, output_units, practical_deltas
from xaibench.analysis.regressions.units import _entries, _mean_by, _roundings, _samples, _trainings, _Units
from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.levels import ALPHA
from xaibench.core.types import Array

MIN_TRAININGS = 5
"""Fewer retrained models are not compared: one training shifts all samples together."""
MIN_COMPARED_SAMPLES = 5
"""A change beyond the delta on fewer samples is neither a regression nor none."""
OWN_SPREAD_MIN_UNITS = 20
"""Units from which an entry's own spread is trusted."""
NEAR_TIES = 0.02
"""Share of samples in which an order near a tie may fall the other way on another machine, where nothing is drawn."""
UNDEFINED_DELTA = 0.02
"""Share of samples that may lose their score."""
FAILING = ("regressed", "moved", *BAD)
"""Verdicts that make a comparison fail. ``moved``: a control changed, in whatever direction."""
CHANGE_VERDICTS = (*FAILING, "improved", "fixed", "changed", "same", "incomparable", "new", "unscored")
EVENTS = ("failed", "undefined", "lost", "fixed", "incomparable", "new", "unscored")
COMPARED = ("regressed", "moved", "improved", "changed", "same")
REGRESSION_COLUMNS: dict[str, str] = {
    **dict.fromkeys(KEY, "str"), **dict.fromkeys(MATCHED_FACTS, "object"), "verdict": "str", "measure": "str",
    "weights": "str", "baseline": "float64", "candidate": "float64", "effect": "float64", "delta": "float64",
    "p": "float64", "p_corrected": "float64", "n": "int64", "unit": "str", "n_changed": "int64", "largest": "float64",
    "n_cells": "int64", "seeds": "str", "message": "str", "cell_ids": "object",
}  # fmt: skip


@dataclass(frozen=True)
class RegressionSettings:
    """What counts as a regression.

    Attributes
    ----------
    bounds : mapping
        Bounds of metrics by name, for the default deltas.
    exact : set of str
        Cells in which nothing is drawn, by cell id.
    deltas : mapping
        Practical deltas by metric, instead of the defaults.
    in_output_unit : mapping
        Metrics whose scores have the unit of the output, by name; see `MetricSpec.has_output_unit`.
    """

    bounds: Mapping[str, Bounds]
    exact: frozenset[str] = frozenset()
    deltas: Mapping[str, float] | None = None
    in_output_unit: Mapping[str, HasUnit] = field(default_factory=dict)


def compare_runs(baseline: pd.DataFrame, candidate: pd.DataFrame, settings: RegressionSettings) -> pd.DataFrame:
    """Compare two runs entry by entry.

    Parameters
    ----------
    baseline, candidate : DataFrame
        Cells of both sides; see `pair_cells`.
    settings : RegressionSettings

    Returns
    -------
    DataFrame
        Rows are findings about an entry (an explainer on a problem with a metric, its seeds and draws
        together), worst verdict first; an entry has one row for every state that its cells are in.

        - ``verdict``: *same*, within rounding everywhere; *changed*, but not beyond the practical delta or
          not significantly; *regressed* and *improved*, both beyond the delta and by a one-sided paired test
          at 5 % after Holm's correction over all entries that changed; *moved*, of a control, which has no
          merit to gain, by a two-sided one, and of exact cells whose scores changed while their mean did not;
          *failed*, *undefined*, *lost*, *gate*: cells that had a result and have none now, or are on a
          problem that no longer passes its gates; *fixed*, *new*; *incomparable*, and ``message`` says why;
          *unscored* on both sides.
        - ``measure``: ``score``, or ``undefined``, the share of the baseline's samples without a
          defined score, or without any.
        - ``effect``: mean over units of candidate less baseline, in log10 where the metric aggregates so.
        - ``weights``: with the *same* weights units are samples, their draws averaged; differences within
          rounding count as none. *Retrained* models shift all samples together: units are trainings.

    Notes
    -----
    The test is Student's t of paired differences. If nothing but draws differs, the two sides may be
    exchanged, differences are symmetric, and the test holds its level for heavy tails too; of five
    trainings no sign test could say anything. Entries within rounding of the
    baseline cannot be wrong and are not counted by Holm's correction: given the sizes of differences
    only their signs are random, so that the choice tells nothing about the direction.
    """
    baseline, candidate = without_excluded(baseline), without_excluded(candidate)
    pairs = pair_cells(baseline, candidate)
    events = pairs[pairs["state"].isin(EVENTS)]
    findings = [_events(events), _events(lost_gates(pairs, baseline, candidate))]
    tested = _tested(pairs, baseline, candidate, settings)
    frames = [frame for frame in (*findings, tested) if len(frame)]
    if not frames:
        return _typed(pd.DataFrame(columns=list(REGRESSION_COLUMNS)))
    order = {verdict: i for i, verdict in enumerate(CHANGE_VERDICTS)}
    found = _typed(pd.concat([frame.astype(object) for frame in frames], ignore_index=True))
    return found.sort_values(
        ["verdict", *KEY], key=lambda s: s.map(order) if s.name == "verdict" else s, kind="stable", ignore_index=True
    )


def _typed(found: pd.DataFrame) -> pd.DataFrame:
    full = found.reindex(columns=list(REGRESSION_COLUMNS))
    for name in ("n", "n_changed", "n_cells"):
        full[name] = full[name].fillna(0)
    return full.astype({k: v for k, v in REGRESSION_COLUMNS.items() if v != "str"})


def _events(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells that became something else, put together by entry, state and reason."""
    if cells.empty:
        return pd.DataFrame()
    rows = []
    for names, group in cells.groupby([*KEY, "state", "message"], sort=False, dropna=False):
        first = group.iloc[0]
        rows.append(
            {
                **dict(zip([*KEY, "verdict", "message"], names, strict=True)),
                **{fact: first[fact] for fact in MATCHED_FACTS},
                **_cells_of(group),
            }
        )
    return pd.DataFrame(rows)


def _cells_of(group: pd.DataFrame) -> dict[str, Any]:
    return {"n_cells": len(group), "cell_ids": list(group["cell_id"]), "seeds": seeds_of(group["problem_seed"])}


def seeds_of(numbers: Iterable[int]) -> str:
    """Problem seeds in words: ``0, 1, 2``."""
    return ", ".join(map(str, sorted(set(numbers))))


def _tested(
    pairs: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame, settings: RegressionSettings
) -> pd.DataFrame:
    """Verdicts of entries that have scores on both sides."""
    frames = []
    for weights, state in (("same", "pair"), ("retrained", "retrained")):
        cells = pairs[pairs["state"] == state].reset_index(drop=True)
        if len(cells):
            gather = _samples if weights == "same" else _trainings
            unit = output_units(cells, settings.in_output_unit)
            roundings = _roundings(cells, baseline, unit)
            units = gather(cells, baseline, candidate, roundings)
            frames.append(_summaries(cells, units, weights, settings, unit, roundings))
    if not frames:
        return pd.DataFrame()
    return _judged(pd.concat(frames, ignore_index=True))


def _summaries(
    cells: pd.DataFrame, units: _Units, weights: str, settings: RegressionSettings, unit: Array, roundings: Array
) -> pd.DataFrame:
    """One row per entry and measure, with effect, delta and p."""
    entry = _entries(cells)
    order = np.argsort(entry, kind="stable")
    first = np.flatnonzero(np.diff(entry[order], prepend=-1))
    frame = cells.iloc[order[first]][[*KEY, *MATCHED_FACTS]].reset_index(drop=True)
    frame["cell_ids"] = [part.tolist() for part in np.split(cells["cell_id"].to_numpy()[order], first[1:])]
    frame["n_cells"] = frame["cell_ids"].map(len)
    frame["seeds"] = [seeds_of(part) for part in np.split(cells["problem_seed"].to_numpy()[order], first[1:])]
    frame["weights"] = weights
    frame["unit"] = "samples" if weights == "same" else "trainings"
    frame["_exact"] = [weights == "same" and settings.exact.issuperset(ids) for ids in frame["cell_ids"]]
    size = len(frame)
    frame["baseline"], frame["candidate"] = (_mean_by(units.entry, side, size) for side in (units.old, units.new))
    log10 = frame["aggregate"] == "median_log10"
    typical = pd.Series(_mean_by(units.entry, np.abs(units.old), size), frame.index).where(~log10, 1.0)
    given = settings.deltas or {}
    delta = practical_deltas(
        frame, typical, unit=unit[order[first]], rounding=roundings[order[first]], exact=frame["_exact"],
        bounds=settings.bounds, given=given,
    )  # fmt: skip
    alike = frame.groupby(["metric", "params", "asked_output"], sort=False, dropna=False).ngroup().to_numpy()
    scores = frame.assign(measure="score", delta=delta, **_test(units.entry, units.change, alike))
    scores["n_changed"] = np.bincount(units.entry, units.touched > 0, size).astype(np.int64)
    lost = frame.assign(
        measure="undefined", delta=np.where(frame["_exact"], 0.0, UNDEFINED_DELTA),
        **_test(units.entry, units.lost, alike),
    )  # fmt: skip
    lost["n_changed"] = np.bincount(units.entry, units.lost != 0, size).astype(np.int64)
    lost["baseline"] = lost["candidate"] = np.nan
    # What has lost no score and gained none says nothing more than the scores do.
    informative = lost["n_changed"] > 0
    both = pd.concat([scores[(scores["n"] > 0) | ~informative], lost[informative]], ignore_index=True)
    both["p"] = both["p"].where(~_few(both))
    return both


def _few(found: pd.DataFrame) -> pd.Series[bool]:
    """Whether units are too few for a test."""
    least = np.where(found["weights"] == "same", MIN_COMPARED_SAMPLES, MIN_TRAININGS)
    few: pd.Series[bool] = found["n"] < least
    return few


def _test(entry: Array, change: Array, alike: Array) -> dict[str, Array]:
    """Student's t of the mean change of every entry, two-sided; NaN where nothing changed.

    Fewer than 20 units tell little about their spread: five that happen to agree would prove anything.
    It is taken to be no less than the median of those entries that changed and are ``alike``, as their
    number says.
    """
    size = len(alike)
    known = np.isfinite(change)
    entry, change = entry[known], change[known]
    n = np.bincount(entry, minlength=size)
    effect = _mean_by(entry, change, size)
    squares = np.bincount(entry, (change - effect[entry]) ** 2, size)
    largest = np.zeros(size)
    np.maximum.at(largest, entry, np.abs(change))
    changed = (largest > 0) & (n > 1)
    spread = np.sqrt(squares / np.maximum(n - 1, 1))
    typical = pd.Series(np.where(changed, spread, np.nan)).groupby(alike).transform("median").to_numpy()
    spread = np.where(n < OWN_SPREAD_MIN_UNITS, np.fmax(spread, typical), spread)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * stdtr(np.maximum(n - 1, 1).astype(np.float64), -np.abs(effect) / (spread / np.sqrt(n)))
    # All units alike: how much a next one would differ was not seen; that all have the same sign was.
    p = np.where(spread <= RTOL * np.abs(effect), 2.0 ** (1 - n), p)
    # Where most units did not change at all, the signs of those that did are all that chance can play with.
    moved = np.bincount(entry, change != 0, size)
    p = np.where(moved < n, np.maximum(p, 2.0 ** (1 - moved)), p)
    p[~changed] = np.nan
    flat = (spread <= RTOL * np.abs(effect)) | (moved < n)
    return {
        "n": n, "effect": effect, "p": p, "largest": largest, "_shift": _mean_by(entry, np.abs(change), size),
        "_least": np.where(changed & flat, 2.0**-moved, 0.0),
    }  # fmt: skip


def _judged(found: pd.DataFrame) -> pd.DataFrame:
    """Verdicts, from effect, delta and corrected p."""
    score = (found["measure"] == "score").to_numpy()
    worse_if_less = score & found["higher_is_better"].astype(bool).to_numpy()
    worse = np.where(worse_if_less, -1.0, 1.0) * found["effect"].to_numpy()
    same_weights, exact = (found["weights"] == "same").to_numpy(), found["_exact"].to_numpy(dtype=bool)
    # A control has no merit to gain. Another model may treat it otherwise, unless there is a truth.
    truth = (found["family"] == "ground_truth").to_numpy()
    either = found["control"].astype(bool).to_numpy() & (same_weights | truth)
    p, corrected = _corrected(found["p"].to_numpy(dtype=np.float64), worse, either)
    few, none = _few(found).to_numpy(), found["n"].to_numpy() == 0
    beyond = np.abs(worse) > found["delta"].to_numpy()
    many = found["n_changed"].to_numpy() > NEAR_TIES * found["n"].to_numpy()
    proven = (exact & many) | (corrected < ALPHA)
    # Nothing is drawn anew: scores that change places are no chance, whatever their mean.
    shaken = exact & many & score & ~beyond & (found["_shift"].to_numpy() > found["delta"].to_numpy())
    # What no data could have shown, among so many changes, is no result either.
    hopeless = beyond & ~proven & ~exact & (found["_least"].to_numpy() * np.isfinite(p).sum() >= ALPHA)
    choices = {
        "incomparable": none | (few & ~exact & (beyond | ~same_weights)) | hopeless,
        "same": found["n_changed"].to_numpy() == 0,
        "moved": (beyond & proven & either) | shaken,
        "regressed": beyond & proven & (worse > 0),
        "improved": beyond & proven,
    }
    verdict = np.select(list(choices.values()), list(choices), "changed")
    reason = [
        _too_few(n, unit) if v == "incomparable" else None
        for v, n, unit in zip(verdict, found["n"], found["unit"], strict=True)
    ]
    why = pd.Series(reason, found.index, dtype=object)
    return found.assign(verdict=verdict, p=p, p_corrected=corrected, message=why)


def _corrected(p: Array, worse: Array, either: Array) -> tuple[Array, Array]:
    """p-values of what each entry is suspected of, by itself and after Holm's correction, from two-sided ones.

    The suspicion is harm; of controls any change. That something improved is asked apart, and answered
    where the change is for the better.
    """
    toward = np.where(worse > 0, p / 2, 1 - p / 2)
    harm, gain = np.where(either, p, toward), np.where(either, np.nan, 1 - toward)
    better = ~either & (worse <= 0)
    return np.where(better, gain, harm), np.where(better, intervals.holm(gain), intervals.holm(harm))


def _too_few(n: int, unit: str) -> str:
    if n == 0:
        return "no sample in common"
    if unit == "samples":
        return f"changed, and {n} {'sample is' if n == 1 else 'samples are'} too few for a test"
    return f"other weights: {n} training{'s' if n > 1 else ''} of {MIN_TRAININGS} that a test needs"
