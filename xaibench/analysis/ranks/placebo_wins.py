"""Tests against the placebos that every explainer won, over the problems of a leaderboard."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from xaibench.analysis.leaderboard.columns import ENTRY, PROBLEM
from xaibench.analysis.leaderboard.placebo_outcomes import LOSES, TOO_FEW, placebo_outcomes
from xaibench.analysis.leaderboard.placebo_tests import TESTED_FAMILIES

Record = Literal["all", "most", "few", "none", "untested"]
_COLUMNS = [*ENTRY, "control", "won", "tested", "undecidable", "lost", "n_problems", "record"]


def record(won: int, tested: int) -> Record:
    """Share of tests won in a word: all, at least half (most), fewer (few), none; untested without a test."""
    if not tested:
        return "untested"
    if won == tested:
        return "all"
    return "none" if not won else "most" if 2 * won >= tested else "few"


def placebo_wins(board: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Tests won, over all problems and all metrics of the families in which a placebo should lose.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`.
    rows : DataFrame
        The rows of it that count, from `xaibench.analysis.ranks.relative_ranks.counted`.

    Returns
    -------
    DataFrame
        One row per explainer of the board: ``explainer, explainer_params, control``; ``won`` of the ``tested``
        ones that it could have won, ``undecidable`` ones beside them, whose samples are too few for any scores
        to pass; ``lost`` to some placebo; ``n_problems`` with a value; ``record``, see `record`. Explainers come
        before controls, by the share of tests won, then by mean relative rank in these families, then by name;
        those without a test come last.
    """
    families = rows[rows["family"].isin(TESTED_FAMILIES)]
    families = families.assign(outcome=placebo_outcomes(families))
    # Rows of a board are wide, and every explainer takes some of them.
    families = families[[*ENTRY, "beats_placebo", "outcome", "relative_rank"]]
    rows = rows[[*ENTRY, *PROBLEM, "status"]]
    found = []
    for key, group in board[[*ENTRY, "control"]].groupby(ENTRY, sort=True):
        own = families[(families["explainer"] == key[0]) & (families["explainer_params"] == key[1])]
        ran = rows[(rows["explainer"] == key[0]) & (rows["explainer_params"] == key[1]) & (rows["status"] == "ok")]
        marks = own["beats_placebo"].dropna()
        won, tested = int(marks.sum()), len(marks)
        undecidable, lost = (int((own["outcome"] == outcome).sum()) for outcome in (TOO_FEW, LOSES))
        control, rank = bool(group["control"].iloc[0]), own["relative_rank"].mean()
        place = (control, -won / tested if tested else 1.0, rank if rank == rank else 2.0, *key)
        n_problems = len(ran[PROBLEM].drop_duplicates())
        found.append((place, (*key, control, won, tested, undecidable, lost, n_problems, record(won, tested))))
    return pd.DataFrame([row for _, row in sorted(found)], columns=_COLUMNS)
