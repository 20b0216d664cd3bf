"""An overall rank that compares only what is comparable: one vote per construct and masker."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, ENTRY, PROBLEM
from xaibench.analysis.ranks.metric_weights import weights_elsewhere
from xaibench.analysis.ranks.relative_ranks import MEASURE, counted
from xaibench.analysis.statistics.intervals import mean_interval, significant
from xaibench.core.errors import NothingToDoError, UsageError
from xaibench.core.types import Array
from xaibench.store.stopped_early import left_early

OVERALL_GROUP = ["family", "truth_kind", "about"]
"""What an overall rank is of. Nothing is averaged over families, kinds of truth, or masks and weights."""
VOTE = ["construct", "masker"]
NEW_PROBLEMS = "new problems"
MIN_PROBLEMS = 3
"""Data sets that an interval over problems needs at least."""
_COLUMNS = [
    *OVERALL_GROUP, "comparison", *ENTRY, "relative_rank", "ci_low", "ci_high", "estimand", "n_votes", "n_pairs",
    "n_dropped", "n_explainers", "n_metrics", "n_problems", "n_datasets", "problems", "recipe",
]  # fmt: skip
Missing = Literal["error", "drop", "worst"]


def overall(board: pd.DataFrame, *, missing: Missing = "error", trust: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean relative rank per family, among explainers that were all measured on the same things.

    Explainers support different problems and metrics (Grad-CAM needs a convolution), and a mean
    over other problems is another quantity. So for every set of (problem, metric) pairs that some
    explainer supports, all explainers that support the whole set are ranked again among themselves
    on just this set. An explainer of wide support is in several comparisons; only numbers with the
    same ``comparison`` may be compared. Nothing is ever averaged over families, kinds of truth, or
    metrics of masks and of weights. What an explainer left a race of early counts as not supported: those that stayed
    are ranked among themselves.

    On a problem, metrics of one construct with one masker (the scores that are made of one removal
    curve) are averaged to one vote, votes to the problem's relative rank, and problems on one data set
    to that of the data set; ``relative_rank`` is the mean over data sets.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`.
    missing : {"error", "drop", "worst"}
        What to do where a supported score is missing (failed, timed out, not run, undefined):
        refuse; leave that (problem, metric) out for every explainer of the comparison, and an explainer without any
        score in the family out for itself; or count it as the last place.
    trust : DataFrame, optional
        Weights of metrics: ``dataset, metric, params, asked_output, trust``. A metric counts on a
        data set with the mean trust that it has on *other* data sets: what was fitted on a problem
        never weighs its own ranks. A vote counts with the mean of its metrics' weights.

    Returns
    -------
    DataFrame
        ``family, truth_kind, about, comparison`` (0 is the widest), ``explainer, explainer_params``,
        ``relative_rank`` (0 best, 1 last) with its 95 % interval for new problems where there are at
        least 3 data sets (models of one data set are not independent),
        ``n_votes``, ``n_pairs``, ``n_dropped``, ``n_explainers``, and what the pairs are of:
        ``n_metrics``, ``n_problems``, ``n_datasets``, ``problems``; ``recipe`` says which metrics voted
        together.

    Raises
    ------
    UsageError
        If a score is missing and ``missing`` is "error", or if ``trust`` has nothing to say on a metric.
    NothingToDoError
        If no two explainers share a measurement.
    """
    if missing not in ("error", "drop", "worst"):
        raise UsageError(f"missing={missing!r} is not one of 'error', 'drop', 'worst'")
    rows = counted(board)
    rows = rows[~rows["control"].astype(bool) & (rows["status"] != "unsupported") & ~left_early(rows)]
    frames = [
        frame
        for names, group in rows.groupby(OVERALL_GROUP, sort=False)
        for frame in _comparisons(group, [str(name) for name in names], missing, trust)
    ]
    if not frames:
        raise NothingToDoError("no two explainers were measured on the same problem with the same metric")
    return pd.concat(frames, ignore_index=True)


