"""``xaibench claims --all``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from xaibench.api.published import claims_index
from xaibench.cli.output import stderr, stdout
from xaibench.core.errors import NothingToDoError, UsageError
from xaibench.core.storage.files import write_atomic
from xaibench.report import tables as forms
from xaibench.report.claims_index import claims_index_tables
from xaibench.report.serialise import to_csv, to_json

INDEX_FORMATS = {".md": "markdown", ".csv": "csv", ".json": "json", ".html": "html", ".parquet": "parquet"}


def show_claims_index(
    source: Path | None, *, suite: str | None, json: bool, output: Path | None, unsuited: bool = False
) -> None:
    """Print every claim of every shipped suite, or write them to a file."""
    if unsuited:
        raise UsageError("--all goes with neither --strict nor --history", "they are about the verdicts of one store")
    if output is not None and output.suffix.lower() not in INDEX_FORMATS:
        raise UsageError(
            f"{output.name} does not say which format it is to have", f"end it in {', '.join(INDEX_FORMATS)}"
        )
    index = claims_index(source, suite=suite)
    if index.empty:
        raise NothingToDoError(f"suite {suite} makes no claims", "`xaibench list suites` shows others")
    if output is not None:
        write_atomic(output, lambda draft: _write(draft, index, INDEX_FORMATS[output.suffix.lower()]))
        stderr().print(f"claims: {output}", markup=False, soft_wrap=True)
    elif json:
        stdout().print(to_json(index).rstrip("\n"), markup=False, soft_wrap=True)
    else:
        stdout().print(forms.terminal(claims_index_tables(index)))


def _write(draft: Path, index: pd.DataFrame, form: str) -> None:
    if form == "parquet":
        index.to_parquet(draft, index=False)
        return
    if form in ("csv", "json"):
        text = to_csv(index) if form == "csv" else to_json(index)
    else:
        tables = claims_index_tables(index)
        text = forms.html(tables, "Index of claims") if form == "html" else forms.tables_markdown(tables)
    draft.write_text(text, encoding="utf-8", newline="")
