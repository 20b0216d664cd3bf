"""Ranks over problems, and an overall mean that compares only what is comparable."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from xaibench.analysis.leaderboard import ENTRY, FIELD, PROBLEM
from xaibench.analysis.stats import significant
from xaibench.core.errors import NothingToDoError, UsageError

Array = np.ndarray[Any, Any]
MEASURE = ["family", "truth_kind", "metric", "params", "asked_output"]
"""What is averaged over problems. Scores against truths of different kinds never are."""

_OVERALL = [
    "family", "truth_kind", "comparison", *ENTRY, "relative_rank", "n_pairs", "n_dropped", "n_explainers",
    "n_metrics", "n_problems", "problems",
]  # fmt: skip


def relative_ranks(board: pd.DataFrame) -> pd.Series[float]:
    """Place of every row of a leaderboard among the ranked explainers: 0 is best, 1 is last.

    For a ranked explainer (rank - 1) / (n_ranked - 1), so that fields of different size are
    comparable; NaN where it is alone. For a control, which is not ranked, the share of ranked
    explainers that are better, ties by half.
    """
    relative = (board["rank"] - 1) / (board["n_ranked"] - 1).where(board["n_ranked"] > 1)
    sign = np.where(board["higher_is_better"], 1.0, -1.0)
    merit = sign * significant(board["value"].to_numpy())
    ranked, control = board["rank"].notna().to_numpy(), board["control"].to_numpy(dtype=bool)
    result = relative.to_numpy(dtype=np.float64, copy=True)
    for rows in board.groupby(FIELD, sort=False).indices.values():
        field = merit[rows[ranked[rows]]]
        placed = rows[control[rows] & np.isfinite(merit[rows])]
        if len(field):
            own = merit[placed][:, None]
            result[placed] = ((field > own) + 0.5 * (field == own)).mean(axis=1)
    return pd.Series(result, board.index, name="relative_rank")


def counted(board: pd.DataFrame) -> pd.DataFrame:
    """Rows of a leaderboard that averages may use, with ``relative_rank``.

    Left out are problems with a failed gate, and metrics on problems that support none of them.
    ``truth_kind`` is kept for the ground-truth family only; elsewhere no truth is involved.
    """
    kept = board[~(board["gate_passed"] == False).fillna(False).astype(bool)]  # noqa: E712
    kept = kept.assign(
        relative_rank=relative_ranks(kept),
        truth_kind=kept["truth_kind"].where(kept["family"] == "ground_truth").fillna(""),
    )
    any_supported = (kept["status"] != "unsupported").groupby([kept[c] for c in FIELD], sort=False).transform("any")
    return kept[any_supported]


def mean_ranks(board: pd.DataFrame) -> pd.DataFrame:
    """Ranks of every explainer with every metric, over problems.

    Returns
    -------
    DataFrame
        One row per (explainer, explainer_params, family, truth_kind, metric, params, asked_output),
        controls included. ``mean_rank`` and ``relative_rank`` (0 best, 1 last; see `relative_ranks`) are
        means over the ``n_ranked`` problems on which there is a rank, of ``n_expected`` problems
        that the metric was measured on. Means over different problems are not comparable: compare
        rows with equal ``n_ranked == n_expected``, or use `overall`. The placebo is beaten on
        ``n_beats`` of the ``n_tested`` problems where it could be tested.
    """
    rows = counted(board)
    n_expected = rows[[*MEASURE, *PROBLEM]].drop_duplicates().groupby(MEASURE, sort=False).size()
    rows = rows.assign(
        ranked=rows["relative_rank"].notna(),
        beats=(rows["beats_placebo"] == True).fillna(False).astype(np.int64),  # noqa: E712
        tested=rows["beats_placebo"].notna(),
        **{s: rows["status"] == s for s in ("unsupported", "failed", "undefined", "missing")},
    )
    table = rows.groupby([*ENTRY, "control", *MEASURE], sort=False, as_index=False).agg(
        mean_rank=("rank", "mean"),
        relative_rank=("relative_rank", "mean"),
        n_ranked=("ranked", "sum"),
        n_beats=("beats", "sum"),
        n_tested=("tested", "sum"),
        n_unsupported=("unsupported", "sum"),
        n_failed=("failed", "sum"),
        n_undefined=("undefined", "sum"),
        n_missing=("missing", "sum"),
    )
    return table.merge(n_expected.rename("n_expected").reset_index(), on=MEASURE, how="left", sort=False)


def overall(board: pd.DataFrame, *, missing: Literal["error", "drop", "worst"] = "error") -> pd.DataFrame:
    """Mean relative rank per family, among explainers that were all measured on the same things.

    Explainers support different problems and metrics (Grad-CAM needs a convolution), and a mean
    over other problems is another quantity. So for every set of (problem, metric) pairs that some
    explainer supports, all explainers that support the whole set are ranked again among themselves
    on just this set. An explainer of wide support is in several comparisons; only numbers with the
    same ``comparison`` may be compared. Nothing is ever averaged over families or kinds of truth.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`.
    missing : {"error", "drop", "worst"}
        What to do where a supported score is missing (failed, timed out, not run, undefined):
        refuse; leave that (problem, metric) out for every explainer of the comparison; or count it
        as the last place.

    Returns
    -------
    DataFrame
        ``family, truth_kind, comparison`` (0 is the widest), ``explainer, explainer_params``,
        ``relative_rank`` (0 best, 1 last), ``n_pairs``, ``n_dropped``, ``n_explainers``, and what the
        pairs are of: ``n_metrics``, ``n_problems``, ``problems``.

    Raises
    ------
    UsageError
        If a score is missing and ``missing`` is "error".
    NothingToDoError
        If no two explainers share a measurement.
    """
    if missing not in ("error", "drop", "worst"):
        raise UsageError(f"missing={missing!r} is not one of 'error', 'drop', 'worst'")
    rows = counted(board)
    rows = rows[~rows["control"].astype(bool) & (rows["status"] != "unsupported")]
    frames = [
        frame
        for (family, kind), group in rows.groupby(["family", "truth_kind"], sort=False)
        for frame in _comparisons(group, str(family), str(kind), missing)
    ]
    if not frames:
        raise NothingToDoError("no two explainers were measured on the same problem with the same metric")
    return pd.concat(frames, ignore_index=True)


def _comparisons(group: pd.DataFrame, family: str, kind: str, missing: str) -> list[pd.DataFrame]:
    """One frame per set of pairs that some explainer supports, the largest set first."""
    if missing == "error" and group["rank"].isna().any():
        lost = group[group["rank"].isna()]
        first = lost.iloc[0]
        reason = first["message"] if isinstance(first["message"], str) else first["status"]
        raise UsageError(
            f"no overall mean for {family}: {first['explainer']} has no rank for {first['metric']} on "
            f"{first['dataset']}/{first['model']} ({reason})"
            + (f", and {len(lost) - 1} more scores are missing" if len(lost) > 1 else ""),
            "run these cells again, or ask for missing='drop' or missing='worst'",
        )
    sign = np.where(group["higher_is_better"], -1.0, 1.0)
    cost = np.where(group["rank"].notna(), sign * significant(group["value"].to_numpy()), np.inf)
    entries = group[ENTRY].drop_duplicates().reset_index(drop=True)
    row = group.groupby(ENTRY, sort=False).ngroup().to_numpy()
    column = group.groupby(FIELD, sort=False).ngroup().to_numpy()
    supported = np.zeros((row.max() + 1, column.max() + 1), dtype=bool)
    costs = np.full(supported.shape, np.inf)
    supported[row, column] = True
    costs[row, column] = cost
    sets = sorted({tuple(np.flatnonzero(s).tolist()) for s in supported}, key=lambda s: (-len(s), s))
    pairs = group[[*PROBLEM, *MEASURE]].groupby(column).first()
    frames: list[pd.DataFrame] = []
    for wanted in sets:
        members = np.flatnonzero(supported[:, wanted].all(axis=1))
        field = costs[np.ix_(members, np.array(wanted))]
        kept = np.isfinite(field).all(axis=0) if missing == "drop" else np.ones(len(wanted), dtype=bool)
        if len(members) < 2 or not kept.any():
            continue
        relative = (rankdata(field[:, kept], axis=0) - 1) / (len(members) - 1)
        over = pairs.iloc[np.array(wanted)[kept]]
        frames.append(
            entries.iloc[members].assign(
                family=family,
                truth_kind=kind,
                comparison=len(frames),
                relative_rank=relative.mean(axis=1),
                n_pairs=int(kept.sum()),
                n_dropped=int((~kept).sum()),
                n_explainers=len(members),
                n_metrics=len(over[MEASURE].drop_duplicates()),
                n_problems=len(over[PROBLEM].drop_duplicates()),
                problems=", ".join(dict.fromkeys(over["dataset"] + "/" + over["model"])),
            )[_OVERALL]
        )
    return frames
