"""What other commands found about metrics and explainers: the audit as a table, agreement as matrices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.agreement_matrix import AgreementMatrix, agreement_matrices
from xaibench.analysis.audit.verdict import AUDIT_VERDICTS
from xaibench.report.html.feature_tables import shades
from xaibench.report.html.tables import MAX_PANELS, MAX_ROWS
from xaibench.report.labels import interval, metric_labels, number, problem_label, problem_labels, share, variants

_MEASURED = ("trust", "auroc", "trend", "icc", "masker_tau", "confidence_rho", "coupled")
"""Numbers of the audit that are shown, where they are there; all of them are in the store."""
_AGREEMENTS = ("feature", "sign")


@dataclass(frozen=True)
class Listing:
    """A table as texts, in parts with a title; the first ``left`` columns are words, the others numbers."""

    heads: list[str]
    parts: list[tuple[str, list[list[str]]]]
    left: int
    more: int


def audit_listing(audit: pd.DataFrame | None) -> Listing | None:
    """Verdicts on metrics, those that deserve most trust first; None where no audit was made."""
    if audit is None or audit.empty or not {"metric", "verdict", "diagnosis"} <= set(audit.columns):
        return None
    labels = metric_labels(audit)
    keys = zip(audit["metric"], audit["params"], audit["asked_output"], strict=True)
    place = {verdict: i for i, verdict in enumerate(AUDIT_VERDICTS)}
    shown = audit.assign(
        metric=[labels[key] for key in keys],
        problem=problem_labels(audit),
        _place=audit["verdict"].map(place).fillna(len(place)),
        _trust=-audit["trust"],
    ).sort_values(["_place", "_trust"], kind="stable")
    measured = [c for c in _MEASURED if c in shown and shown[c].notna().any()]
    words = ("metric", "problem", "verdict", "diagnosis")
    counts = shown["verdict"].value_counts()
    parts = [
        (
            f"{counts[verdict]} {verdict}",
            [
                [*(r[c] if isinstance(r[c], str) else "" for c in words), *(_measured(r, c) for c in measured)]
                for r in rows.to_dict("records")
            ],
        )
        for verdict, rows in shown.head(MAX_ROWS).groupby("verdict", sort=False)
    ]
    heads = [c.replace("_", " ") for c in (*words, *measured)]
    return Listing(heads, parts, len(words), max(len(shown) - MAX_ROWS, 0))


def _measured(row: dict[Any, Any], column: str) -> str:
    text = number(row[column])
    low, high = (row.get(f"{column}_{end}", float("nan")) for end in ("low", "high"))
    return f"{text} {interval(low, high)}".strip() if text else ""


@dataclass(frozen=True)
class Agreement:
    """A matrix of agreement on one problem, and the value of independent rankings."""

    suite: str
    problem: str
    name: str
    title: str
    values: pd.DataFrame
    expected: float
    extremes: str

    def rows(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Every explainer with the text and the shade of each cell; the whole range of agreement has colours."""
        reach = max(self.expected, 1 - self.expected)
        found = []
        for name, values in zip(self.values.index, self.values.to_numpy(dtype=np.float64), strict=True):
            classes = shades(values, signed=True, centre=self.expected, reach=reach)
            texts = ["" if np.isnan(v) else share(float(v)) for v in values]
            found.append(
                (
                    str(name),
                    list(zip(texts, ["" if not t else c for t, c in zip(texts, classes, strict=True)], strict=True)),
                )
            )
        return found


def shown_agreement(found: pd.DataFrame | None) -> list[Agreement]:
    """Matrices of agreement, one per problem and measure; none where no such table was made."""
    if found is None or found.empty or "expected" not in found:
        return []
    return [_agreement(matrix) for matrix in islice(agreement_matrices(found, _AGREEMENTS), 2 * MAX_PANELS)]


def _agreement(found: AgreementMatrix) -> Agreement:
    names = variants(found.values.index)
    labels = [names[entry] for entry in found.values.index]
    title = (
        f"{found.measure} agreement on the {found.k} largest of {found.n_features} features;"
        f" {number(found.expected, 2)} for independent rankings"
    )
    extremes = ""
    if found.most is not None and found.least is not None:
        most, least = (f"{names[a]} and {names[b]} {number(v, 2)}" for a, b, v in (found.most, found.least))
        extremes = f"Most alike: {most}; least: {least}."
    problem = problem_label(found.dataset, found.model, found.selection)
    name = f"{found.suite} {problem.replace('/', ' ')} {found.measure}"
    values = found.values.set_axis(labels, axis=0).set_axis(labels, axis=1)
    return Agreement(found.suite, problem, name, title, values, found.expected, extremes)
