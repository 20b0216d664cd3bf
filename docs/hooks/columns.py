"""Data dictionary: every stored column with its type and description, from the schemas."""

from __future__ import annotations

import numpydoc

from xaibench.analysis.advice.descriptions import ADVICE_COLUMN_DESCRIPTIONS, ADVICE_COLUMNS
from xaibench.analysis.certificates.descriptions import (
    COPY_COLUMN_DESCRIPTIONS,
    THRESHOLD_COLUMN_DESCRIPTIONS,
    column_types,
)
from xaibench.analysis.claims.claims_index import INDEX_COLUMN_DESCRIPTIONS, INDEX_COLUMNS
from xaibench.analysis.claims.descriptions import CLAIM_COLUMN_DESCRIPTIONS
from xaibench.analysis.claims.verdicts import CLAIM_COLUMNS
from xaibench.analysis.leaderboard.columns import LEADERBOARD_COLUMNS
from xaibench.analysis.leaderboard.descriptions import LEADERBOARD_COLUMN_DESCRIPTIONS
from xaibench.analysis.ranks.quality_and_cost import COST_COLUMN_DESCRIPTIONS, COST_COLUMNS
from xaibench.store.descriptions import RESULT_COLUMN_DESCRIPTIONS
from xaibench.store.schema import SCHEMA

INTRODUCTION = """\
# Data dictionary

What the Parquet files of a store hold. [Reading results](../how-to/read-results.md) has recipes for pandas, polars and
DuckDB; [audit](../concepts/audit.md) describes `audit.parquet` and `audit_pairs.parquet`.
"""


def pages() -> dict[str, str]:
    """Markdown by path below the documentation's folder."""
    results = {f.name: str(f.type) for f in SCHEMA}
    parts = [
        INTRODUCTION,
        _section(
            "Leaderboard",
            "`leaderboard.parquet`, `leaderboard.csv` and `xb.leaderboard(store)`: one row per problem, explainer and "
            "metric of a suite.",
            LEADERBOARD_COLUMNS,
            LEADERBOARD_COLUMN_DESCRIPTIONS,
        ),
        _section(
            "Results",
            "`xb.results(store)` and the Parquet files in the store's folder of results: one row per cell.",
            results,
            RESULT_COLUMN_DESCRIPTIONS,
        ),
        _section(
            "Claims",
            "`claims.parquet` and `xb.claims(store)`: one row per claim of a suite.",
            CLAIM_COLUMNS,
            CLAIM_COLUMN_DESCRIPTIONS,
        ),
        _section(
            "Index of claims",
            "`xaibench claims --all` and `xb.claims_index()`: one row per claim of every shipped suite.",
            INDEX_COLUMNS,
            INDEX_COLUMN_DESCRIPTIONS,
        ),
        _section(
            "Certificates",
            "`certify.parquet` of `xaibench certify`: one row per level, copy and explainer.",
            column_types(COPY_COLUMN_DESCRIPTIONS),
            COPY_COLUMN_DESCRIPTIONS,
        ),
        _section(
            "Thresholds of certificates",
            "`thresholds.parquet` of `xaibench certify`: one row per explainer, the best first.",
            column_types(THRESHOLD_COLUMN_DESCRIPTIONS),
            THRESHOLD_COLUMN_DESCRIPTIONS,
        ),
        _section(
            "Quality and cost",
            "`cost.parquet` of published results: one row per explainer of a suite.",
            COST_COLUMNS,
            COST_COLUMN_DESCRIPTIONS,
        ),
        _section(
            "Advice",
            "`advice.parquet` and `xb.advice(store)`: one row per sentence of the advice of a suite's leaderboard.",
            ADVICE_COLUMNS,
            ADVICE_COLUMN_DESCRIPTIONS,
        ),
    ]
    return {"reference/columns.md": "\n\n".join(parts) + "\n"}


def _section(title: str, text: str, types: dict[str, str], described: dict[str, str]) -> str:
    rows: list[list[object]] = [[f"`{name}`", kind, described[name]] for name, kind in types.items()]
    return f"## {title}\n\n{text}\n\n" + numpydoc.table(["column", "type", ""], rows)
