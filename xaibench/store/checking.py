"""Integrity checks of a store: damaged files, rows that cannot be trusted, unused explanations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xaibench.store.examples import Examples
from xaibench.store.explanations import ATTRIBUTIONS, AttributionFiles, Interpretations
from xaibench.store.files import Files
from xaibench.store.generations import generation_files, part_files, read_rows
from xaibench.store.runs import RUNS, Runs
from xaibench.store.schema import DONE, STATUSES
from xaibench.store.select import best_rows
from xaibench.store.tables import DamagedError, from_bytes

_UNIT_PART = re.compile(r"^parts/([0-9a-f]{32})-(\d{6})-")
NAMED = ["cell_id", "dataset", "model", "explainer", "metric", "seed", "repeat"]


@dataclass(frozen=True)
class Damage:
    """A file of the store that cannot be trusted, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Examination:
    """What was found in a store.

    Attributes
    ----------
    damaged : list of Damage
    drafts : list of str
        Left behind by writers that are dead.
    orphans : dict
        Explanations that no row refers to, with their sizes in bytes.
    stale : dict
        Explanations to which only rows refer that no longer count for their cell.
    unexplained : int
        Explanations that rows refer to and that are not there; they are made again when needed.
    dead : list of int
        Runs that ended without saying so.
    again : list of dict
        Planned cells without a result, by the latest whole run of every suite: they run again.
    """

    damaged: list[Damage] = field(default_factory=list)
    drafts: list[str] = field(default_factory=list)
    orphans: dict[str, int] = field(default_factory=dict)
    stale: dict[str, int] = field(default_factory=dict)
    unexplained: int = 0
    dead: list[int] = field(default_factory=list)
    again: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def examine(files: Files) -> Examination:
    """Look at every file of a store; changes nothing."""
    runs = Runs(files)
    orphans, stale, unexplained = explanation_files(files)
    dead = [n for n in runs.numbers() if runs.document(n, "outcome.json") is None and runs.under_way(n) is None]
    return Examination(list(damage(files)), files.leftovers(), orphans, stale, unexplained, dead, cells_to_run(files))


def damage(files: Files) -> Iterator[Damage]:
    """Files that are not what was written: results, explanations, and what runs say."""
    for name in {**part_files(files), **generation_files(files)}:
        try:
            problem = next(suspicious(name, from_bytes(files.read(name), name=name)), None)
        except FileNotFoundError:
            continue
        except (DamagedError, OSError) as error:
            problem = str(error)
        if problem is not None:
            yield Damage(name, problem)
    attributions, interpretations = AttributionFiles(files), Interpretations(files)
    for name in attributions.names():
        if not attributions.sound(name):
            yield Damage(name, "content does not match its digest")
    examples = Examples(files)
    for name in examples.names():
        if not examples.sound(name):
            yield Damage(name, "content does not match its digest")
    for name in interpretations.names():
        if interpretations.read(name) is None:
            yield Damage(name, "content does not match its digest")
    for name in interpretations.tensor_names():
        if interpretations.read_tensors(name) is None:
            yield Damage(name, "content does not match its digest")
    runs = Runs(files)
    for name in files.find(RUNS):
        path = PurePosixPath(name)
        number = path.parent.name
        if not number.isdigit():
            continue
        if path.suffix == ".json" and runs.document(int(number), path.name) is None:
            yield Damage(name, "is not a JSON document, or does not match its digest")
        if path.name == "cells.parquet":
            manifest = runs.document(int(number), "manifest.json") or {}
            try:
                from_bytes(files.read(name), expected=manifest.get("cells_seal"))
            except (DamagedError, OSError) as error:
                yield Damage(name, str(error))


def suspicious(name: str, table: pa.Table) -> Iterator[str]:
    """What rows of a file say that cannot be."""
    part = _UNIT_PART.match(name)
    if part is not None and set(table["unit_id"].to_pylist()) != {part[1]}:
        yield "rows are of another unit than the name says"
    if part is not None and set(table["run"].to_pylist()) != {int(part[2])}:
        yield "rows are of another run than the name says"
    status = np.asarray(table["status"].to_pylist(), dtype=object)
    strange = set(status) - set(STATUSES)
    if strange:
        yield f"unknown status {sorted(map(str, strange))[0]!r}"
    for column in ("cell_id", "unit_id", "lineage"):
        if table[column].null_count:
            yield f"rows without a {column}"
    done = np.isin(status, list(DONE))
    if (done & np.asarray(table["score_key"].is_null())).any():
        yield "results without a score key"
    scores = np.asarray(pc.fill_null(pc.list_value_length(table["scores"]), 0))
    names = np.asarray(pc.fill_null(pc.list_value_length(table["sample_ids"]), 0))
    if (scores != np.asarray(table["n"].to_numpy())).any() or (scores != names).any():
        yield "numbers of scores and samples differ"


def explanation_files(files: Files) -> tuple[dict[str, int], dict[str, int], int]:
    """Explanations that no row refers to, those that only superseded rows refer to, and the number of those missing."""
    rows = read_rows(files, ["cell_id", "score_key", "explain_key", "status", "run", "attribution_kind"])
    referred = set(rows["explain_key"].to_pylist())
    best = best_rows(rows)
    current = set(best["explain_key"].to_pylist())
    made = best.filter(pc.is_valid(best["attribution_kind"]))
    needed = set(made["explain_key"].to_pylist()) - {None}
    there: dict[str, dict[str, int]] = {}
    interpretations = Interpretations(files)
    found_files = {**AttributionFiles(files).names(), **interpretations.names(), **interpretations.tensor_names()}
    for name, size in found_files.items():
        there.setdefault(explain_key(name), {})[name] = size
    orphans = {n: s for key, found in there.items() if key not in referred for n, s in found.items()}
    stale = {n: s for key, found in there.items() if key in referred - current for n, s in found.items()}
    return orphans, stale, len(needed - there.keys())


def explain_key(name: str) -> str:
    """The explanation that a file belongs to."""
    path = PurePosixPath(name)
    return path.stem if path.parts[0] == ATTRIBUTIONS else path.parent.name


def cells_to_run(files: Files) -> dict[str, list[dict[str, Any]]]:
    """Cells that the latest whole run of each suite planned and that have no result, by suite."""
    runs = Runs(files)
    found = read_rows(files, ["cell_id", "score_key", "status", "run"])
    best = best_rows(found)
    done = set(best.filter(pc.is_in(best["status"], pa.array(sorted(DONE))))["cell_id"].to_pylist())
    latest: dict[str, dict[str, Any]] = {}
    for manifest in runs.manifests():
        before = latest.get(manifest["suite"])
        if before is None or manifest.get("whole", True) or not before.get("whole", True):
            latest[manifest["suite"]] = manifest
    again: dict[str, list[dict[str, Any]]] = {}
    for suite, manifest in latest.items():
        try:
            planned = from_bytes(runs.cells(manifest["run"]), NAMED, expected=manifest.get("cells_seal"))
        except (DamagedError, OSError):
            continue
        left = [row for row in planned.to_pylist() if row["cell_id"] not in done]
        if left:
            again[suite] = left
    return again
