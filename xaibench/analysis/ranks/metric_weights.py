"""Weights of metrics from an audit, used only on problems that they were not fitted on."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from xaibench.core.errors import UsageError
from xaibench.core.types import Array

_KEY = ["metric", "params", "asked_output"]


def weights_elsewhere(pairs: pd.DataFrame, trust: pd.DataFrame) -> Array:
    """Mean trust in the metric of every pair on data sets other than that of the pair.

    Each data set counts once, with its mean: several models of one data set are not independent.

    Parameters
    ----------
    pairs : DataFrame
        ``dataset, metric, params, asked_output``.
    trust : DataFrame
        The same with ``trust``, 0 or more; NaN where nothing was found out.

    Returns
    -------
    array (pairs,)
        All 1 where nothing is known of any of these metrics elsewhere: an audit cannot judge whole
        families, such as robustness, and they stay as they are without it.

    Raises
    ------
    UsageError
        If some metrics have trust on another data set and others have not, or the frame is no such frame.
    """
    lacking = {"dataset", "metric", "params", "trust"} - set(trust.columns)
    if lacking:
        raise UsageError(f"weights of metrics need the columns {', '.join(sorted(lacking))}")
    asked = trust["asked_output"].fillna("") if "asked_output" in trust else ""
    known = trust.assign(asked_output=asked).dropna(subset=["trust"])
    if not np.isfinite(known["trust"]).all() or (known["trust"] < 0).any():
        raise UsageError("weights of metrics must be numbers from 0 on")
    found: dict[tuple[Any, ...], list[tuple[Any, float]]] = defaultdict(list)
    means = known.groupby([*_KEY, "dataset"], sort=False)["trust"].mean().reset_index()
    for *key, dataset, value in means.itertuples(index=False, name=None):
        found[tuple(key)].append((dataset, float(value)))
    wanted = list(pairs[[*_KEY, "dataset"]].itertuples(index=False, name=None))
    elsewhere = [[value for place, value in found[tuple(key)] if place != dataset] for *key, dataset in wanted]
    if not any(elsewhere):
        return np.ones(len(wanted))
    for (metric, *_, dataset), values in zip(wanted, elsewhere, strict=True):
        if not values:
            raise UsageError(
                f"nothing says how far {metric} can be trusted on data sets other than {dataset}",
                "audit it on another data set, or leave the weights out",
            )
    return np.array([sum(values) / len(values) for values in elsewhere])
