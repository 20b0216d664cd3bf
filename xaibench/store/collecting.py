"""Garbage collection: superseded rows, explanations without results, leftovers of dead runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from xaibench.core.errors import StoreError
from xaibench.store.checking import explain_key, explanation_files
from xaibench.store.examples import example_files
from xaibench.store.files import Files
from xaibench.store.generations import COMPACT, POINTER, generation_files, part_files, read_rows, rewrite
from xaibench.store.runs import RUNS, Runs
from xaibench.store.select import best_rows
from xaibench.store.tables import DamagedError, from_bytes

YOUNG = 3600.0
"""Seconds in which an explanation may wait for the rows that refer to it."""


@dataclass(frozen=True)
class Garbage:
    """What can go.

    Attributes
    ----------
    explanations : dict
        Files of explanations, examples and curves that no row refers to, or only rows that go as well, with their
        sizes in bytes.
    drafts : list of str
        Left behind by dead writers.
    runs : list of int
    rows : int
        Rows that another row of the same cell has superseded, and rows of cells that only removed
        runs have planned.
    remaining_cells : set of str or None
        Cells whose rows stay; None: all.
    pointer : bool
        Whether there is a file of an earlier version that says which generation counts.
    """

    explanations: dict[str, int] = field(default_factory=dict)
    drafts: list[str] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    rows: int = 0
    remaining_cells: frozenset[str] | None = None
    pointer: bool = False

    def __bool__(self) -> bool:
        return bool(self.explanations or self.drafts or self.runs or self.rows or self.pointer)


def garbage(files: Files, *, keep_runs: int | None = None, young: float = YOUNG) -> Garbage:
    """What no result needs any more; changes nothing.

    Parameters
    ----------
    files : Files
    keep_runs : int, optional
        Keep this many of the newest runs of each suite, the newest one that took all of it among
        them, and forget the others and what only they have planned. By default all runs stay.
    young : float
        Seconds; a younger explanation without a row stays, because its row may be on the way.

    Raises
    ------
    StoreError
        If a run is under way: what it needs next cannot be known.
    """
    runs = Runs(files)
    busy = {n: who for n in runs.numbers() if (who := runs.under_way(n)) is not None}
    if busy:
        number, who = next(iter(busy.items()))
        raise StoreError(f"run {number} of {files.place} is under way: {who}", "wait for it to end, or end it")
    gone = [] if keep_runs is None else _old_runs(runs, keep_runs)
    cells = _planned(runs, gone) if gone else None
    table = read_rows(files, ["cell_id", "score_key", "status", "run", "explain_key", "fingerprint"])
    remaining = keep_rows(table, cells)
    orphans, stale, _ = explanation_files(files)
    needed = set(remaining["explain_key"].to_pylist())
    removed = set(table["explain_key"].to_pylist()) - needed
    superfluous = {name: size for name, size in {**orphans, **stale}.items() if explain_key(name) not in needed}
    if removed:
        superfluous |= _files_of(files, removed)
    shown = set(remaining["fingerprint"].to_pylist()), set(remaining["score_key"].to_pylist())
    superfluous |= example_files(files, *shown)
    old = {name: size for name, size in superfluous.items() if files.age(name) >= young}
    # A row that a killed merge left in two files counts once: what is counted here is what readers lose sight of.
    rows = len(best_rows(table, per_content=True)) - len(remaining)
    pointer = POINTER in files.find(COMPACT)
    return Garbage(old, files.leftovers(), gone, rows, None if cells is None else frozenset(cells), pointer)


def keep_rows(table: pa.Table, cells: set[str] | frozenset[str] | None) -> pa.Table:
    """The best row of every cell that stays."""
    best = best_rows(table)
    return best if cells is None else best.filter(pc.is_in(best["cell_id"], pa.array(sorted(cells), pa.string())))


def _files_of(files: Files, keys: set[str]) -> dict[str, int]:
    found = {**files.find("attributions"), **files.find("interpretations")}
    return {name: size for name, size in found.items() if explain_key(name) in keys}


def _old_runs(runs: Runs, keep: int) -> list[int]:
    """Runs that are neither among the newest of their suite nor the newest that took all of it."""
    by_suite: dict[str, list[tuple[int, bool]]] = {}
    for manifest in runs.manifests():
        by_suite.setdefault(manifest["suite"], []).append((manifest["run"], bool(manifest.get("whole", True))))
    recent: set[int] = set()
    for found in by_suite.values():
        numbers = [n for n, _ in found]
        recent.update(numbers[max(len(numbers) - keep, 0) :])
        recent.update([n for n, whole in found if whole][-1:])
    known = {n for found in by_suite.values() for n, _ in found}
    return sorted(known - recent)


def _planned(runs: Runs, gone: list[int]) -> set[str]:
    """Cells that the runs that stay have planned."""
    cells: set[str] = set()
    for number in set(runs.numbers()) - set(gone):
        try:
            cells.update(from_bytes(runs.cells(number), ["cell_id"])["cell_id"].to_pylist())
        except FileNotFoundError:  # died before it planned anything
            continue
        except DamagedError as error:
            raise StoreError(
                f"{runs.files.place / runs.name(number, 'cells.parquet')} is damaged: {error}",
                "`xaibench doctor --remove` deletes it; until then nothing tells which cells that run needs",
            ) from error
    return cells


def collect(files: Files, found: Garbage) -> None:
    """Remove garbage: rows first, then what only they needed. May be killed and repeated anywhere."""
    if found.rows or found.pointer:
        names = [*part_files(files), *generation_files(files)]
        rewrite(files, names, lambda table: keep_rows(table, found.remaining_cells))
    for number in found.runs:
        # The manifest goes first: without it the folder is not a run, whatever is left in it.
        names = sorted(files.find(f"{RUNS}/{number:06d}"), key=lambda name: not name.endswith("manifest.json"))
        for name in names:
            files.remove(name)
    for name in [*found.explanations, *found.drafts]:
        files.remove(name)
