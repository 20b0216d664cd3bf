"""The index of claims as tables: one per suite, with what every verdict rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from xaibench.analysis.claims.claims_index import NOT_RUN
from xaibench.analysis.claims.verdicts import CLAIM_VERDICTS
from xaibench.report.claims import claimed
from xaibench.report.labels import interval, number
from xaibench.report.tables import TitledTable

OWN = "xaibench"
"""Stands for the paper of statements of our own."""


def claims_index_tables(index: pd.DataFrame) -> list[TitledTable]:
    """A table per suite, and a sentence that counts everything at the end."""
    tables = []
    for suite, part in index.groupby("suite", sort=False):
        rows: list[tuple[str, ...]] = [
            (
                row["id"].removeprefix(f"{suite}."),
                verdict_label(row),
                number(row["effect"]),
                interval(row["ci_low"], row["ci_high"]),
                f"{row['n']} {'samples' if row['unit'] == 'sample' else 'trainings'}" if row["n"] else "",
                claimed(row["direction"], row["margin"]),
                number(row["critical_margin"]),
                row["papers"] if isinstance(row["papers"], str) else OWN,
            )
            for row in part.to_dict("records")
        ]
        heads = ("claim", "verdict", "effect", "95 % interval", "n", "claimed", "turns at", "paper")
        notes = tuple(
            f"{row['id']}: {row['statement']}" + (f" -- {row['would_change']}" if has_turning_point(row) else "")
            for row in part.to_dict("records")
        )
        tables.append(TitledTable(str(suite), heads, rows, frozenset({0, 1, 5, 7}), notes))
    return [*tables, TitledTable("", (), [], frozenset(), (counts(index),))]


def has_turning_point(row: Mapping[Any, Any]) -> bool:
    """Whether the row says what would change its verdict, other than to run the suite."""
    text = row["would_change"]
    return isinstance(text, str) and bool(text) and row["verdict"] != NOT_RUN


def verdict_label(row: Mapping[Any, Any]) -> str:
    """The verdict, marked where the suite file has changed since."""
    return f"{row['verdict']} (outdated)" if row["state"] == "outdated" else str(row["verdict"])


def counts(index: pd.DataFrame) -> str:
    """How many claims of how many papers there are, and how many have which verdict."""
    named = {paper for cell in index["papers"].dropna() for paper in cell.split("; ")}
    own = int(index["papers"].isna().sum())
    verdicts = index["verdict"].value_counts()
    parts = [f"{verdicts.get(v, 0)} {v}" for v in (*CLAIM_VERDICTS, NOT_RUN)]
    outdated = int((index["state"] == "outdated").sum())
    n_papers = "1 paper" if len(named) == 1 else f"{len(named)} papers"
    changed = f"; {outdated} of them tested as they stood in an older suite file" if outdated else ""
    return (
        f"{len(index)} claims, {len(index) - own} of them from {n_papers} and {own} of xaibench itself: "
        f"{', '.join(parts)}{changed}."
    )
