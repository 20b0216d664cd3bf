"""Metrics that raise, or run out of time or memory, on every explanation of a problem: they do not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

FAILED = ("failed", "timeout", "oom")
_KEY = ["metric", "params", "asked_output"]
_PROBLEM = ["dataset", "model", "selection"]
MOST_SAID = 160
"""Characters of an error that a diagnosis repeats."""


def metrics_that_fail(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Names, verdict and diagnosis of every metric that has failed on a problem and has no score there.

    Parameters
    ----------
    cells : DataFrame
        One row per cell, columns as in `xaibench.store.Row`; a metric that is unsupported has not failed.

    Yields
    ------
    dict
        Columns of the audit that are known of such a metric.
    """
    known = cells.assign(asked_output=cells["asked_output"].fillna(""))
    for names, group in known.groupby([*_PROBLEM, *_KEY], sort=False):
        failed = group[group["status"].isin(FAILED)]
        if failed.empty or not failed.index.equals(group[group["status"] != "unsupported"].index):
            continue
        message = str(failed["message"].iloc[0] or failed["status"].iloc[0]).strip().partition("\n")[0]
        said = message if len(message) <= MOST_SAID else f"{message[:MOST_SAID]}..."
        yield {
            **dict(zip([*_PROBLEM, *_KEY], map(str, names), strict=True)),
            "family": failed["family"].iloc[0],
            "verdict": "does not run",
            "trust": 0.0,
            "diagnosis": f"raises on every explanation: {said}",
            "contrast": "",
            "ladder": "[]",
            "p_trend": np.nan,
            "budget_parameter": "",
            "n": 0,
            "n_seeds": int(failed["seed"].nunique()),
            "n_explanations": len(failed.drop_duplicates(["explainer", "explainer_params"])),
            "n_steady": 0,
            "n_contestants": 0,
            "undefined": np.nan,
        }
