"""Whether a suite can tell the truth from noise: its oracle must beat random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, PROBLEM
from xaibench.core.components import ORACLE, RANDOM


@dataclass(frozen=True)
class Validity:
    """What a leaderboard says about the suite behind it.

    Attributes
    ----------
    checked : int
        Problems with a known truth, passed gates, and both controls scored on a ground-truth metric.
    invalid : tuple of str
        Those on which the oracle beats random on no ground-truth metric.
    weak : tuple of str
        Metrics of the others, by problem, on which it does not.
    """

    checked: int
    invalid: tuple[str, ...]
    weak: tuple[str, ...]


def validity(board: pd.DataFrame) -> Validity:
    """Check the oracle against random on every problem of one suite's leaderboard.

    The oracle beats random where their 95 % intervals lie apart, on the better side. Metrics on
    which either has no interval and their values are equal do not count for it.
    """
    truths = board[(board["family"] == "ground_truth") & (board["gate_passed"] != False)]  # noqa: E712
    truths = truths[truths["value"].notna() & truths["truth_kind"].notna()]
    oracle, random = (truths[truths["explainer"] == name] for name in (ORACLE, RANDOM))
    both = oracle.merge(random, on=COMPARISON_GROUP, suffixes=("", "_random"))
    if both.empty:
        return Validity(0, (), ())
    sign = np.where(both["higher_is_better"], 1.0, -1.0)
    near = both["ci_low"].where(both["higher_is_better"], both["ci_high"]).fillna(both["value"])
    far = both["ci_high_random"].where(both["higher_is_better"], both["ci_low_random"]).fillna(both["value_random"])
    both["_beats"] = sign * (near - far) > 0
    invalid, weak = [], []
    for names, group in both.groupby(PROBLEM, sort=True):
        problem = f"{names[0]}/{names[1]}"
        if not group["_beats"].any():
            invalid.append(problem)
        else:
            weak += [f"{problem}: {metric}" for metric in group.loc[~group["_beats"], "metric"]]
    return Validity(both.groupby(PROBLEM).ngroups, tuple(invalid), tuple(weak))
