"""Every pair of explainers with one metric on one problem: difference, effect, and corrected p-values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, ENTRY
from xaibench.analysis.leaderboard.comparison_groups import sorted_cells, stacked
from xaibench.analysis.leaderboard.paired_tests import all_pairs
from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.levels import ALPHA

_COLUMNS = [
    *COMPARISON_GROUP, "explainer_a", "explainer_params_a", "explainer_b", "explainer_params_b", "difference",
    "win_rate", "effect", "n", "p", "p_holm", "p_bh", "better",
]  # fmt: skip


def pairwise(results: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """Compare all pairs of ranked explainers, as the rank intervals and tie groups of the board do.

    Parameters
    ----------
    results : DataFrame
        One row per cell.
    board : DataFrame
        The `leaderboard` of just these results.

    Returns
    -------
    DataFrame
        One row per comparison group and pair: ``difference`` of the values a - b; ``win_rate`` of a over the ``n``
        samples in common, ties by half; ``effect``, the rank-biserial correlation, positive where a is
        better; ``p`` of the paired test (`all_pairs`), ``p_holm`` for no false separation in the group, ``p_bh``
        for the share of false ones among those found (Benjamini and Hochberg 1995); ``better``: "a", "b", or
        null where the test does not separate them.

    Raises
    ------
    ValueError
        If the board is not of these results.
    """
    cells = sorted_cells(results)
    group_of = cells.groupby(COMPARISON_GROUP, sort=False).ngroup().to_numpy()
    entry = cells.groupby([*COMPARISON_GROUP, *ENTRY], sort=False)
    entry_of = entry.ngroup().to_numpy()
    if list(entry.groups) != list(board[[*COMPARISON_GROUP, *ENTRY]].itertuples(index=False, name=None)):
        raise ValueError("this is the leaderboard of other results")
    cuts = np.flatnonzero(np.diff(group_of, prepend=-1))
    heads = board[[*COMPARISON_GROUP, "higher_is_better", "aggregate"]].iloc[entry_of[cuts]].to_dict("records")
    log10 = [head["aggregate"] == "median_log10" for head in heads]
    value, ranked = board["value"].to_numpy(), board["rank"].notna().to_numpy()
    names = board[ENTRY].to_numpy(dtype=object)
    frames = []
    for head, (_, _, _, at, samples) in zip(heads, stacked(cells, group_of, entry_of, log10), strict=True):
        higher = bool(head["higher_is_better"])
        pairs = all_pairs(samples, value[at], np.flatnonzero(ranked[at]), higher_is_better=higher)
        left, right = names[at][pairs.left], names[at][pairs.right]
        holm = intervals.holm(pairs.p)
        found = (holm < ALPHA) & (pairs.favour != 0)
        frame = pd.DataFrame(
            {
                "explainer_a": left[:, 0], "explainer_params_a": left[:, 1], "explainer_b": right[:, 0],
                "explainer_params_b": right[:, 1], "difference": value[at][pairs.left] - value[at][pairs.right],
                "win_rate": pairs.won, "effect": pairs.effect, "n": pairs.n, "p": pairs.p, "p_holm": holm,
                "p_bh": intervals.benjamini_hochberg(pairs.p),
                "better": [("a" if f > 0 else "b") if k else None for k, f in zip(found, pairs.favour, strict=True)],
            }
        )  # fmt: skip
        frames.append(frame.assign(**{name: head[name] for name in COMPARISON_GROUP})[_COLUMNS])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_COLUMNS)
