"""Do metrics, or maskers, put explainers in the same order? Kendall's tau over explainer rankings."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import ENTRY, PROBLEM
from xaibench.analysis.ranks.overall import MIN_PROBLEMS, NEW_PROBLEMS
from xaibench.analysis.ranks.relative_ranks import counted
from xaibench.analysis.statistics.intervals import mean_interval, nanmean, significant
from xaibench.analysis.statistics.kendall import kendall
from xaibench.core.keys import canonical_json

_SIDE = ["metric", "params", "asked_output"]


def metric_agreement(board: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau-b between the explainer rankings of every two metrics, mean over problems.

    Returns
    -------
    DataFrame
        ``metric_a, params_a, asked_output_a``, the same of b, ``tau``, its 95 % interval for new
        problems over at least 3 data sets, ``estimand``, ``n_problems``, ``n_datasets``, ``n_explainers``
        (fewest). Both orders of a pair are there; a metric agrees with itself.
    """
    rows = _ranked(board)
    return _agreement(rows, _SIDE, PROBLEM)


def masker_agreement(board: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau-b between the explainer rankings of one metric with two maskers, mean over metrics and problems.

    Metrics of one construct count once, then problems of one data set.

    Returns
    -------
    DataFrame
        ``masker_a, masker_b, tau, ci_low, ci_high, estimand, n_problems, n_datasets, n_explainers``;
        both orders of a pair.
    """
    rows = _ranked(board)
    rows = rows[rows["masker"] != ""]
    rest = rows["params"].map({p: _without_masker(p) for p in rows["params"].unique()})
    return _agreement(rows.assign(_rest=rest), ["masker"], [*PROBLEM, "construct", "metric", "_rest", "asked_output"])


def masker_ranks(board: pd.DataFrame) -> pd.DataFrame:
    """Mean relative rank of every explainer by masker: on a problem one vote per construct, then data sets.

    Returns
    -------
    DataFrame
        ``explainer, explainer_params, masker, relative_rank`` (0 best, 1 last), ``n_votes``, ``n_ranked`` of
        ``n_expected`` problems.
    """
    rows = counted(board)
    rows = rows[~rows["control"].astype(bool) & (rows["masker"] != "") & (rows["status"] != "unsupported")]
    votes = rows.groupby([*ENTRY, "masker", *PROBLEM, "construct"], sort=False)["relative_rank"].mean().dropna()
    problems = votes.groupby(level=[0, 1, 2, 3, 4, 5], sort=False).mean()
    datasets = problems.groupby(level=[0, 1, 2, 3], sort=False).mean()
    table = datasets.groupby(level=[0, 1, 2], sort=False).mean().rename("relative_rank").reset_index()
    counts = problems.groupby(level=[0, 1, 2], sort=False).size().rename("n_ranked").reset_index()
    used = votes.reset_index().groupby([*ENTRY, "masker"], sort=False)["construct"].nunique().rename("n_votes")
    expected = rows.drop_duplicates(["masker", *PROBLEM]).groupby("masker").size().rename("n_expected").reset_index()
    table = table.merge(used.reset_index(), on=[*ENTRY, "masker"]).merge(counts, on=[*ENTRY, "masker"])
    return table.merge(expected, on="masker")


def _ranked(board: pd.DataFrame) -> pd.DataFrame:
    """Ranked rows with what is to be ordered: the larger the better."""
    rows = counted(board)
    rows = rows[rows["rank"].notna()]
    sign = np.where(rows["higher_is_better"], 1.0, -1.0)
    return rows.assign(_merit=sign * significant(rows["value"].to_numpy()))


def _without_masker(params: str) -> str:
    found = json.loads(params or "{}")
    return canonical_json({k: v for k, v in found.items() if k not in ("masker", "baseline")})


def _agreement(rows: pd.DataFrame, side: list[str], within: list[str]) -> pd.DataFrame:
    """Agreement of the values of ``side``, on each value of ``within`` by itself."""
    names = [f"{c}{end}" for end in ("_a", "_b") for c in side]
    found = []
    for place, group in rows.groupby(within, sort=False):
        table = group.pivot_table(index=side, columns=ENTRY, values="_merit", aggfunc="first", sort=False)
        tau, n = kendall(table.to_numpy())
        keys = [key if isinstance(key, tuple) else (key,) for key in table.index]
        vote = (*place[: len(PROBLEM)], place[len(PROBLEM)] if len(within) > len(PROBLEM) else "")
        found += [(*vote, *keys[i], *keys[j], tau[i, j], n[i, j]) for i, j in np.argwhere(np.isfinite(tau)).tolist()]
    flat = pd.DataFrame(found, columns=[*PROBLEM, "construct", *names, "tau", "n_explainers"])
    votes = flat.groupby([*names, *PROBLEM, "construct"], sort=False).agg(
        tau=("tau", "mean"), n=("n_explainers", "min")
    )
    problems = votes.reset_index().groupby([*names, *PROBLEM], sort=False).agg(tau=("tau", "mean"), n=("n", "min"))
    datasets = problems.reset_index().groupby([*names, "dataset"], sort=False)
    each = datasets.agg(tau=("tau", "mean"), n=("n", "min"), problems=("tau", "size")).reset_index()
    records = []
    for key, group in each.groupby(names, sort=False):
        tau = group["tau"].to_numpy()[None]
        enough = tau.shape[1] >= MIN_PROBLEMS
        low, high = mean_interval(tau) if enough else (np.array([np.nan]), np.array([np.nan]))
        records.append(
            (
                *(key if isinstance(key, tuple) else (key,)), nanmean(tau)[0], max(low[0], -1.0), min(high[0], 1.0),
                NEW_PROBLEMS if enough else None, group["problems"].sum(), len(group), group["n"].min(),
            )
        )  # fmt: skip
    last = ["tau", "ci_low", "ci_high", "estimand", "n_problems", "n_datasets", "n_explainers"]
    return pd.DataFrame(records, columns=[*names, *last])
