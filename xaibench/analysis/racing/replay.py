"""Replay of races on stored scores: what they would have saved, and which decisions they would have kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP
from xaibench.analysis.leaderboard.comparison_groups import sorted_cells, stacked
from xaibench.analysis.leaderboard.paired_tests import all_pairs, significantly_better
from xaibench.analysis.leaderboard.placebo_tests import TESTED_FAMILIES, compare_with_placebos, defined_enough
from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix
from xaibench.analysis.racing.closing import Delta, deltas_of
from xaibench.analysis.racing.decisions import DECISIONS, MetricRace
from xaibench.analysis.racing.modes import RaceMode
from xaibench.analysis.regressions.tolerances import Bounds, HasUnit
from xaibench.core.components import ORACLE
from xaibench.core.types import Array

REPLAY_COLUMNS = [
    *COMPARISON_GROUP, "mode", "n_samples", "n_explainers", "share", "n_decided", "n_kept", "n_extra", "n_reversed",
    "n_tied", "n_inseparable",
]  # fmt: skip


def replay(
    results: pd.DataFrame,
    mode: RaceMode,
    *,
    least: int = 24,
    shuffle: int | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    in_output_unit: Mapping[str, HasUnit] | None = None,
) -> pd.DataFrame:
    """Race the explainers of every comparison on scores that are all there.

    Parameters
    ----------
    results : DataFrame
        One row per cell; metrics over samples, of one problem seed, count.
    mode : {"best", "placebo", "anytime"}
    least : int
        Samples that a comparison needs.
    shuffle : int, optional
        Seed of another order of the samples than the stored one.
    bounds, in_output_unit : mapping, optional
        By metric: bounds of its scores, and whether these have the unit of the output. They decide the practical delta
        within which explainers are tied; a metric that is not there counts as unbounded.

    Returns
    -------
    DataFrame
        A row per comparison: ``share`` of the evaluations of racing explainers that the race needs; ``n_decided``
        explainers that all samples decide by the tests of the board (beaten by another one; with ``placebo`` worse than
        some placebo or better than every one), ``n_kept`` of them decided alike by the race, ``n_extra`` decided by the
        race only, ``n_reversed`` decided the other way round; ``n_tied`` and ``n_inseparable`` explainers that left
        undecided, see `MetricRace`.
    """
    cells = sorted_cells(results[results["scope"].fillna("sample") == "sample"])
    if cells.empty:
        return pd.DataFrame(columns=REPLAY_COLUMNS)
    group_of = cells.groupby(COMPARISON_GROUP, sort=False).ngroup().to_numpy()
    entry_of = cells.groupby([*COMPARISON_GROUP, "explainer", "explainer_params"], sort=False).ngroup().to_numpy()
    heads = cells.drop_duplicates(COMPARISON_GROUP)
    log10 = (heads["aggregate"] == "median_log10").to_list()
    deltas = deltas_of(heads, bounds or {}, in_output_unit or {})
    rows = []
    for head, delta, (start, stop, _, at, samples) in zip(
        heads.to_dict("records"), deltas, stacked(cells, group_of, entry_of, log10), strict=True
    ):
        part = cells.iloc[start:stop]
        first = part.groupby(entry_of[start:stop] - at.start, sort=True).first()
        found = _raced(head, delta, first, samples, mode, least, shuffle)
        if found is not None:
            rows.append((*(head[c] for c in COMPARISON_GROUP), mode, *found))
    return pd.DataFrame(rows, columns=REPLAY_COLUMNS)


def _raced(
    head: dict[object, object],
    delta: Delta,
    first: pd.DataFrame,
    samples: ScoreMatrix,
    mode: RaceMode,
    least: int,
    shuffle: int | None,
) -> tuple[object, ...] | None:
    if len(samples.seeds) != 1 or samples.scores.shape[1] < least:
        return None
    names, control = first["explainer"].to_numpy(dtype=object), first["control"].to_numpy(dtype=bool)
    fit = defined_enough(samples)[:, 0] & np.isfinite(samples.scores).any(axis=1)
    candidates, placebos = fit & ~control, fit & control & (names != ORACLE)
    if candidates.sum() < 2 or (mode == "placebo" and (not placebos.any() or head["family"] not in TESTED_FAMILIES)):
        return None
    n = samples.scores.shape[1]
    order = np.arange(n) if shuffle is None else np.random.default_rng(shuffle).permutation(n)
    scores, higher = samples.first[:, order], bool(head["higher_is_better"])
    race = MetricRace(mode, n, candidates, placebos, higher, samples.median, delta)
    for size in race.looks:
        race.look(scores[:, :size])
    taken = {stop.explainer: stop.n for stop in race.stops}
    share = sum(taken.get(i, n) for i in np.flatnonzero(candidates).tolist()) / (int(candidates.sum()) * n)
    decided = {stop.explainer: stop.outcome for stop in race.stops if stop.outcome in DECISIONS}
    outcomes = [stop.outcome for stop in race.stops]
    final = _final(samples, names, control, candidates, higher, str(head["family"]), mode)
    kept = sum(decided.get(i) == outcome for i, outcome in final.items())
    reversed_ = sum(i in decided and decided[i] != outcome for i, outcome in final.items())
    extra = sum(i not in final for i in decided)
    left_open = outcomes.count("tied"), outcomes.count("not separable")
    return n, int(candidates.sum()), share, len(final), kept, extra, reversed_, *left_open


def _final(
    samples: ScoreMatrix, names: Array, control: Array, candidates: Array, higher: bool, family: str, mode: RaceMode
) -> dict[int, str]:
    """What the tests of the board decide on all samples, by explainer."""
    value, _, _ = samples.aggregate()
    if mode != "placebo":
        pairs = all_pairs(samples, value, np.flatnonzero(candidates), higher_is_better=higher)
        beaten = significantly_better(pairs, len(value)).any(axis=0)
        return dict.fromkeys(np.flatnonzero(beaten).tolist(), "beaten")
    fit = candidates | control
    tests = compare_with_placebos(
        samples, value, names, control, fit, higher_is_better=higher, family=family, skill_valid=False
    )
    outcomes: dict[int, str] = dict.fromkeys(np.flatnonzero(tests.beats == 1).tolist(), "better than placebos")
    return outcomes | dict.fromkeys(np.flatnonzero(tests.loses == 1).tolist(), "worse than placebo")
