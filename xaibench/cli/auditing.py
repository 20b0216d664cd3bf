"""``xaibench audit`` and ``xaibench agreement``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from xaibench.analysis.explainer_agreement import AGREEMENT_MEASURES
from xaibench.api.auditing import agreement, audit, write_tables
from xaibench.api.reading import shown_runs
from xaibench.cli.output import print_json, stdout
from xaibench.core.errors import NothingToDoError, StoreError, UsageError, did_you_mean
from xaibench.core.libraries import LIBRARIES
from xaibench.core.storage.paths import default_store
from xaibench.report.audit import agreement_report, audit_report, records
from xaibench.store import Store


def show_audit(store: Path | None, *, suite: str | None, json: bool, metrics: str | None = None) -> int:
    """Judge the metrics of a store, print the verdicts, and write them there; returns the exit code.

    With ``metrics`` those that match the pattern are printed, or those of the library with this prefix.
    """
    path = store or default_store()
    shown_runs(Store(path), suite, None)
    judged, pairs = audit(path)
    _write(path, audit=judged, audit_pairs=pairs)
    judged, pairs = _of_suite(judged, suite), _of_suite(pairs, suite)
    if metrics is not None and not judged.empty:
        names = list(dict.fromkeys(judged["metric"]))
        pattern = f"{metrics}:*" if metrics in LIBRARIES else metrics
        chosen = [name for name in names if fnmatchcase(name, pattern)]
        if not chosen:
            raise UsageError(f"no metric of this store matches {metrics!r}", did_you_mean(metrics, names))
        judged, pairs = judged[judged["metric"].isin(chosen)], pairs[pairs["metric"].isin(chosen)]
    if judged.empty:
        raise NothingToDoError(f"{path} holds no scores of explanations to audit", "`xaibench run audit` makes them")
    if json:
        print_json({"metrics": records(judged), "pairs": records(pairs)})
        return 0
    for name, part in judged.groupby("suite", sort=False):
        stdout().print(f"suite {name}", style="bold")
        stdout().print(audit_report(part))
    return 0


def show_agreement(store: Path | None, *, suite: str | None, k: str, measure: str, json: bool) -> int:
    """Compare the explanations of a store with each other, and write that there; returns the exit code."""
    path = store or default_store()
    if measure not in AGREEMENT_MEASURES:
        raise UsageError(
            f"--measure {measure!r} is not a measure of agreement", did_you_mean(measure, AGREEMENT_MEASURES)
        )
    top = _top(k)
    shown_runs(Store(path), suite, None)
    found = agreement(path, k=top)
    left_out = found.attrs.pop("left_out")
    _write(path, agreement=found)
    found = _of_suite(found, suite)
    if json:
        print_json(records(found[found["measure"] == measure]))
        return 0
    if not (found["measure"] == measure).any():
        raise NothingToDoError(
            f"{path} holds no two explanations to compare by {measure}",
            "signs need two explainers whose maps have them" if len(found) else "`xaibench run` makes them",
        )
    for name, part in found.groupby("suite", sort=False):
        stdout().print(f"suite {name}", style="bold")
        stdout().print(agreement_report(part, measure))
    if left_out:
        stdout().print(f"left out, no explanation of all samples is stored: {', '.join(left_out)}", markup=False)
    return 0


def _top(text: str) -> int | float:
    """A number of features, or a share of them."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value >= 1 and value.is_integer() and "." not in text:
        return int(value)
    if not 0 < value < 1:
        raise UsageError(
            f"--k {text!r} is neither a number of features nor a share of all features",
            "write, for example, 10 or 0.25",
        )
    return value


def _of_suite(frame: pd.DataFrame, suite: str | None) -> pd.DataFrame:
    return frame if suite is None else frame[frame["suite"] == suite]


def _write(path: Path, **tables: pd.DataFrame) -> None:
    """Write tables into the store; one that can only be read still has them printed."""
    try:
        write_tables(path, **tables)
    except StoreError:
        Store(path)
