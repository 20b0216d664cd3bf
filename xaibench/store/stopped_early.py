"""Rows of explainers that left a race before all samples were scored: marked in their message."""

from __future__ import annotations

from typing import Any

import pandas as pd

STOPPED_EARLY = "stopped early: "
"""First words of the message of such a row; its status is that of its scores."""


def stopped_early(messages: pd.Series[Any]) -> pd.Series[bool]:
    """By row: whether it left a race early, from its message."""
    found: pd.Series[bool] = messages.fillna("").astype(str).str.startswith(STOPPED_EARLY)
    return found


def left_early(board: pd.DataFrame) -> pd.Series[bool]:
    """By row of a leaderboard: whether the explainer left a race there early, from the message, which ends with how."""
    if "message" not in board:
        return pd.Series(False, board.index)
    found: pd.Series[bool] = board["message"].fillna("").astype(str).str.contains(STOPPED_EARLY, regex=False)
    return found
