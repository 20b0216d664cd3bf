"""Every claim of many suites in one table, with the verdict of published or stored results where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from xaibench.analysis.claims.papers import papers
from xaibench.suite import Claim

NOT_RUN = "not run here"
"""Stands for the verdict of a claim whose suite has no results."""
INDEX_COLUMNS: dict[str, str] = {
    "suite": "str", "id": "str", "papers": "str", "statement": "str", "verdict": "str", "effect": "float64",
    "ci_low": "float64", "ci_high": "float64", "n": "int64", "unit": "str", "direction": "str", "margin": "float64",
    "critical_margin": "float64", "would_need_n": "float64", "would_change": "str", "message": "str", "source": "str",
    "state": "str",
}  # fmt: skip
INDEX_COLUMN_DESCRIPTIONS: dict[str, str] = {
    "suite": "Suite whose file makes the claim.",
    "id": "Name of the claim.",
    "papers": "Papers that the source names, as authors and year; null for statements of xaibench itself.",
    "statement": "The claim in a sentence.",
    "verdict": "reproduced, refuted, inconclusive, or not run here.",
    "effect": "Left minus right, or left minus the number of the claim.",
    "ci_low": "Lower end of the 95 % interval of the effect.",
    "ci_high": "Upper end of the 95 % interval of the effect.",
    "n": "Independent units behind the effect; 0 where it was not run.",
    "unit": "What is independent: sample (given these models) or training.",
    "direction": "What is claimed of the effect: greater, less or equal.",
    "margin": "Size that the effect must exceed, or stay within for equal.",
    "critical_margin": "The margin at which the verdict changes.",
    "would_need_n": "Units that would decide the claim if effect and spread stay as they are.",
    "would_change": "What would change the verdict, in a sentence; how to run it where it was not.",
    "message": "Why nothing could be decided.",
    "source": "Where the claim was published, in full.",
    "state": "current; outdated where the suite file says another thing than the one that was tested; not run.",
}
"""A sentence by column of `INDEX_COLUMNS`, in its order."""
_TESTED = ("unit", "direction", "margin")
_FOUND = (
    "verdict", "effect", "ci_low", "ci_high", "n", "critical_margin", "would_need_n", "would_change", "message",
)  # fmt: skip


def index_claims(made: Mapping[str, Sequence[Claim]], verdicts: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per claim, in the order of suites and of their files.

    Parameters
    ----------
    made : mapping
        Claims by suite; those of the suite's own file, not of its parts.
    verdicts : DataFrame, optional
        Rows as `claims_table` returns them. A claim takes the verdict of its own suite, else that of a suite that it is
        a part of; ids are unique over all suites.

    Returns
    -------
    DataFrame
        With the columns `INDEX_COLUMNS`.
    """
    rows = [] if verdicts is None else verdicts.to_dict("records")
    of_suite = {(row["suite"], row["id"]): row for row in rows}
    of_any = {row["id"]: row for row in rows}
    index = [
        _row(suite, claim, of_suite.get((suite, claim.id), of_any.get(claim.id)))
        for suite, claims in made.items()
        for claim in claims
    ]
    return pd.DataFrame(index, columns=list(INDEX_COLUMNS)).astype(INDEX_COLUMNS)


def _row(suite: str, claim: Claim, found: Mapping[Any, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "suite": suite,
        "papers": "; ".join(papers(claim.source)) or None,
        **{name: getattr(claim, name) for name in ("id", "statement", "source", *_TESTED)},
    }
    if found is None:
        said = {"verdict": NOT_RUN, "n": 0, "would_change": f"xaibench run {suite}", "state": "not run"}
        return {**row, **said}
    same = all(found[name] == getattr(claim, name) for name in _TESTED)
    return {**row, **{name: found[name] for name in _FOUND}, "state": "current" if same else "outdated"}
