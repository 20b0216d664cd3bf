"""On which problems of a leaderboard anything was scored."""

from __future__ import annotations

import pandas as pd


def supported_problems(board: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Split the problems of a leaderboard by whether any row is supported.

    Returns
    -------
    supported : DataFrame
        Rows of the problems that support something; the whole board where none does.
    unsupported : list of str
        ``dataset/model`` of the others, sorted; empty where that would be all of them.
    """
    names = board["dataset"] + "/" + board["model"]
    supported = set(names[board["status"] != "unsupported"])
    if not supported:
        return board, []
    return board[names.isin(supported)], sorted(set(names) - supported)
