"""``xaibench claims``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from xaibench.analysis.leaderboard.validity import validity
from xaibench.api.reading import claims, leaderboard, write_claims
from xaibench.api.snapshots import claims_history
from xaibench.cli.output import print_json, stderr, stdout
from xaibench.core.errors import NothingToDoError, StoreError
from xaibench.core.storage.paths import default_store
from xaibench.report.claims import claims_report, history_report, validity_report
from xaibench.store import Store

PRINTED_COLUMNS = [
    "id", "verdict", "effect", "ci_low", "ci_high", "n", "n_informative", "source", "suite", "unit", "direction",
    "margin", "left", "right", "p", "binding", "statement", "message",
    "would_change", "would_need_n", "critical_margin",
]  # fmt: skip
HISTORY = [
    "suite",
    "id",
    "run",
    "started",
    "whole",
    "verdict",
    "flipped",
    "effect",
    "ci_low",
    "ci_high",
    "n",
    "message",
]


def show_claims(
    store: Path | None, *, suite: str | None, json: bool, strict: bool = False, history: bool = False
) -> int:
    """Print verdicts, and write them into the store; returns the exit code."""
    path = store or default_store()
    found = claims(path, suite)
    if found.empty:
        raise NothingToDoError(f"no suite that was run in {path} makes claims", "`xaibench run known_answers` does")
    try:
        if suite is None:
            Store(path).write_frame("claims", found)
        else:
            write_claims(Store(path).path)
    except StoreError:
        # A store that can only be read still has verdicts.
        Store(path)
    invalid = print_validity(leaderboard(path, suite), quiet=json)
    past = claims_history(path, suite) if history else None
    if json:
        runs = {} if past is None else {"history": claim_records(past, HISTORY)}
        print_json({"claims": claim_records(found), "invalid": invalid, **runs})
    elif past is not None:
        stdout().print(history_report(past))
    else:
        for name, part in found.groupby("suite", sort=False):
            stdout().print(f"suite {name}", style="bold")
            stdout().print(claims_report(part))
    return _strictly(found, invalid) if strict else 0


def _strictly(found: pd.DataFrame, invalid: list[str]) -> int:
    """The exit code for CI: 1 if a claim is refuted or a problem says nothing, 4 if no claim was decided."""
    if (found["verdict"] == "refuted").any() or invalid:
        return 1
    return 0 if (found["verdict"] == "reproduced").any() else 4


def claim_records(found: pd.DataFrame, columns: list[str] = PRINTED_COLUMNS) -> list[dict[str, Any]]:
    """Verdicts as plain values; what is missing is None."""
    plain = found[columns].astype(object).where(found[columns].notna(), None)
    return [{str(k): v for k, v in record.items()} for record in plain.to_dict("records")]


def print_validity(board: pd.DataFrame, *, quiet: bool = False) -> list[str]:
    """Say loudly on which problems nothing can be told, and return their names."""
    invalid: list[str] = []
    for name, part in board.groupby("suite", sort=False):
        found = validity(part)
        invalid += found.invalid
        said = validity_report(str(name), found)
        if said is not None and not quiet:
            stderr().print(said)
    return invalid
