"""Metrics that raise, or run out of time or memory, on every explanation of a problem: they do not run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

FAILED = ("failed", "timeout", "oom")
_KEY = ["metric", "params", "asked_output"]
_PROBLEM = ["dataset", "model", "selection"]
MOST_SAID = 160
"""Characters of an error that a diagnosis repeats."""


class Failure(NamedTuple):
    """What to say of a metric that has raised on some explanations, and whether all of these are controls."""

    said: str
    only_controls: bool


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
    for names, failed, tried in _failures(cells):
        if len(failed) < len(tried):
            continue
        yield {
            **dict(zip([*_PROBLEM, *_KEY], names, strict=True)),
            "family": failed["family"].iloc[0],
            "verdict": "does not run",
            "trust": 0.0,
            "diagnosis": f"raises on every explanation: {_said(failed)}",
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


def judged_with_failures(row: Mapping[str, Any], failures: Mapping[tuple[str, ...], Failure]) -> dict[str, Any]:
    """The audit's row of a metric that has raised on some explanations, which its diagnosis then says.

    Where it says the same of all explanations that it did not raise on, nothing is left to judge: it does not run. If
    it has refused nothing but controls, it does run, and its constant score is what is wrong with it.

    Parameters
    ----------
    row : mapping
        Of `xaibench.analysis.audit.audit.audit`, judged.
    failures : mapping
        From `partial_failures`.
    """
    found = failures.get(tuple(str(row[name] or "") for name in (*_PROBLEM, *_KEY)))
    if found is None:
        return dict(row)
    if row["constant"] and not found.only_controls:
        diagnosis = f"{found.said}; all others get the same score"
        return {**row, "verdict": "does not run", "trust": 0.0, "diagnosis": diagnosis}
    return {**row, "diagnosis": f"{row['diagnosis']}; {found.said}"}


def partial_failures(cells: pd.DataFrame) -> dict[tuple[str, ...], Failure]:
    """What to say of metrics that have raised on some explanations, by problem, metric, parameters and asked output."""
    return {
        names: Failure(
            f"raises on {len(failed)} of {len(tried)} explanations: {_said(failed)}",
            bool(failed["control"].astype(bool).all()),
        )
        for names, failed, tried in _failures(cells)
        if len(failed) < len(tried)
    }


def _failures(cells: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.DataFrame, pd.DataFrame]]:
    """Names of a problem and a metric with the cells that failed, of which there is one, and those that were tried."""
    known = cells.assign(asked_output=cells["asked_output"].fillna(""))
    for names, group in known.groupby([*_PROBLEM, *_KEY], sort=False):
        tried = group[group["status"] != "unsupported"]
        failed = tried[tried["status"].isin(FAILED)]
        if len(failed):
            yield tuple(map(str, names)), failed, tried


def _said(failed: pd.DataFrame) -> str:
    message = str(failed["message"].iloc[0] or failed["status"].iloc[0]).strip().partition("\n")[0]
    return message if len(message) <= MOST_SAID else f"{message[:MOST_SAID]}..."
