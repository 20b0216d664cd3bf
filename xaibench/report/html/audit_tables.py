"""What other commands found about metrics and explainers: the audit as a table, agreement as matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from xaibench.report.html.tables import MAX_PANELS, MAX_ROWS
from xaibench.report.labels import interval, metric_labels, number, variants

_MEASURED = ("trust", "auroc", "trend", "icc", "masker_tau", "confidence_rho", "coupled")
"""Numbers of the audit that are shown, where they are there; all of them are in the store."""
_VERDICTS = ("trusted", "weak", "undecided", "broken")
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
    place = {verdict: i for i, verdict in enumerate(_VERDICTS)}
    shown = audit.assign(
        metric=[labels[key] for key in keys],
        problem=audit["dataset"] + "/" + audit["model"],
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
    alt: str


def agreement_matrices(found: pd.DataFrame | None) -> list[Agreement]:
    """Matrices of agreement, one per problem and measure; none where no such table was made."""
    if found is None or found.empty or "expected" not in found:
        return []
    shown = found[found["measure"].isin(_AGREEMENTS)]
    made = []
    for key, group in list(shown.groupby(["suite", "dataset", "model", "selection", "measure"], sort=False)):
        suite, dataset, model, _, measure = map(str, key)
        sides = [list(zip(group[f"explainer_{s}"], group[f"params_{s}"], strict=True)) for s in "ab"]
        names = variants([*sides[0], *sides[1]])
        left, right = ([names[entry] for entry in side] for side in sides)
        matrix = pd.DataFrame(index=list(names.values()), columns=list(names.values()), dtype=float)
        for a, b, value in zip(left, right, group["value"], strict=True):
            matrix.loc[a, b] = matrix.loc[b, a] = value
        expected = float(group["expected"].mean())
        title = (
            f"{measure} agreement on the {group['k'].iloc[0]} largest of {group['features'].iloc[0]} features;"
            f" {number(expected, 2)} for independent rankings"
        )
        ordered = group.assign(_a=left, _b=right).dropna(subset="value").sort_values("value", kind="stable")
        ends = ordered.iloc[[-1, 0]].to_dict("records") if len(ordered) else []
        said = [f"{r['_a']} and {r['_b']} {number(r['value'], 2)}" for r in ends]
        alt = f"{title}. " + (f"Most alike: {said[0]}; least: {said[1]}." if said else "")
        name = f"{suite} {dataset} {model} {measure}"
        made.append(Agreement(suite, f"{dataset}/{model}", name, title, matrix, expected, alt))
    return made[: 2 * MAX_PANELS]
