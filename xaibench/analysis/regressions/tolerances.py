"""Practical deltas: the smallest change of a mean score that is worth reporting."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from xaibench.core.outputs import STANDARDISED
from xaibench.core.types import Array

RTOL, ATOL = 1e-4, 1e-5
"""Scores of given weights agree to this between machines, batch sizes and thread counts. Where outputs have a unit
and are smaller than 1, `ATOL` is a share of them."""
FAMILY_DELTA = {
    "ground_truth": 0.02, "faithfulness": 0.02, "axiomatic": 0.02, "complexity": 0.02, "sanity": 0.05,
    "robustness": 0.05,
}  # fmt: skip
"""On a score between two finite bounds this much; on others this share of the baseline's mean absolute score. Bounds of
scores that have the unit of the output hold for probabilities only."""
LOG_DELTA = 0.1
"""Where scores are compared in log10: a factor of 1.26."""
TIGHT = 0.05
"""Share of the delta that counts where nothing is drawn: one order near a tie may still fall the other way."""

Bounds = tuple[float | None, float | None]
HasUnit = Callable[[Mapping[str, Any]], bool]
"""From the parameters of a metric to whether its scores have the unit of the output."""


def output_units(cells: pd.DataFrame, in_output_unit: Mapping[str, HasUnit]) -> Array:
    """Whether scores have the unit of an output that has one: no probability, no standardised value; (C,) of bool.

    Parameters
    ----------
    cells : DataFrame
        Columns ``metric``, ``params`` (JSON), ``output`` (the measured one).
    in_output_unit : mapping
        By metric; scores of one that is not there have no unit.
    """
    kinds = cells[["metric", "params", "output"]].drop_duplicates()
    found = {
        (metric, params, output): isinstance(output, str)
        and output not in ("probability", STANDARDISED)
        and metric in in_output_unit
        and in_output_unit[metric](json.loads(params or "{}"))
        for metric, params, output in kinds.itertuples(index=False)
    }
    columns = (cells["metric"], cells["params"], cells["output"])
    return np.array([found[kind] for kind in zip(*columns, strict=True)], dtype=bool)


def practical_deltas(
    entries: pd.DataFrame,
    size: pd.Series[float],
    *,
    unit: Array,
    rounding: Array,
    exact: pd.Series[bool],
    bounds: Mapping[str, Bounds],
    given: Mapping[str, float],
) -> pd.Series[float]:
    """Practical delta of every entry, in the units in which it is compared.

    Parameters
    ----------
    entries : DataFrame
        Columns ``metric``, ``family``, ``aggregate``.
    size : Series
        Mean absolute score of the baseline.
    unit : array of bool
        Entries whose scores have the unit of an output, so that no bounds hold; see `output_units`.
    rounding : array
        Differences up to this are rounding.
    exact : Series of bool
        Entries in which nothing is drawn: only the `TIGHT` part of the default counts.
    bounds : mapping
        Bounds of metrics by name; a metric that is not there counts as unbounded.
    given : mapping
        Deltas by metric, which come before the defaults.
    """
    family = entries["family"].map(FAMILY_DELTA).fillna(min(FAMILY_DELTA.values())).to_numpy(dtype=np.float64)
    bounded = entries["metric"].isin([name for name, pair in bounds.items() if _finite(pair)])
    delta = np.where(bounded & ~unit, family, np.maximum(family * size.to_numpy(), rounding))
    delta = np.where(entries["aggregate"] == "median_log10", LOG_DELTA, delta)
    delta = np.where(exact, TIGHT * delta, delta)
    chosen = entries["metric"].map(dict(given)).to_numpy(dtype=np.float64)
    return pd.Series(np.where(np.isnan(chosen), delta, chosen), entries.index)


def _finite(bounds: Bounds) -> bool:
    return all(b is not None and math.isfinite(b) for b in bounds)
