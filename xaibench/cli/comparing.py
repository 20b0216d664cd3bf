"""``xaibench compare``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xaibench.analysis.regressions.comparison import Comparison
from xaibench.api.comparing import compare
from xaibench.cli.output import print_json, stdout
from xaibench.core.errors import UsageError
from xaibench.report.junit import junit
from xaibench.report.regressions import comparison_report
from xaibench.report.summary import summary_markdown

EXIT_CODES = {"passed": 0, "regression": 1, "nothing comparable": 4}


def print_comparison(
    baseline: str,
    candidate: str,
    *,
    deltas: Sequence[str],
    junit_file: Path | None,
    markdown_file: Path | None,
    json: bool,
    **options: Any,
) -> int:
    """Compare, print and write what was asked for; returns the exit code."""
    found = compare(baseline, candidate, deltas=dict(map(_delta, deltas)), **options)
    if junit_file is not None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _write(junit_file, junit(found, timestamp=now))
    page = summary_markdown(found)
    if markdown_file is not None:
        _write(markdown_file, page)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        _write(Path(summary), page, mode="a")
    if json:
        print_json(as_document(found))
    else:
        stdout().print(comparison_report(found))
    return EXIT_CODES[found.outcome]


def _delta(text: str) -> tuple[str, float]:
    """``pixel_flipping=0.05`` as a pair."""
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not name or not 0 <= number < float("inf"):
        raise UsageError(f"--delta {text!r} is not a metric with a number", "write --delta pixel_flipping=0.05")
    return name, number


def _write(path: Path, text: str, *, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def as_document(found: Comparison) -> dict[str, Any]:
    """A comparison as plain values; findings that say *same* or *unscored* are only counted."""
    told = found.findings[~found.findings["verdict"].isin(("same", "unscored"))]
    rows = told.assign(fails=told.index.isin(found.failing.index)).astype(object)
    return {
        "outcome": found.outcome,
        "baseline": str(found.baseline),
        "candidate": str(found.candidate),
        "entries_compared": len(found.compared),
        "cells_compared": found.n_cells,
        "cells_identical": found.n_identical,
        "verdicts": found.counts,
        "notes": found.notes,
        "findings": rows.where(rows.notna(), None).to_dict("records"),
        "costs": found.costs.to_dict("records"),
        "too_slow": found.too_slow.to_dict("records"),
        "memory": found.memory.to_dict("records"),
        "too_large": found.too_large.to_dict("records"),
    }
