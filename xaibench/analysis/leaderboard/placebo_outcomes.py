"""What the tests against the placebos say of every row of a leaderboard, in one word."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xaibench.analysis.flags import is_true

BEATS, LOSES, UNDECIDED, TOO_FEW = "beats", "loses", "undecided", "too few"


def placebo_outcomes(board: pd.DataFrame) -> pd.Series[str]:
    """Outcome of the placebo tests.

    Parameters
    ----------
    board : DataFrame
        ``beats_placebo``, ``p_placebo``, and ``loses_to_placebo`` unless the board is older than that test.

    Returns
    -------
    Series of str
        With the index of the board: `BEATS` every placebo; `LOSES` to some placebo; `UNDECIDED` where neither
        could be shown; `TOO_FEW` samples, so that no scores could have passed the test; None without a test.
    """
    beats = is_true(board["beats_placebo"]).to_numpy()
    loses = np.zeros(len(board), dtype=bool)
    if "loses_to_placebo" in board:
        loses = is_true(board["loses_to_placebo"]).to_numpy()
    decidable = board["beats_placebo"].notna().to_numpy()
    with_p = board["p_placebo"].notna().to_numpy()
    outcome = np.select([beats, loses, decidable, with_p], [BEATS, LOSES, UNDECIDED, TOO_FEW], "")
    return pd.Series(outcome, board.index, dtype=object).replace("", None)
