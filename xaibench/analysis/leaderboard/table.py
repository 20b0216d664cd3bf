"""The leaderboard: one row per problem, explainer and metric, with interval, skill, placebo and rank."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.case_exclusions import exclusion_notes, without_excluded
from xaibench.analysis.flags import is_false
from xaibench.analysis.leaderboard.columns import (
    COMPARISON_GROUP,
    DESCRIPTIVE_COLUMNS,
    ENTRY,
    LEADERBOARD_COLUMNS,
    PROBLEM,
)
from xaibench.analysis.leaderboard.comparison_groups import sorted_cells, stacked
from xaibench.analysis.leaderboard.placebo_tests import PlaceboTests, compare_with_placebos, defined_enough
from xaibench.analysis.leaderboard.rank_intervals import rank_intervals
from xaibench.analysis.leaderboard.ranking_status import Eligibility, ranking_status, units
from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix
from xaibench.core.components import MetricSpec
from xaibench.core.keys import canonical_json
from xaibench.core.types import Array
from xaibench.store import FAILURES
from xaibench.store.stopped_early import stopped_early


def leaderboard(results: pd.DataFrame, *, suite: str, metrics: Mapping[str, MetricSpec] | None = None) -> pd.DataFrame:
    """Aggregate cells to a leaderboard.

    Parameters
    ----------
    results : DataFrame
        One row per cell, columns as in `xaibench.store.Row`. A cell that was planned and has no
        result may be there with status ``missing``.
    suite : str
        Name that goes into the first column.
    metrics : mapping of str to MetricSpec, optional
        What is known of metrics, for the columns ``construct`` and ``about``. One that is not there
        measures something of its own.

    Returns
    -------
    DataFrame
        One row per (dataset, model, selection, explainer, explainer_params, metric, params,
        asked_output), in an order that does not depend on that of ``results``. Apart from ``explain_seconds`` and
        ``score_seconds`` (mean per cell), and ``explain_memory`` and ``score_memory`` (largest cell), equal scores
        give an equal frame.

        - ``asked_output``: the output that the suite asks the metric for, empty where it asks for
          none; ``output``: the one that was measured.
        - ``construct``: what the metric measures; metrics of one construct have one vote in `overall`.
          ``about``: ``mask`` or ``weights``, the form of the truth that it needs. ``masker``: what its
          parameters say is put in the place of removed features (or the baseline).
        - ``value``: mean over samples, draws averaged first; ``median_log10``: median of
          log10(max(score, 1e-12)), draws averaged in log10. With several problem seeds the mean of
          their values.
        - ``ci_low``, ``ci_high``, ``estimand``: 95 % interval, see `ScoreMatrix.aggregate`.
        - ``skill`` and its interval, on the samples where score, oracle and random are defined.
        - ``placebo``: the control other than the oracle with the best value. ``beats_placebo``:
          better than *every* placebo on every trained model by paired one-sided tests of the mean, or
          of the median where that is the value (`paired_tests`; largest p, then Holm over the
          explainers, 5 %); differences beyond 6 digits are none. Null where there is no test: controls,
          what may not be ranked, no placebo or no sample in common with one, families in which a
          placebo may win, a placebo with the best possible score on every sample (where no oracle is there to show
          that the measure can tell), and so few samples that no scores could have passed (``p_placebo`` is there
          then). The oracle is tested, on its own, where it is the best answer by definition (ground
          truth, ``skill_valid``).
        - ``loses_to_placebo``: worse than some placebo on every trained model, by the opposite tests
          (times the number of placebos, then Holm over the explainers, 5 %). Neither of the two means
          that nothing could be shown. Neither goes against the order of the values: tests are on
          common samples and the first draw, values on all. ``p_placebo_alone`` and ``p_loses_alone`` are
          the p-values before Holm, which do not change with the other explainers. ``placebo_effect``: matched-pairs
          rank-biserial correlation with the best placebo, from -1 (worse on every sample) to 1.
        - ``rank``: among ``n_ranked`` explainers; ties share the mean rank (values are compared to 6
          digits). NaN for controls, failed gates, incomplete cells, and scores that are undefined
          on over half of the samples of a problem seed, of those that anyone has a defined score
          on, and metrics that do not rank (``ranks`` of `metric`), which have no placebo test either; ``message``
          says which.
        - ``rank_low``, ``rank_high``: simultaneous 95 % interval of the rank, from paired tests of the
          value (mean or median) of all pairs of ranked explainers; ``tie_group``: letters, two
          tests cannot separate explainers that share one (`rank_intervals`). ``win_rate``: share of
          (sample, other ranked explainer) pairs won.
        - Explainers that left a race early have values of the samples that they took, and neither rank nor test;
          ``message`` says how they left.
        - Cases whose own gate failed count nowhere; ``message`` names them.
        - ``n`` samples were scored, ``n_undefined`` of them have no defined score, ``n_partly`` have
          one in some draws only.
        - ``scope``: where it is ``dataset``, the scores are those of repeats (retrainings, folds), and
          everything above is about repeats where it says samples. One repeat has no interval.

    Raises
    ------
    ValueError
        If a cell is there twice.
    """
    every_cell = sorted_cells(results)
    cells = without_excluded(every_cell)
    if cells.empty:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in LEADERBOARD_COLUMNS.items()})
    group_of = cells.groupby(COMPARISON_GROUP, sort=False).ngroup().to_numpy()
    entry = cells.groupby([*COMPARISON_GROUP, *ENTRY], sort=False)
    entry_of = entry.ngroup().to_numpy()
    board = entry[DESCRIPTIVE_COLUMNS].first().reset_index()
    status = cells["status"].to_numpy()
    board["n_cells"] = np.bincount(entry_of)
    for name, counted in {"unsupported": ("unsupported",), "failed": FAILURES, "missing": ("missing",)}.items():
        board[f"n_{name}"] = np.bincount(entry_of, np.isin(status, counted)).astype(np.int64)
    for name in ("explain_seconds", "score_seconds"):
        board[name] = entry[name].mean().to_numpy(dtype=np.float64, na_value=np.nan)
    for name in ("explain_memory", "score_memory"):
        largest = entry[name].max() if name in cells else pd.Series(np.nan, board.index)
        board[name] = largest.to_numpy(dtype=np.float64, na_value=np.nan)
    board["truth_kind"] = board.groupby(COMPARISON_GROUP, sort=False)["truth_kind"].transform("first")
    board = board.merge(_problems(cells), on=PROBLEM, how="left", sort=False)
    board = board.assign(suite=suite, stopped=_stopped(cells, entry_of, len(board)), **_meanings(board, metrics or {}))
    ranking, best = _ranking(board, metrics or {}), _best_possible(board, metrics or {})
    compared, eligibility = _compared(cells, board, group_of, entry_of, ranking, best)
    board = pd.concat([board, compared], axis=1)
    board = pd.concat([board, ranking_status(board, eligibility, cells, entry_of)], axis=1)
    notes = pd.Series(exclusion_notes(every_cell, entry_of, len(board)), board.index, dtype=object)
    board["message"] = board["message"].where(board["message"].notna() | (notes == ""), notes)
    return board[list(LEADERBOARD_COLUMNS)].astype(LEADERBOARD_COLUMNS)


def _stopped(cells: pd.DataFrame, entry_of: Array, size: int) -> pd.Series[Any]:
    """By row of the board: how an explainer left a race early, None where it did not."""
    found = pd.Series(None, range(size), dtype=object)
    for row in np.flatnonzero(stopped_early(cells["message"]).to_numpy()):
        found.iloc[int(entry_of[row])] = cells["message"].iloc[row]
    return found


def _meanings(board: pd.DataFrame, metrics: Mapping[str, MetricSpec]) -> dict[str, pd.Series[str]]:
    """What metrics measure, against which form of truth, and with which masker."""
    known = {m: metrics[m] for m in board["metric"].unique() if m in metrics}
    return {
        "construct": board["metric"].map(lambda m: known[m].measures if m in known else m),
        "about": board["metric"].map(lambda m: known[m].truth_form if m in known else ""),
        "masker": board["params"].map({p: masker_of(p) for p in board["params"].unique()}),
    }


def _ranking(board: pd.DataFrame, metrics: Mapping[str, MetricSpec]) -> Array:
    """By row of the board: whether its metric may rank explainers; one that is unknown may."""
    pairs = list(zip(board["metric"], board["params"], strict=True))
    found = {(m, p): m not in metrics or metrics[m].ranks_with(json.loads(p or "{}")) for m, p in set(pairs)}
    return np.array([found[pair] for pair in pairs], dtype=bool)


def _best_possible(board: pd.DataFrame, metrics: Mapping[str, MetricSpec]) -> Array:
    """By row of the board: the best score that its metric can give, NaN where there is none or it is not known."""
    keys = list(zip(board["metric"], board["params"], board["output"].fillna(""), strict=True))
    found = dict.fromkeys(set(keys), np.nan)
    for metric, params, output in found:
        if metric in metrics and metrics[metric].aggregate == "mean":
            spec = metrics[metric]
            bound = spec.bounds_of(json.loads(params or "{}"), str(output))[1 if spec.higher_is_better else 0]
            found[metric, params, output] = np.nan if bound is None else float(bound)
    return np.array([found[key] for key in keys], dtype=np.float64)


def masker_of(params: str) -> str:
    """Masker or baseline in the parameters (JSON) of a metric; empty where there is none."""
    found = json.loads(params or "{}")
    return str(found.get("masker", found.get("baseline", "")))


def _problems(cells: pd.DataFrame) -> pd.DataFrame:
    """Per problem: gates of all problem seeds, and whether they passed."""
    rows = []
    seeds = cells[[*PROBLEM, "problem_seed", "gate_passed", "gates"]].drop_duplicates()
    for names, group in seeds.groupby(PROBLEM, sort=False):
        passed = group["gate_passed"].dropna()
        gates = [
            {**gate, "problem_seed": int(number)}
            for number, text in group[["problem_seed", "gates"]].drop_duplicates().itertuples(index=False)
            for gate in json.loads(text if isinstance(text, str) else "[]")
        ]
        rows.append(
            {
                **dict(zip(PROBLEM, names, strict=True)),
                "gate_passed": bool(passed.astype(bool).all()) if len(passed) else None,
                "gates": canonical_json(gates),
            }
        )
    return pd.DataFrame(rows).astype({"gate_passed": "boolean"})


def _mixed_trainings(cells: pd.DataFrame, board: pd.DataFrame) -> Array:
    """By row of the board: whether scores of its problem are of different trainings with one problem seed."""
    scored = cells[cells["status"].isin(["ok", "undefined"])]
    trainings = scored.groupby([*PROBLEM, "problem_seed"], sort=False)["fingerprint"].nunique()
    mixed = (trainings > 1).groupby(level=PROBLEM, sort=False).any()
    found: Array = mixed.reindex(pd.MultiIndex.from_frame(board[PROBLEM]), fill_value=False).to_numpy(dtype=bool)
    return found


def _compared(
    cells: pd.DataFrame, board: pd.DataFrame, group_of: Array, entry_of: Array, ranks: Array, best: Array
) -> tuple[pd.DataFrame, Eligibility]:
    """Columns of everything that needs the scores, one comparison group after the other, and what a rank takes."""
    size = len(board)
    floats = ["value", "ci_low", "ci_high", "skill", "skill_low", "skill_high"]
    floats += ["placebo_value", "beats_placebo", "p_placebo", "loses_to_placebo", "p_loses", "placebo_effect"]
    floats += ["p_placebo_alone", "p_loses_alone"]
    floats += ["rank_low", "rank_high", "win_rate"]
    counts = ("n", "n_undefined", "n_partly", "n_seeds", "n_draws", "n_placebos")
    out: dict[str, Array] = {name: np.full(size, np.nan) for name in floats}
    out |= {name: np.zeros(size, dtype=np.int64) for name in counts}
    out |= {name: np.full(size, None, dtype=object) for name in ("placebo", "tie_group")}
    eligible = Eligibility(
        np.zeros(size, dtype=bool), np.zeros(size, dtype=bool), np.full(size, None, dtype=object),
        _mixed_trainings(cells, board), ranks,
    )  # fmt: skip
    problem_seed = cells["problem_seed"].to_numpy(np.int64)
    explainer, control = board["explainer"].to_numpy(dtype=object), board["control"].to_numpy(dtype=bool)
    mixed = eligible.mixed
    barred = mixed | is_false(board["gate_passed"]).to_numpy() | ~ranks
    stopped = board["stopped"].notna().to_numpy()
    unfinished = board["n_failed"].to_numpy() + board["n_missing"].to_numpy() + board["n_unsupported"].to_numpy() > 0
    cuts = np.flatnonzero(np.diff(group_of, prepend=-1))
    head_of = ["family", "higher_is_better", "aggregate", "skill_valid", "scope"]
    heads = board[head_of].iloc[entry_of[cuts]].to_dict("records")
    log10 = [head["aggregate"] == "median_log10" for head in heads]
    for head, (start, stop, rows, at, samples) in zip(heads, stacked(cells, group_of, entry_of, log10), strict=True):
        out["value"][at], out["ci_low"][at], out["ci_high"][at] = value, _, _ = samples.aggregate()
        n_seeds = (samples.draws > 0).sum(axis=1)
        n = samples.scored.sum(axis=1)
        out["n"][at], out["n_seeds"][at], out["n_draws"][at] = n, n_seeds, samples.draws.sum(axis=1)
        out["n_undefined"][at] = n - np.isfinite(samples.scores).sum(axis=1)
        out["n_partly"][at] = samples.partly.sum(axis=1)
        expected = len(np.unique(problem_seed[start:stop]))
        eligible.complete[at] = complete = (n_seeds == expected) & ~unfinished[at] & ~stopped[at]
        enough = defined_enough(samples)
        eligible.defined[at] = defined = enough.all(axis=1)
        eligible.too_few[at] = _too_few(samples, enough, np.unique(problem_seed[rows]), units(head["scope"]))
        found = compare_with_placebos(
            samples, value, explainer[at], control[at], complete & defined & ~mixed[at] & ranks[at],
            higher_is_better=bool(head["higher_is_better"]), family=head["family"],
            skill_valid=bool(head["skill_valid"]), best_possible=float(best[at.start]),
        )  # fmt: skip
        _fill(out, at, found, value, explainer[at])
        rankable = complete & defined & ~control[at] & ~barred[at] & np.isfinite(value)
        ties = rank_intervals(samples, value, rankable, higher_is_better=bool(head["higher_is_better"]))
        out["rank_low"][at], out["rank_high"][at], out["win_rate"][at] = ties.low, ties.high, ties.win_rate
        out["tie_group"][at] = ties.group
    return pd.DataFrame(out), eligible


def _too_few(samples: ScoreMatrix, enough: Array, problem_seeds: Array, units: str) -> list[str | None]:
    """Where each explainer is defined on too few samples: the first such problem seed."""
    if enough.all():
        return [None] * len(enough)
    found: list[str | None] = []
    for known, on_seed in zip(np.isfinite(samples.scores), enough, strict=True):
        if on_seed.all():
            found.append(None)
            continue
        k = int(np.argmin(on_seed))
        where = f" of problem seed {problem_seeds[k]}" if len(on_seed) > 1 else ""
        found.append(f"not ranked: defined on {known[samples.seeds[k]].sum()} {units}{where} only")
    return found


def _fill(out: dict[str, Array], at: slice, found: PlaceboTests, value: Array, explainer: Array) -> None:
    out["skill"][at], out["skill_low"][at], out["skill_high"][at] = found.skill, found.skill_low, found.skill_high
    out["p_placebo"][at], out["beats_placebo"][at] = found.p, found.beats
    out["p_loses"][at], out["loses_to_placebo"][at] = found.p_loses, found.loses
    out["p_placebo_alone"][at], out["p_loses_alone"][at] = found.p_alone, found.p_loses_alone
    out["placebo_effect"][at] = found.effect
    out["n_placebos"][at] = len(found.tested)
    if found.placebo is not None:
        out["placebo"][at], out["placebo_value"][at] = explainer[found.placebo], value[found.placebo]
