"""Compaction in generations: parts become larger files, and those larger ones still.

The files that are there are the truth, and rows that are there twice count once. A merge therefore
only has to publish the new file before it removes what it merged: it can be killed anywhere, and two
can run at once. There is no pointer that one of them could set back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from xaibench.core.errors import StoreError
from xaibench.store.files import Files
from xaibench.store.schema import migrate, to_table
from xaibench.store.select import best_rows
from xaibench.store.tables import DamagedError, from_bytes, sealed, to_bytes

PARTS, COMPACT = "parts", "compact"
POINTER = "compact/CURRENT"
"""A file of earlier versions, where only one generation counted."""
RATIO = 2
"""A generation is merged with newer ones once they are together at least a RATIO-th of its size."""
FULL_GENERATION_BYTES = 256 * 2**20
"""Bytes from which a generation is left alone, so that a merge needs bounded memory."""
_ATTEMPTS = 100
_NUMBER = re.compile(r"^compact/generation-(\d+)")

RowFilter = Callable[[pa.Table], pa.Table]


def part_files(files: Files) -> dict[str, int]:
    """Names and sizes of the parts."""
    return {name: size for name, size in files.find(PARTS).items() if name.endswith(".parquet")}


def generation_files(files: Files) -> dict[str, int]:
    """Names and sizes of the generations."""
    return {name: size for name, size in files.find(COMPACT).items() if _NUMBER.match(name)}


def result_tables(files: Files, columns: list[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
    """Every result file by name, with its rows; damaged ones are passed over.

    Whatever is merged meanwhile is in a newer generation, so the list is looked at again until it
    shows nothing new.
    """
    seen: set[str] = set()
    for attempt in range(_ATTEMPTS):
        listed = generation_files(files) if attempt else {**part_files(files), **generation_files(files)}
        fresh = [name for name in listed if name not in seen]
        if attempt and not fresh:
            return
        seen.update(fresh)
        for name, content in files.read_many(fresh):
            try:
                yield name, from_bytes(content, columns, name=name)
            except DamagedError:  # for the doctor
                continue
    raise StoreError(f"the store {files.place} keeps changing while it is read", "wait for the other run to end")


def read_rows(files: Files, columns: list[str] | None = None, where: RowFilter | None = None) -> pa.Table:
    """Rows of all result files, those that are there twice included."""
    tables = [migrate(to_table([]), columns)]
    for _, table in result_tables(files, columns):
        tables.append(table if where is None else where(table))
    return pa.concat_tables(tables)


def due(parts: dict[str, int], generations: dict[str, int]) -> list[str]:
    """Files to merge: all parts, and generations that are small beside them, smallest first.

    A row is merged again only when the file that it is in has grown by a share, so n rows are
    written O(n log n) times in all, and O(log n) generations remain.
    """
    chosen, total = list(parts), sum(parts.values())
    for name, size in sorted(generations.items(), key=lambda item: item[1]):
        if size > RATIO * total or total + size > FULL_GENERATION_BYTES:
            break
        chosen.append(name)
        total += size
    return chosen


def compact(files: Files, *, at_least: int = 1) -> int:
    """Merge parts into a new generation, with what is small beside them.

    Returns
    -------
    int
        Rows of the new generation; 0 if there were fewer than ``at_least`` parts.
    """
    parts = part_files(files)
    if len(parts) < max(at_least, 1):
        return 0
    return rewrite(files, due(parts, generation_files(files)), lambda table: best_rows(table, per_content=True))


def rewrite(files: Files, names: Iterable[str], keep: RowFilter) -> int:
    """Put the rows of some files into one, those that ``keep`` keeps; returns their number."""
    merged, tables = [], [migrate(to_table([]))]
    for name, content in files.read_many(names):
        try:
            tables.append(from_bytes(content, name=name))
        except DamagedError:
            continue
        merged.append(name)
    table = keep(pa.concat_tables(tables))
    if not merged:
        return 0
    kept = publish(files, table)
    for name in merged:
        if name != kept:
            files.remove(name)
    files.remove(POINTER)
    return len(table)


def publish(files: Files, table: pa.Table) -> str:
    """Write a new generation; returns its name."""
    number = max((int(match[1]) for name in generation_files(files) if (match := _NUMBER.match(name))), default=0)
    content = to_bytes(table)
    name = sealed(f"{COMPACT}/generation-{number + 1:06d}", content)
    files.write(name, content, exclusive=True)
    return name
