"""The audit: which metrics deserve trust on which problems."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.audit import measures
from xaibench.analysis.audit.failures import judged_with_failures, metrics_that_fail, partial_failures
from xaibench.analysis.audit.trials import AttributionFacts, ProblemScores, size_and_rest, trials
from xaibench.analysis.audit.verdict import metric_verdict
from xaibench.analysis.statistics.estimate import NOTHING, Estimate

AUDIT_MEASURES = (
    "auroc", "trend", "icc", "repeatability", "masker_tau", "masker_share", "masker_interaction", "confidence_rho",
    "agreement", "distance", "coupled",
)  # fmt: skip
"""Measured numbers; each is a column with two more for its interval, ``_low`` and ``_high``."""
_TEXT = ["suite", "dataset", "model", "selection", "metric", "params", "asked_output", "family"]
_KEY = ["metric", "params", "asked_output"]
_JUDGED = ["trust", "verdict", "diagnosis"]
AUDIT_COLUMNS = [
    *_TEXT, *_JUDGED, *(f"{m}{end}" for m in AUDIT_MEASURES for end in ("", "_low", "_high")), "contrast", "ladder",
    "p_trend", "budget_parameter", "budget", "largest_budget", "n", "n_seeds", "n_explanations", "n_steady",
    "n_contestants", "undefined",
]  # fmt: skip
PAIR_COLUMNS = [
    "suite", "dataset", "model", "selection", "metric", "params", "asked_output", "family", "other_metric",
    "other_params", "other_asked_output", "other_family", "tau", "tau_low", "tau_high", "n_explainers", "n",
]  # fmt: skip


def audit(
    cells: pd.DataFrame, *, suite: str, maps: AttributionFacts | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge every metric on every problem of a suite.

    Parameters
    ----------
    cells : DataFrame
        One row per cell, columns as in `xaibench.store.Row`.
    suite : str
        Name that goes into the first column.
    maps : AttributionFacts, optional
        What is known of the explanations; without it reliability and coupling cannot be told from
        what the explainers do.

    Returns
    -------
    metrics : DataFrame
        One row per problem and metric, the most trusted first, see `AUDIT_COLUMNS`: verdicts as in
        `audit_verdict.judge`, and every number with its 95 % interval, whose units are samples:
        these weights, new samples. Where a problem is there with several numbers of samples, the
        largest one is judged, and the smallest one says whether scores depend on the other samples.
        A metric whose scores do so on one problem is broken on all; one whose scores are all equal
        is broken if they are on every problem. One that raises on every explanation of a problem does not run.
    pairs : DataFrame
        Kendall's tau between the metrics of every problem, over explainers that are not controls.
    """
    drafts: list[tuple[dict[str, Any], bool]] = []
    pairs: list[dict[str, Any]] = []
    known = maps or AttributionFacts()
    for large, small in _by_size(trials(cells)):
        head = dict(zip(("suite", "dataset", "model", "selection"), (suite, *large.names), strict=True))
        audited = {k: p for k, p in large.panels.items() if k[0] != measures.CONFIDENCE_METRIC}
        if not audited:
            continue
        found = {key: measures.by_itself(large, key[0], panel) for key, panel in audited.items()}
        for more in (
            measures.of_seeds(large, audited, known),
            measures.of_maskers(large, audited),
            measures.of_confidence(large, audited),
            measures.of_budgets(large, audited, known),
            measures.of_company(large, small, audited, known),
        ):
            for key, numbers in more.items():
                found[key] |= numbers
        pairs += [{**head, **record} for record in measures.metric_agreements(large, audited, found)]
        drafts += [
            ({**head, **dict(zip(_KEY, key, strict=True)), **numbers}, large.gate_passed)
            for key, numbers in found.items()
        ]
    _of_the_metric([row for row, _ in drafts])
    failures = partial_failures(cells)
    rows = [
        _flat(judged_with_failures(row | metric_verdict(row, gate_passed), failures)) for row, gate_passed in drafts
    ]
    rows += [_flat({"suite": suite, **row}) for row in metrics_that_fail(cells)]
    frame = pd.DataFrame(rows, columns=AUDIT_COLUMNS)
    order = frame.assign(
        _place=frame["verdict"].map({"trusted": 0, "weak": 1, "undecided": 2}).fillna(3), _trust=-frame["trust"]
    ).sort_values(["dataset", "model", "selection", "_place", "_trust", "metric", "params"], kind="stable")
    return frame.loc[order.index].reset_index(drop=True), pd.DataFrame(pairs, columns=PAIR_COLUMNS)


def _by_size(found: Iterator[ProblemScores]) -> Iterator[tuple[ProblemScores, ProblemScores | None]]:
    """Every problem with its largest number of samples, and with its smallest, if that is another one."""

    def problem(trial: ProblemScores) -> tuple[str, str, str]:
        return (*trial.names[:2], size_and_rest(trial.names[2])[1])

    for _, group in groupby(sorted(found, key=problem), key=problem):
        by_size = sorted(group, key=lambda t: size_and_rest(t.names[2])[0])
        yield by_size[-1], by_size[0] if len(by_size) > 1 else None


def _of_the_metric(rows: list[dict[str, Any]]) -> None:
    """Add to every row what is a property of its metric, not of its problem.

    Where scores depend most on the other samples, and whether they are constant, or blind,
    wherever they were measured: on a single problem a sound metric may be.
    """
    by_metric: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        by_metric.setdefault(tuple(row[name] for name in _KEY), []).append(row)
    for group in by_metric.values():
        seen = [r for r in group if np.isfinite(r.get("coupled", NOTHING).value)]
        worst = max(seen, key=lambda r: float(r["coupled"].value), default=None)
        everywhere = {name: all(r[name] for r in group if r["n"]) for name in ("constant", "blind")}
        for row in group:
            row["coupled_most"] = worst and (f"{worst['dataset']}/{worst['model']}", worst["coupled"])
            row["everywhere"] = everywhere["constant"] or everywhere["blind"]


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Estimates as three columns each."""
    flat = {k: v for k, v in row.items() if not isinstance(v, Estimate)}
    for name in AUDIT_MEASURES:
        estimate = row.get(name, NOTHING)
        flat |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return flat
