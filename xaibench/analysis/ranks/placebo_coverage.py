"""Where a leaderboard was tested against placebos at all: by which controls, where not, and whether the oracle wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from xaibench.analysis.flags import is_false
from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP
from xaibench.analysis.leaderboard.placebo_tests import TESTED_FAMILIES
from xaibench.core.components import ORACLE

Untested = Literal["no placebo", "failed gates", "other families"]


@dataclass(frozen=True)
class PlaceboCoverage:
    """What stands behind the placebo tests of a leaderboard.

    Attributes
    ----------
    placebos : tuple of str
        Names of the controls that were placebos; none where the board does not hold them all.
    untested : str or None
        Why no explainer was compared with a placebo: ``no placebo`` was scored; ``failed gates`` of all problems
        where it would have been; metrics of ``other families`` only. None where some were compared.
    oracle_losses : DataFrame
        Rows on which the oracle itself does not beat the placebos: what is measured there tells no truth.
    """

    placebos: tuple[str, ...]
    untested: Untested | None
    oracle_losses: pd.DataFrame


def placebo_coverage(board: pd.DataFrame, rows: pd.DataFrame) -> PlaceboCoverage:
    """Say where the placebo tests of a leaderboard were made, and by which controls.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`.
    rows : DataFrame
        The rows of it that count, from `xaibench.analysis.ranks.relative_ranks.counted`.
    """
    tested = rows[(rows["n_placebos"] > 0) & rows["family"].isin(TESTED_FAMILIES)]
    not_beaten = is_false(rows["beats_placebo"])
    oracle = rows[(rows["explainer"] == ORACLE) & rows["control"].astype(bool) & not_beaten]
    return PlaceboCoverage(_placebos(tested), None if len(tested) else _reason(board, rows), oracle)


def _placebos(tested: pd.DataFrame) -> tuple[str, ...]:
    fit = tested["control"].astype(bool) & (tested["explainer"] != ORACLE) & (tested["status"] == "ok")
    group = tested.groupby(COMPARISON_GROUP, sort=False).ngroup()
    there, needed = fit.groupby(group).transform("sum"), tested["n_placebos"].groupby(group).transform("first")
    if (there < needed).any():
        return ()
    # Of more controls than placebos some were not fit to be one.
    return tuple(sorted(set(tested.loc[fit & (there == needed), "explainer"])))


def _reason(board: pd.DataFrame, rows: pd.DataFrame) -> Untested:
    if rows["family"].isin(TESTED_FAMILIES).any():
        return "no placebo"
    return "failed gates" if board["family"].isin(TESTED_FAMILIES).any() else "other families"