def overall_by(
    board: pd.DataFrame,
    by: Literal["dataset", "model"],
    *,
    missing: Missing = "error",
    trust: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """`overall` of every data set or model alone, its name in the first column ``group``.

    Raises
    ------
    UsageError, NothingToDoError
        As `overall`.
    """
    frames = []
    for name, part in board.groupby(by, sort=True):
        try:
            found = overall(part, missing=missing, trust=trust)
        except NothingToDoError:
            continue
        frames.append(found.assign(group=str(name))[["group", *_COLUMNS]])
    if not frames:
        raise NothingToDoError("no two explainers were measured on the same problem with the same metric")
    return pd.concat(frames, ignore_index=True)


def _comparisons(group: pd.DataFrame, names: list[str], missing: str, trust: pd.DataFrame | None) -> list[pd.DataFrame]:
    """One frame per set of pairs that some explainer supports, the largest set first."""
    if missing == "error" and group["rank"].isna().any():
        raise _incomplete(group, names[0])
    if missing == "drop":  # who has no score at all would take every pair away from the others
        group = group[group["rank"].notna().groupby([group[c] for c in ENTRY]).transform("any")]
        if group.empty:
            return []
    sign = np.where(group["higher_is_better"], -1.0, 1.0)
    cost = np.where(group["rank"].notna(), sign * significant(group["value"].to_numpy()), np.inf)
    entries = group[ENTRY].drop_duplicates().reset_index(drop=True)
    row = group.groupby(ENTRY, sort=False).ngroup().to_numpy()
    column = group.groupby(COMPARISON_GROUP, sort=False).ngroup().to_numpy()
    supported = np.zeros((row.max() + 1, column.max() + 1), dtype=bool)
    costs = np.full(supported.shape, np.inf)
    supported[row, column] = True
    costs[row, column] = cost
    pairs = group[[*PROBLEM, *MEASURE, *VOTE]].groupby(column).first()
    weight = np.ones(len(pairs)) if trust is None else weights_elsewhere(pairs, trust)
    sets = {tuple(np.flatnonzero(s).tolist()) for s in supported & (weight > 0)}
    frames: list[pd.DataFrame] = []
    for wanted in sorted(sets, key=lambda s: (-len(s), s)):
        if not wanted:
            continue
        members = np.flatnonzero(supported[:, wanted].all(axis=1))
        chosen = costs[np.ix_(members, np.array(wanted))]
        used = np.isfinite(chosen).all(axis=0) if missing == "drop" else np.ones(len(wanted), dtype=bool)
        if len(members) < 2 or not used.any():
            continue
        places = (pd.DataFrame(chosen[:, used]).rank().to_numpy() - 1) / (len(members) - 1)
        places[np.isinf(chosen[:, used])] = 1.0
        over = pairs.iloc[np.array(wanted)[used]]
        found = _poll(places, over, weight[np.array(wanted)[used]])
        votes = over.groupby(VOTE, sort=True)["metric"].unique()
        frames.append(
            entries.iloc[members].assign(
                **dict(zip(OVERALL_GROUP, names, strict=True)),
                comparison=len(frames),
                relative_rank=found.mean(axis=1),
                **_interval(found),
                n_votes=len(votes),
                n_pairs=int(used.sum()),
                n_dropped=int((~used).sum()),
                n_explainers=len(members),
                n_metrics=len(over[MEASURE].drop_duplicates()),
                n_problems=len(over[PROBLEM].drop_duplicates()),
                n_datasets=over["dataset"].nunique(),
                problems=", ".join(dict.fromkeys(over["dataset"] + "/" + over["model"])),
                recipe="; ".join(
                    f"{construct}{f' by {masker}' if masker else ''}: {', '.join(sorted(metrics))}"
                    for (construct, masker), metrics in votes.items()
                ),
            )[_COLUMNS]
        )
    return frames


def _poll(places: Array, over: pd.DataFrame, weight: Array) -> Array:
    """Relative ranks (explainers, data sets): metrics are averaged in votes, votes in problems, these in data sets."""
    keys = [over[c].to_numpy() for c in (*PROBLEM, *VOTE)]
    on_problem = list(range(len(PROBLEM)))
    stakes = pd.Series(weight).groupby(keys, sort=False)
    votes = pd.DataFrame(places.T * weight[:, None]).groupby(keys, sort=False).sum().div(stakes.sum(), axis=0)
    influence = stakes.mean()
    problems = votes.mul(influence, axis=0).groupby(level=on_problem, sort=False).sum()
    problems = problems.div(influence.groupby(level=on_problem, sort=False).sum(), axis=0)
    return problems.groupby(level=0, sort=False).mean().to_numpy().T


def _interval(found: Array) -> dict[str, Any]:
    """95 % interval of the mean over data sets, which lies between 0 and 1."""
    if found.shape[1] < MIN_PROBLEMS:
        return {"ci_low": np.nan, "ci_high": np.nan, "estimand": None}
    low, high = mean_interval(found)
    return {"ci_low": np.clip(low, 0, 1), "ci_high": np.clip(high, 0, 1), "estimand": NEW_PROBLEMS}


def _incomplete(group: pd.DataFrame, family: str) -> UsageError:
    lost = group[group["rank"].isna()]
    first = lost.iloc[0]
    reason = first["message"] if isinstance(first["message"], str) else first["status"]
    return UsageError(
        f"no overall mean for {family}: {first['explainer']} has no rank for {first['metric']} on "
        f"{first['dataset']}/{first['model']} ({reason})"
        + (f", and {len(lost) - 1} more scores are missing" if len(lost) > 1 else ""),
        "run these cells again, or ask for missing='drop' or missing='worst'",
    )
