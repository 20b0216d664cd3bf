"""Scores of an explainer mirrored at the placebos that it is compared with: better becomes as much worse."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, ENTRY
from xaibench.core.types import Array

FLOOR = 1e-12


def reversed_scores(
    cells: pd.DataFrame,
    board: pd.DataFrame,
    entry: tuple[str, str],
    tests: Collection[tuple[str, ...]] | None = None,
) -> pd.DataFrame:
    """The cells with every score s of an explainer replaced by 2 p - s, p the score of its best placebo there.

    Scores that are compared in log10 are mirrored there. Samples are paired by their ids.

    Parameters
    ----------
    cells, board : DataFrame
        Of one suite.
    entry : (str, str)
        The explainer and its parameters.
    tests : collection of tuple, optional
        Values of `COMPARISON_GROUP`; only the scores of these tests, by default all.
    """
    asked = cells["asked_output"].where(cells["asked_output"].notna(), "").astype(str)
    keyed = cells.assign(asked_output=asked)
    keys = list(keyed[COMPARISON_GROUP].astype(str).itertuples(index=False, name=None))
    own = (keyed[ENTRY] == list(entry)).all(axis=1).to_numpy()
    rows = board[(board[ENTRY] == list(entry)).all(axis=1)]
    groups = rows[COMPARISON_GROUP].astype(str).itertuples(index=False, name=None)
    placebo_of = dict(zip(groups, rows["placebo"], strict=True))
    placebo: dict[tuple[Any, ...], dict[str, float]] = {}
    first = (keyed["repeat"] == 0).to_numpy()
    for i, key in enumerate(keys):
        if first[i] and placebo_of.get(key) == keyed["explainer"].iloc[i] and keyed["scores"].iloc[i] is not None:
            found = zip(keyed["sample_ids"].iloc[i], keyed["scores"].iloc[i], strict=True)
            placebo.setdefault((*key, keyed["problem_seed"].iloc[i]), {}).update(found)
    scores = []
    for i, key in enumerate(keys):
        values = keyed["scores"].iloc[i]
        other = placebo.get((*key, keyed["problem_seed"].iloc[i]))
        if own[i] and values is not None and other and (tests is None or key in tests):
            p: Array = np.array([other.get(name, np.nan) for name in keyed["sample_ids"].iloc[i]], dtype=np.float64)
            s = np.asarray(values, dtype=np.float64)
            log10 = keyed["aggregate"].iloc[i] == "median_log10"
            values = np.maximum(p, FLOOR) ** 2 / np.maximum(s, FLOOR) if log10 else 2 * p - s
        scores.append(values)
    return cells.assign(scores=pd.Series(scores, cells.index, dtype=object))
