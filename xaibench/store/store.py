"""A folder of results that survives crashes and needs no locks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from xaibench.core.errors import StoreError
from xaibench.core.files import load_tensors_and_metadata, save_tensors, write_atomic, write_bytes, write_json
from xaibench.core.keys import digest
from xaibench.store.schema import Row, migrate, to_table
from xaibench.store.select import best_rows

_MARK = {"format": "xaibench-store", "version": 1}
_READ_ATTEMPTS = 5


@dataclass(frozen=True)
class Damage:
    """A file of the store that cannot be trusted, and why."""

    path: Path
    reason: str


class Store:
    """Results of any number of runs.

    Layout: ``parts/`` (one immutable Parquet file per finished unit), ``compact/`` (one file per
    generation and the pointer ``CURRENT``), ``runs/`` (one folder per run: manifest, outcome),
    ``attributions/`` (safetensors by explain key), ``interpretations/`` (a folder of JSON files by
    explain key), ``leaderboard.parquet`` and ``.csv``.

    Every file appears whole or not at all; two runs may write at once. A reader takes the current
    generation and all parts, and keeps the best row of every cell.

    Parameters
    ----------
    path : Path or str
    create : bool
        Make the store if there is none; otherwise a missing store is an error.

    Raises
    ------
    StoreError
        If the folder is missing, is no store, or cannot be written when ``create`` is set.
    """

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        self.path = Path(path)
        self.parts = self.path / "parts"
        self.compact_folder = self.path / "compact"
        self.runs = self.path / "runs"
        self.attributions = self.path / "attributions"
        self.interpretations = self.path / "interpretations"
        mark = self.path / "store.json"
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file, not a store", "name a folder with --store")
        try:
            found = json.loads(mark.read_text()) if mark.exists() else None
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the store {self.path} cannot be read: {mark} is damaged ({error})",
                "remove that file and the results stay, or name another folder with --store",
            ) from error
        if found is None and self.runs.is_dir():
            found = _MARK
        if found is None:
            if not create:
                raise StoreError(f"there is no store in {self.path}", "make one with `xaibench run --store FOLDER`")
            if self.path.is_dir() and any(self.path.iterdir()):
                raise StoreError(f"{self.path} holds other files", "name an empty or new folder with --store")
            write_json(mark, _MARK)
        elif found.get("format") != _MARK["format"] or found.get("version") != _MARK["version"]:
            raise StoreError(f"{self.path} is a store of another format", "update xaibench, or name another folder")
        if create:
            for folder in (self.parts, self.compact_folder, self.runs, self.attributions):
                try:
                    folder.mkdir(exist_ok=True)
                except OSError as error:
                    raise StoreError(f"cannot write to the store {self.path}: {error.strerror}") from error

    # Runs

    def claim_run(self, manifest: dict[str, Any], planned: list[Row]) -> int:
        """Start a run: claim the next number by exclusive create, write its manifest and the cells it plans."""
        number = max((int(p.name) for p in self._run_folders()), default=0) + 1
        while True:
            try:
                (self.runs / f"{number:06d}").mkdir()
                break
            except FileExistsError:
                number += 1
            except OSError as error:
                raise StoreError(f"cannot write to the store {self.path}: {error.strerror}") from error
        folder = self.runs / f"{number:06d}"
        write_atomic(folder / "cells.parquet", lambda draft: _write_file(to_table(planned), draft))
        write_json(folder / "manifest.json", {"run": number, "n_cells": len(planned), **manifest})
        return number

    def planned(self, number: int) -> pa.Table:
        """The cells that a run planned, as rows of status ``missing``.

        Raises
        ------
        StoreError
            If the list is missing or damaged.
        """
        path = self.runs / f"{number:06d}" / "cells.parquet"
        try:
            return _read_file(path, None)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}", "run the suite again") from error

    def finish_run(self, number: int, outcome: dict[str, Any]) -> None:
        """Record how a run ended."""
        write_json(self.runs / f"{number:06d}" / "outcome.json", outcome)

    def manifests(self) -> list[dict[str, Any]]:
        """Manifests of all runs, oldest first; a run that died before writing one is left out."""
        found = []
        for folder in self._run_folders():
            try:
                found.append(json.loads((folder / "manifest.json").read_text()))
            except (OSError, ValueError):
                continue
        return found

    def _run_folders(self) -> list[Path]:
        if not self.runs.is_dir():
            return []
        return sorted(p for p in self.runs.iterdir() if p.name.isdigit())

    # Results

    def write_part(self, rows: list[Row]) -> Path:
        """Publish the rows of one unit as a part that is never changed again."""
        table = to_table(rows)
        stem = f"{rows[0].unit_id}-{rows[0].run:06d}"

        def write(draft: Path) -> None:
            _write_file(table, draft)

        for attempt in range(1000):
            path = self.parts / f"{stem}-{attempt}.parquet"
            if write_atomic(path, write, exclusive=True):
                return path
        raise StoreError(f"cannot name a new part {stem} in {self.parts}")

    def revive(self, contents: set[tuple[str, str]], run: int) -> None:
        """Let older results speak for their cells again, because ``run`` has met that content once more.

        Parameters
        ----------
        contents : set of (cell_id, score_key)
        run : int
        """
        if not contents:
            return
        table = self._read_all(None)
        pairs = zip(table["cell_id"].to_pylist(), table["score_key"].to_pylist(), strict=True)
        table = best_rows(table.filter(pa.array([pair in contents for pair in pairs])))
        index = table.schema.get_field_index("run")
        table = table.set_column(index, table.schema.field(index), pa.array([run] * len(table), pa.int64()))
        path = self.parts / f"revived-{run:06d}.parquet"
        write_atomic(path, lambda draft: _write_file(table, draft), exclusive=True)

    def read(self, columns: list[str] | None = None, *, every: bool = False) -> pa.Table:
        """Read results: the best row of every cell, or ``every`` row.

        Damaged files are passed over here; `check` names them, and their cells run again.

        Parameters
        ----------
        columns : list of str, optional
        every : bool
            Keep rows of earlier runs, other content and superseded failures too.

        Returns
        -------
        pyarrow.Table
        """
        needed = None if columns is None else list(dict.fromkeys([*columns, "cell_id", "score_key", "status", "run"]))
        table = self._read_all(needed)
        if not every:
            table = best_rows(table)
        return table if columns is None else table.select(columns)

    def _read_all(self, columns: list[str] | None) -> pa.Table:
        for _ in range(_READ_ATTEMPTS):
            tables = [migrate(to_table([]), columns)]
            generation = self._generation()
            for path in self._files(generation):
                try:
                    tables.append(_read_file(path, columns))
                except (pa.ArrowInvalid, OSError, ValueError):
                    continue
            # Compaction moves the pointer before it removes what it merged; if the pointer has not
            # moved, no file has gone that way while this was reading.
            if self._generation() == generation:
                return pa.concat_tables(tables)
        raise StoreError(f"the store {self.path} keeps changing while it is read", "wait for the other run to end")

    def _generation(self) -> str | None:
        try:
            return str(json.loads((self.compact_folder / "CURRENT").read_text())["file"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            # A damaged pointer: the newest generation holds everything that older ones held.
            return max((p.name for p in self.compact_folder.glob("generation-*.parquet")), default=None)

    def _files(self, generation: str | None) -> Iterator[Path]:
        if generation is not None:
            yield self.compact_folder / generation
        if self.parts.is_dir():
            yield from sorted(p for p in self.parts.iterdir() if p.suffix == ".parquet" and p.name[0] != ".")

    def compact(self) -> int:
        """Merge all parts into a new generation, swap the pointer, then remove what was merged.

        Returns
        -------
        int
            Number of rows kept. Rows that lost to a better row of the same content are dropped.
        """
        generation = self._generation()
        merged, tables = [], [migrate(to_table([]))]
        for path in self._files(generation):
            try:
                tables.append(_read_file(path, None))
            except (pa.ArrowInvalid, OSError, ValueError):
                continue
            merged.append(path)
        if len(merged) <= 1 and generation is not None and not any(p.parent == self.parts for p in merged):
            return len(tables[-1])
        table = best_rows(pa.concat_tables(tables), per_content=True)
        number = max((int(p.stem.split("-")[1]) for p in self.compact_folder.glob("generation-*.parquet")), default=0)
        while True:
            number += 1
            path = self.compact_folder / f"generation-{number:06d}.parquet"
            if write_atomic(path, lambda draft: _write_file(table, draft), exclusive=True):
                break
        write_json(self.compact_folder / "CURRENT", {"file": path.name, "rows": len(table)})
        for old in merged:
            old.unlink(missing_ok=True)
        return len(table)

    # Attributions

    def _attribution_path(self, explain_key: str) -> Path:
        return self.attributions / explain_key[:2] / f"{explain_key}.safetensors"

    def save_attributions(self, explain_key: str, attributions: Tensor, *, kind: str, seconds: float) -> None:
        """Keep an explanation, so that a new metric explains nothing again."""
        metadata = {"kind": kind, "seconds": repr(seconds)}
        save_tensors(self._attribution_path(explain_key), {"attributions": attributions}, metadata)

    def load_attributions(self, explain_key: str) -> tuple[Tensor, str, float] | None:
        """Return (attributions, kind, seconds), or None if they are missing or damaged."""
        found = load_tensors_and_metadata(self._attribution_path(explain_key))
        if found is None:
            return None
        tensors, metadata = found
        return tensors["attributions"], metadata["kind"], float(metadata["seconds"])

    # Interpretations

    def _interpretation_files(self, explain_key: str) -> list[Path]:
        return sorted((self.interpretations / explain_key[:2] / explain_key).glob("[0-9]*.json"))

    def save_interpretations(self, explain_key: str, records: list[dict[str, Any]]) -> None:
        """Keep answers of one unit, in a file of their own: an interrupted unit goes on where it was."""
        content = json.dumps({"digest": digest(records), "answers": records}, separators=(",", ":")).encode()
        folder = self.interpretations / explain_key[:2] / explain_key
        files = self._interpretation_files(explain_key)
        for number in itertools.count(int(files[-1].stem) + 1 if files else 0):
            if write_bytes(folder / f"{number:06d}.json", content, exclusive=True):
                return

    def load_interpretations(self, explain_key: str) -> list[dict[str, Any]]:
        """All answers of one unit, oldest first; damaged files are passed over, and what they held is asked again."""
        return [record for path in self._interpretation_files(explain_key) for record in _read_answers(path) or ()]

    def merge_interpretations(self, explain_key: str) -> None:
        """Put the answers of a finished unit into one file, the newest one of each kind."""
        files = self._interpretation_files(explain_key)
        if len(files) < 2:
            return
        newest = {(r["name"], r["budget"]): r for path in files for r in _read_answers(path) or ()}
        self.save_interpretations(explain_key, list(newest.values()))
        for path in files:
            path.unlink(missing_ok=True)

    # Integrity

    def check(self) -> list[Damage]:
        """Verify every file: parts and generation can be read in full, explanations match their digest."""
        damaged = []
        pointer = self.compact_folder / "CURRENT"
        try:
            if pointer.exists():
                json.loads(pointer.read_text())["file"]
        except (OSError, ValueError, KeyError, TypeError):
            damaged.append(Damage(pointer, "is no pointer to a generation"))
        for path in self._files(self._generation()):
            try:
                _read_file(path, None)
            except (pa.ArrowInvalid, OSError, ValueError) as error:
                damaged.append(Damage(path, str(error).partition("\n")[0]))
        for path in sorted(self.attributions.glob("*/*.safetensors")):
            if load_tensors_and_metadata(path) is None:
                damaged.append(Damage(path, "content does not match its digest"))
        for path in sorted(self.interpretations.glob("*/*/[0-9]*.json")):
            if _read_answers(path) is None:
                damaged.append(Damage(path, "content does not match its digest"))
        return damaged

    def discard(self, damage: Damage) -> None:
        """Remove a damaged file; its cells count as never run."""
        damage.path.unlink(missing_ok=True)
        if damage.path.name == self._generation():
            (self.compact_folder / "CURRENT").unlink()

    def drafts(self) -> list[Path]:
        """Dot-files left behind by runs that were killed while writing."""
        return sorted(self.path.rglob(".*.draft"))


def _read_answers(path: Path) -> list[dict[str, Any]] | None:
    """Answers of one file, None if it is missing or damaged."""
    try:
        found = json.loads(path.read_bytes())
        records: list[dict[str, Any]] = found["answers"]
        return records if found["digest"] == digest(records) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_file(path: Path, columns: list[str] | None) -> pa.Table:
    """Read one result file, checksums verified, brought to the current schema."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        present = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
        return migrate(file.read(columns=present), columns)


def _write_file(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", row_group_size=max(len(table), 1), write_page_checksum=True)
