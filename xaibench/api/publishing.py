"""Publishing the results of a suite: tables and a card in a folder of the suite's name."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench import suite as suites
from xaibench.analysis.ranks.quality_and_cost import quality_and_cost
from xaibench.api.advising import advice
from xaibench.api.auditing import audit
from xaibench.api.publication_card import conclusions, extent_facts, to_toml
from xaibench.api.published import (
    ADVICE,
    AUDIT,
    BOARD,
    CARD,
    CLAIMS,
    COST,
    cells_digest,
    claim_digests,
    with_training_seeds,
)
from xaibench.api.reading import claims, leaderboard, shown_runs
from xaibench.core.errors import UsageError
from xaibench.core.libraries import NOT_INSTALLED
from xaibench.core.storage.paths import local_path
from xaibench.store import Store

AUDITED = "degraded_oracle"
"""The control whose presence means that a suite was made for the audit."""
ADVICE_LEFT_OUT = ["tests", "evidence"]
"""Ids of cells, which only a store can resolve, and which take more room than everything else."""


def publish_results(
    store: str | Path, suite: str, into: str | Path, *, training_seeds: int | None = None, command: str = ""
) -> Path:
    """Write the results that a store holds of a shipped suite to ``into/SUITE``, replacing what was there.

    Parameters
    ----------
    store : path
        Its latest whole run of the suite is published.
    suite : str
        Name of a shipped suite.
    into : path
        Folder of all published results.
    training_seeds : int, optional
        With how many the suite was run, where that is not what its file says.
    command : str
        What makes the results again, for the card.

    Returns
    -------
    Path
        The folder with ``leaderboard.parquet``, ``claims.parquet``, ``advice.parquet``, ``cost.parquet``,
        ``audit.parquet`` where the suite is one for audits, and ``card.toml``.

    Raises
    ------
    UsageError
        If the suite is not a shipped one, or the results are not those of a whole, finished run of a commit, with the
        cells that the suite has now and the libraries that it calls.
    StoreError, NothingToDoError
        If there is no store, or no run in it.
    """
    if suite not in suites.available():
        raise UsageError(f"{suite} is not a shipped suite", "results of shipped suites only are published")
    opened = Store(store)
    (manifest,) = shown_runs(opened, suite, None)
    planned = with_training_seeds(suites.load(suite), training_seeds)
    _check(opened, manifest, planned)
    board, verdicts = leaderboard(store, suite), claims(store, suite)
    lacking = board["message"].fillna("").str.extract(rf"(\S+) {NOT_INSTALLED} (.*)").dropna()
    if len(lacking):
        package, command = lacking.iloc[0]
        raise UsageError(f"{package} was not installed when {suite} ran, so that its cells have no score", command)
    audited = audit(store, suite)[0] if (board["explainer"] == AUDITED).any() else None
    tables = {
        BOARD: board,
        CLAIMS: verdicts,
        ADVICE: advice(store, suite, audit=audited).drop(columns=ADVICE_LEFT_OUT),
        COST: quality_and_cost(board),
        **({} if audited is None else {AUDIT: audited}),
    }
    card = _card(opened, manifest, planned, board, verdicts, audited, training_seeds, command)
    return _written(local_path(into) / suite, tables, to_toml(card))


def _check(opened: Store, manifest: dict[str, Any], planned: suites.Suite) -> None:
    name, hint = manifest["suite"], "run the whole suite from a clean checkout, then publish"
    outcome = opened.outcome(manifest["run"])
    git = manifest["provenance"].get("git")
    if not manifest.get("whole", True):
        raise UsageError(f"run {manifest['run']} of {name} took a part of the suite", hint)
    if outcome is None or outcome.get("end") != "finished":
        raise UsageError(f"run {manifest['run']} of {name} did not finish", hint)
    if git is None or git["dirty"]:
        what = "outside a checkout" if git is None else "from files that were not committed"
        raise UsageError(f"run {manifest['run']} of {name} was made {what}", hint)
    ids = opened.planned(manifest["run"]).column("cell_id").to_pylist()
    if cells_digest(planned, ids) != cells_digest(planned):
        raise UsageError(f"the run of {name} has other cells than the suite has now", hint)


def _card(
    opened: Store,
    manifest: dict[str, Any],
    planned: suites.Suite,
    board: pd.DataFrame,
    verdicts: pd.DataFrame,
    audited: pd.DataFrame | None,
    training_seeds: int | None,
    command: str,
) -> dict[str, Any]:
    provenance = manifest["provenance"]
    outcomes = [opened.outcome(m["run"]) or {} for m in opened.manifests() if m["suite"] == manifest["suite"]]
    conclude, not_conclude, about = conclusions(board, verdicts, audited)
    matrices = list(planned.matrices())
    commits = _commits(opened, manifest)
    return {
        "suite": manifest["suite"],
        "description": planned.description,
        "command": command or f"xaibench run {manifest['suite']}",
        "version": provenance["packages"]["xaibench"],
        "commit": provenance["git"]["sha"],
        **({"commits": commits} if len(commits) > 1 else {}),
        "started": str(manifest.get("started", ""))[:19],
        "seconds": round(sum(float(o.get("seconds", 0.0)) for o in outcomes), 1),
        "runs": len(outcomes),
        **{key: manifest[key] for key in ("executor", "workers") if key in manifest},
        **({} if training_seeds is None else {"training_seeds": training_seeds}),
        "problem_seeds": sorted({seed for m in matrices for seed in m.problem_seeds}),
        "seeds": sorted({seed for m in matrices for seed in m.seeds}),
        "cells": cells_digest(planned),
        "about": about,
        "conclude": conclude,
        "not_conclude": not_conclude,
        "extent": extent_facts(board),
        "verdicts": {str(v): int(n) for v, n in verdicts["verdict"].value_counts().items()},
        "claims": claim_digests(planned),
        "machine": {
            "processor": str(provenance["machine"]["processor"]),
            "cores": int(provenance["machine"]["cores"] or 0),
            "gpus": [str(gpu) for gpu in provenance["machine"].get("gpus", [])],
            "system": str(provenance["machine"]["system"]).split("-")[0],
            "threads": int(provenance["threads"]),
            "python": str(provenance["python"]),
        },
        "packages": {str(k): str(v) for k, v in provenance["packages"].items() if k != "xaibench"},
    }


def _commits(opened: Store, manifest: dict[str, Any]) -> list[str]:
    """The commits whose runs have computed what is published, in their order."""
    planned = set(opened.planned(manifest["run"]).column("cell_id").to_pylist())
    rows = opened.read(["cell_id", "run"]).to_pandas()
    used = set(rows.loc[rows["cell_id"].isin(planned), "run"])
    made = [m["provenance"].get("git") or {} for m in opened.manifests() if m["run"] in used]
    return list(dict.fromkeys(str(git.get("sha", "unknown")) for git in made))


def _written(folder: Path, tables: dict[str, pd.DataFrame], card: str) -> Path:
    """Write everything beside the folder, then put it in its place, so that no mixture of two publications is left."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, table in tables.items():
            table.to_parquet(draft / name, index=False, compression="zstd")
        (draft / CARD).write_text(card, encoding="utf-8")
        draft.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder
