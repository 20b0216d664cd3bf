"""Merging stores: runs are renumbered, results that the store already holds are left alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xaibench.core.errors import StoreError
from xaibench.store import generations
from xaibench.store.examples import Examples
from xaibench.store.explanations import AttributionFiles, Interpretations
from xaibench.store.files import Files
from xaibench.store.generations import read_rows
from xaibench.store.runs import Runs
from xaibench.store.schema import DONE
from xaibench.store.select import best_rows
from xaibench.store.tables import sealed, to_bytes

MAX_LISTED_CONFLICTS = 3
_NAMES = ["dataset", "model", "explainer", "metric"]


@dataclass
class Merged:
    """What a merge has brought: runs, rows, explanations, and files of examples and curves."""

    runs: int = 0
    rows: int = 0
    attributions: int = 0
    answers: int = 0
    examples: int = 0


class ConflictError(StoreError):
    """Two stores have different values of the same content (exit code 2)."""


def merge(dest: Files, sources: Sequence[Files]) -> Merged:
    """Join stores into ``dest``. Doing it again changes nothing, and a merge that was killed can be repeated.

    Raises
    ------
    ConflictError
        If two of the stores have different values for one cell under one score key. Then nothing is
        written.
    StoreError
        If a file of a source is damaged, or one of its runs is under way.
    """
    _sound(sources)
    tables = [read_rows(files) for files in (dest, *sources)]
    _compare(tables, [str(files.place) for files in (dest, *sources)])
    done = Merged()
    for source, table in zip(sources, tables[1:], strict=True):
        _explanations(dest, source, done)
        _rows_and_runs(dest, source, table, done)
    generations.compact(dest)
    return done


def _sound(sources: Sequence[Files]) -> None:
    from xaibench.store.checking import damage

    for files in sources:
        runs = Runs(files)
        for number in runs.numbers():
            who = runs.under_way(number)
            if who is not None:
                raise StoreError(f"run {number} of {files.place} is under way: {who}", "merge when it has ended")
        found = next(damage(files), None)
        if found is not None:
            raise StoreError(
                f"{files.place / found.name} is damaged: {found.reason}",
                f"`xaibench doctor {files.place} --remove` removes it; then run the suite again, or merge without it",
            )


def _value(status: str, scores: Any, names: Any) -> bytes:
    """What must be equal wherever the content is: outcome, samples, and every bit of their scores."""
    h = hashlib.blake2b(status.encode(), digest_size=16)
    values = np.asarray(scores, dtype=np.float32)
    h.update(np.where(np.isnan(values), np.float32("nan"), values).tobytes())
    h.update("\0".join(names).encode())
    return h.digest()


def _compare(tables: list[pa.Table], places: list[str]) -> None:
    """Raise if two stores have different values for one cell under one score key."""
    seen: dict[tuple[str, str], tuple[bytes, int, int]] = {}
    conflicts: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for which, table in enumerate(tables):
        good = np.isin(np.asarray(table["status"].to_pylist(), dtype=object), sorted(DONE))
        columns = ["cell_id", "score_key", "status", "scores", "sample_ids"]
        for position, row in zip(
            np.flatnonzero(good), table.filter(pa.array(good)).select(columns).to_pylist(), strict=True
        ):
            key = (row["cell_id"], row["score_key"])
            value = _value(row["status"], row["scores"] or [], row["sample_ids"] or [])
            other = seen.setdefault(key, (value, which, int(position)))
            # Within one store the newer row counts; that it differs is for `--rerun all` to say.
            if other[0] != value and other[1] != which:
                conflicts.append((other[1:], (which, int(position))))
    if conflicts:
        said = [_conflict(tables, places, a, b) for a, b in conflicts[:MAX_LISTED_CONFLICTS]]
        more = f"; and {len(conflicts) - MAX_LISTED_CONFLICTS} more" if len(conflicts) > MAX_LISTED_CONFLICTS else ""
        raise ConflictError(
            f"{len(conflicts)} results differ under the same key, nothing was merged: {'; '.join(said)}{more}",
            "equal content must give equal values: find out which store is wrong, and leave it out",
        )


def _conflict(tables: list[pa.Table], places: list[str], a: tuple[int, int], b: tuple[int, int]) -> str:
    rows = [tables[which].slice(position, 1).to_pylist()[0] for which, position in (a, b)]
    name = "/".join(rows[0][n] for n in _NAMES)
    values = [_values(row) for row in rows]
    if all(row["status"] == "ok" for row in rows) and rows[0]["sample_ids"] == rows[1]["sample_ids"]:
        pairs = zip(rows[0]["sample_ids"], rows[0]["scores"], rows[1]["scores"], strict=True)
        different = [(s, x, y) for s, x, y in pairs if x != y and not (x != x and y != y)]
        sample, x, y = different[0]
        values = [f"{v!r} on sample {sample}" for v in (x, y)]
    said = " and ".join(f"{value} in {places[w]}" for value, (w, _) in zip(values, (a, b), strict=True))
    return f"{name}, seed {rows[0]['seed']}: {said}"


def _values(row: dict[str, Any]) -> str:
    scores = np.asarray(row["scores"] or [], dtype=np.float64)
    known = scores[np.isfinite(scores)]
    return f"{row['status']}, {len(scores)} scores" + (f" of mean {known.mean():.9g}" if len(known) else "")


def _explanations(dest: Files, source: Files, done: Merged) -> None:
    """Bring explanations, examples and curves that are not there yet."""
    there = AttributionFiles(dest).names()
    for name in AttributionFiles(source).names():
        if name not in there:
            dest.write(name, source.read(name))
            done.attributions += 1
    shown = Examples(dest).names()
    for name in Examples(source).names():
        if name not in shown:
            dest.write(name, source.read(name))
            done.examples += 1
    theirs, ours = Interpretations(source), Interpretations(dest)
    for key in dict.fromkeys(name.split("/")[2] for name in theirs.names()):
        done.answers += ours.add(key, theirs.load(key))


def _rows_and_runs(dest: Files, source: Files, table: pa.Table, done: Merged) -> None:
    """Bring runs under numbers of their new store, and the rows that say more than those there."""
    here, there = Runs(dest), Runs(source)
    known = {here.run_id(n): n for n in here.numbers()}
    numbers, new = {}, []
    # Rows may name runs whose folder is gone; they keep their order among the others.
    for number in sorted({*there.numbers(), *table["run"].to_pylist()}):
        run_id = there.run_id(number)
        if run_id not in known:
            known[run_id], _ = here.claim(run_id, over=True)
        numbers[number] = known[run_id]
        if there.document(number, "manifest.json") and not here.document(known[run_id], "manifest.json"):
            new.append(number)
    done.rows += _rows(dest, table, numbers)
    for number in new:
        manifest = there.document(number, "manifest.json") or {}
        origin = manifest.get("origin", {"store": str(source.place), "run": number})
        here.adopt(
            numbers[number], {**manifest, "origin": origin}, there.cells(number), there.document(number, "outcome.json")
        )
        done.runs += 1


def _rows(dest: Files, table: pa.Table, numbers: dict[int, int]) -> int:
    """Publish the rows that are better or newer than what is there; returns their number."""
    index = table.schema.get_field_index("run")
    renumbered = pa.array([numbers[n] for n in table["run"].to_pylist()], pa.int64())
    theirs = table.set_column(index, table.schema.field(index), renumbered)
    ours = read_rows(dest)
    order = pa.array(np.arange(len(theirs) + len(ours)), pa.int64())
    # Ours come last, so that they win where both say the same.
    both = pa.concat_tables([theirs, ours]).append_column("order", order)
    best = best_rows(both, per_content=True)
    fresh = best.filter(pc.less(best["order"], len(theirs))).drop_columns(["order"])
    if len(fresh):
        content = to_bytes(fresh)
        dest.write(sealed(f"{generations.PARTS}/merged-{max(numbers.values()):06d}", content), content, exclusive=True)
    return len(fresh)
