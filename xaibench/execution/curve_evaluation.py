"""Removal curves evaluated again from stored explanations, and compared with the scores that were stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from xaibench.core import registry, scoring
from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.types import Array, ExplainerKey
from xaibench.execution.reconstruction import MeasureKey, ScoredProblem, board_rows_of
from xaibench.metrics.engines.removal import schedule
from xaibench.store import Store

CURVED = ("pixel_flipping", "deletion")
"""Metrics whose curve is that of removing features, most relevant first."""
NOTHING_STORED = "no explanations were stored"
_SAME = 1e-3
"""Mean difference from the stored scores up to which a curve evaluated again is that which was scored."""


@dataclass(frozen=True)
class RemovalCurves:
    """Removal curves of one problem.

    Attributes
    ----------
    measure : tuple of str
        The metric whose curves they are.
    share : array (points,)
        Share of the features that is removed.
    output : str
        What is measured.
    values : dict
        Curves (N, points) by explainer, NaN where undefined; explainers by their value, the best first, then
        random and the oracle.
    controls : frozenset
        Which of these are controls.
    different : tuple
        Explainers that are left out, for evaluated again they do not give the stored scores.
    """

    measure: MeasureKey
    share: Array
    output: str
    values: dict[ExplainerKey, Array]
    controls: frozenset[ExplainerKey]
    different: tuple[ExplainerKey, ...]


def curve_measure(rows: pd.DataFrame) -> MeasureKey | None:
    """The removal metric whose curves can be evaluated again; None if none was scored."""
    for metric in CURVED:
        fit = rows[(rows["metric"] == metric) & (rows["status"] == "ok")]
        if len(fit):
            first = fit.iloc[0]
            return str(first["metric"]), str(first["params"]), str(first["asked_output"])
    return None


def curve_seconds(rows: pd.DataFrame) -> float:
    """What evaluating the curves of a problem again should take: the time that they took to score."""
    measure = curve_measure(rows)
    return 0.0 if measure is None else float(board_rows_of(rows, measure)["score_seconds"].fillna(0.0).sum())


def removal_curves(found: ScoredProblem, store: Store) -> RemovalCurves:
    """Evaluate the removal curves of the stored explanations again.

    Raises
    ------
    UnsupportedError
        If no removal metric was scored, or no explanation was stored.
    """
    measure = curve_measure(found.rows)
    if measure is None:
        raise UnsupportedError(f"neither {' nor '.join(CURVED)} was scored")
    spec = cast(MetricSpec, registry.get("metric", measure[0]))
    params, output = spec.bind(json.loads(measure[1])), measure[2] or None
    scored = found.scores(measure)
    values: dict[ExplainerKey, Array] = {}
    controls, different, measured = set(), [], ""
    seed = int(found.rows["seed"].iloc[0])
    for entry, control in _curve_order(found.board, measure):
        stored = found.explanations(store, entry)
        if stored is None or entry not in scored:
            continue
        ev = Evaluation.of(found.problem.view(seed), attributions=stored[0], kind=stored[1], truth=found.problem.truth)
        curve = scoring.curve(spec, params, ev, output=output).numpy()
        again = scoring.score(spec, params, ev, output=output)
        if not _agree(again.values.numpy(), scored[entry]):
            different.append(entry)
            continue
        measured = again.output
        values[entry] = curve
        controls |= {entry} if control else set()
    if not values:
        raise UnsupportedError("evaluated again they do not give the stored scores" if different else NOTHING_STORED)
    n_features, steps = found.problem.samples.layout.n_features, next(iter(values.values())).shape[1] - 1
    share = (schedule(n_features, steps) / n_features).numpy()
    return RemovalCurves(measure, share, measured, values, frozenset(controls), tuple(different))


def _agree(again: Array, stored: Array) -> bool:
    known = np.isfinite(again) & np.isfinite(stored)
    return bool(known.any()) and float(np.abs(again - stored)[known].mean()) <= _SAME * max(
        1.0, float(np.abs(stored[known]).mean())
    )


def _curve_order(board: pd.DataFrame, measure: MeasureKey) -> Iterator[tuple[ExplainerKey, bool]]:
    """Explainers by their value, the best first, then random and the oracle."""
    rows = board_rows_of(board, measure)
    rows = rows[rows["status"] == "ok"]
    rows = rows[~rows["control"].astype(bool) | rows["explainer"].isin(("random", "oracle"))]
    sign = -1.0 if bool(rows["higher_is_better"].iloc[0]) else 1.0
    order = {"random": 1, "oracle": 2}
    rows = rows.assign(_at=sign * rows["value"], _c=[order.get(e, 0) for e in rows["explainer"]])
    for row in rows.sort_values(["_c", "_at"], kind="stable").to_dict("records"):
        yield (str(row["explainer"]), str(row["explainer_params"])), bool(row["control"])
