"""Explainers in one order, that of their overall rank on common ground, with their tests against the placebos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import ENTRY, METRIC_FAMILIES, PROBLEM
from xaibench.analysis.leaderboard.placebo_tests import TESTED_FAMILIES
from xaibench.analysis.ranks.overall import OVERALL_GROUP, overall
from xaibench.analysis.ranks.placebo_wins import placebo_wins
from xaibench.analysis.ranks.relative_ranks import counted
from xaibench.core.errors import NothingToDoError

COMPARISON = [*OVERALL_GROUP, "comparison"]
"""Columns that identify a comparison of `overall`."""
_RANKED = ["place", "relative_rank", "ci_low", "ci_high"]


@dataclass(frozen=True)
class CommonGround:
    """The measurements that overall ranks are of.

    Attributes
    ----------
    family, truth_kind, about : str
        Of the metrics, as in `overall`.
    comparison : int
        Number of the comparison within these, as in `overall`.
    n_explainers, n_metrics, n_problems, n_datasets : int
    n_dropped : int
        Pairs of problem and metric that are left out for all, because some explainer has no score.
    """

    family: str
    truth_kind: str
    about: str
    comparison: int
    n_explainers: int
    n_metrics: int
    n_problems: int
    n_datasets: int
    n_dropped: int


@dataclass(frozen=True)
class Standings:
    """How the explainers of one suite stand.

    Attributes
    ----------
    explainers : DataFrame
        The columns of `placebo_wins`; ``place``, ``relative_rank``, ``ci_low`` and ``ci_high`` on the common ground
        (``place`` is 1 for the best, equals share the better place; NaN for controls and for what was not measured
        on all of it). Explainers in the order of `overall`, controls last.
    ground : CommonGround or None
        None where no two explainers were measured on the same thing; then tests won make the order.
    """

    explainers: pd.DataFrame
    ground: CommonGround | None


def standings(board: pd.DataFrame) -> Standings:
    """Order the explainers of one suite's leaderboard.

    Explainers support different problems and metrics, and ranks over different ones are not comparable. The common
    ground is the comparison of `overall` (scores that are missing are left out for all) with the most measurements:
    explainers times pairs of problem and metric. It is one of ground truth where such a comparison covers every
    problem, else of the families in which a placebo should lose, where there are any. Explainers that were not
    measured on all of it follow without a place, in the order of the next comparison that holds them.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`; of one suite.

    Returns
    -------
    Standings
    """
    rows = counted(board)
    wins = placebo_wins(board, rows)
    try:
        frame = overall(board, missing="drop")
    except NothingToDoError:
        return Standings(wins.assign(**dict.fromkeys(_RANKED, np.nan)), None)
    ground = _common_ground(frame, len(rows[PROBLEM].drop_duplicates()))
    first = rows_on(frame, ground)
    first = first.assign(place=first["relative_rank"].round(12).rank(method="min"))
    found = wins.merge(first[[*ENTRY, *_RANKED]], on=ENTRY, how="left", sort=False)
    order = {entry: i for i, entry in enumerate(_order(frame, ground))}
    position = [
        (bool(control), order.get(entry, len(order)))
        for control, *entry_ in found[["control", *ENTRY]].itertuples(index=False, name=None)
        for entry in (tuple(entry_),)
    ]
    at = sorted(range(len(found)), key=lambda i: (position[i], i))
    return Standings(found.iloc[at].reset_index(drop=True), ground)


def rows_on(frame: pd.DataFrame, ground: CommonGround) -> pd.DataFrame:
    """The rows of a frame from `overall` that are of the common ground, the best explainer first."""
    wanted = (ground.family, ground.truth_kind, ground.about, ground.comparison)
    chosen = (frame[COMPARISON] == list(wanted)).all(axis=1)
    return frame[chosen].sort_values(["relative_rank", *ENTRY], kind="stable")


def _common_ground(frame: pd.DataFrame, n_problems: int) -> CommonGround:
    heads = frame.drop_duplicates(COMPARISON).assign(size=lambda f: f["n_explainers"] * f["n_pairs"])
    tested = heads[heads["family"].isin(TESTED_FAMILIES)]
    known = heads[(heads["family"] == "ground_truth") & (heads["n_problems"] == n_problems)]
    choice = next(part for part in (known, tested, heads) if len(part))
    place = {family: i for i, family in enumerate(METRIC_FAMILIES)}
    choice = choice.assign(_family=choice["family"].map(place).fillna(len(place)))
    by, ascending = ["size", "_family", "n_explainers", "comparison"], [False, True, False, True]
    best = choice.sort_values(by, ascending=ascending, kind="stable").iloc[0]
    counts = ("n_explainers", "n_metrics", "n_problems", "n_datasets", "n_dropped")
    return CommonGround(
        str(best["family"]), str(best["truth_kind"]), str(best["about"]), int(best["comparison"]),
        *(int(best[c]) for c in counts),
    )  # fmt: skip


def _order(frame: pd.DataFrame, ground: CommonGround) -> list[tuple[str, str]]:
    """Explainers on the common ground, then those of other comparisons in the same and then in other families."""
    same = (frame[OVERALL_GROUP] == [ground.family, ground.truth_kind, ground.about]).all(axis=1)
    others = frame.assign(_other=~same, _size=-frame["n_explainers"] * frame["n_pairs"])
    by = ["_other", "_size", *COMPARISON, "relative_rank", *ENTRY]
    rest = others.sort_values(by, kind="stable")
    both = pd.concat([rows_on(frame, ground)[ENTRY], rest[ENTRY]])
    return [(str(e), str(p)) for e, p in both.drop_duplicates().itertuples(index=False, name=None)]
