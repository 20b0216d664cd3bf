"""Runs of a store: numbers that are claimed once, what was planned, how it ended."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from xaibench.core.errors import StoreError
from xaibench.core.keys import digest
from xaibench.core.storage.processes import process_state, this_process
from xaibench.store.files import WRITER_GRACE, Files
from xaibench.store.generations import part_files
from xaibench.store.schema import Row
from xaibench.store.tables import DamagedError, from_bytes, seal, stream_to_bytes

RUNS = "runs"


class Runs:
    """A folder per run: ``claim.json``, ``manifest.json``, ``cells.parquet``, ``outcome.json``."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def name(self, number: int, file: str) -> str:
        return f"{RUNS}/{number:06d}/{file}"

    def numbers(self) -> list[int]:
        """Numbers that are taken, ascending."""
        return sorted(int(name) for name in self.files.folders(RUNS) if name.isdigit())

    def claim(self, run_id: str | None = None, *, over: bool = False) -> tuple[int, str]:
        """Take the next number by exclusive create; returns it and the id of the run.

        A number says in which order runs began, whatever the clocks say. With ``over`` nobody works on it.
        """
        found = run_id or uuid.uuid4().hex
        facts = {
            "id": found,
            "process": "over" if over else this_process(),
            "host": socket.gethostname(),
            "claimed": datetime.now(UTC).isoformat(),
        }
        number = max(self.numbers(), default=0) + 1
        while not self._write(number, "claim.json", facts, exclusive=True):
            number += 1
        return number, found

    def begin(self, manifest: dict[str, Any], planned: Iterable[Row] | Iterable[pa.Table]) -> int:
        """Claim a number, then write the cells that are planned, then the manifest; returns the number."""
        number, found = self.claim()
        content, count = stream_to_bytes(planned)
        self.files.write(self.name(number, "cells.parquet"), content)
        facts = {**manifest, "run": number, "id": found, "n_cells": count, "cells_seal": seal(content)}
        self._write(number, "manifest.json", {**facts, "digest": digest(facts)})
        return number

    def adopt(self, number: int, manifest: dict[str, Any], cells: bytes, outcome: dict[str, Any] | None) -> None:
        """Write what another store says about a run under the number that it has here."""
        facts = {k: v for k, v in manifest.items() if k != "digest"} | {"run": number, "cells_seal": seal(cells)}
        self.files.write(self.name(number, "cells.parquet"), cells)
        if outcome is not None:
            self._write(number, "outcome.json", {**outcome, "run": number})
        self._write(number, "manifest.json", {**facts, "digest": digest(facts)})

    def finish(self, number: int, outcome: dict[str, Any]) -> None:
        self._write(number, "outcome.json", outcome)

    def _write(self, number: int, file: str, value: dict[str, Any], *, exclusive: bool = False) -> bool:
        content = json.dumps(value, indent=2, sort_keys=True).encode()
        return self.files.write(self.name(number, file), content, exclusive=exclusive)

    def document(self, number: int, file: str) -> dict[str, Any] | None:
        """A JSON document of a run; None if it is missing or damaged."""
        try:
            found = json.loads(self.files.read(self.name(number, file)))
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict):
            return None
        said = found.pop("digest", None)
        return found if said is None or said == digest(found) else None

    def manifests(self) -> list[dict[str, Any]]:
        """Manifests of all runs, oldest first; a run that died before writing one is left out."""
        found = (self.document(number, "manifest.json") for number in self.numbers())
        return [manifest for manifest in found if manifest is not None]

    def cells(self, number: int) -> bytes:
        """The file of planned cells, as it is."""
        return self.files.read(self.name(number, "cells.parquet"))

    def planned(self, number: int, columns: list[str] | None = None) -> pa.Table:
        """The cells that a run planned, as rows of status ``missing``.

        Raises
        ------
        StoreError
            If the list is missing or damaged.
        """
        manifest = self.document(number, "manifest.json") or {}
        try:
            return from_bytes(self.cells(number), columns, expected=manifest.get("cells_seal"))
        except (DamagedError, OSError) as error:
            where = self.files.place / self.name(number, "cells.parquet")
            raise StoreError(f"{where} cannot be read: {error}", "run the suite again") from error

    def run_id(self, number: int) -> str:
        """What names a run in every store that it is in."""
        for file in ("claim.json", "manifest.json"):
            found = self.document(number, file)
            if found is not None and "id" in found:
                return str(found["id"])
        # Runs of earlier versions have no id: what they say of themselves must do.
        return digest(self.document(number, "manifest.json") or [str(self.files.place), number])

    def under_way(self, number: int) -> str | None:
        """Who works on a run, None if it is over or its process is dead.

        A process on another machine counts as alive until nothing has come from it for a day.
        """
        claim = self.document(number, "claim.json")
        if claim is None or claim.get("process", "over") == "over" or self.document(number, "outcome.json") is not None:
            return None
        life = process_state(str(claim["process"]))
        if life == "elsewhere":
            signs = [self.name(number, file) for file in ("claim.json", "manifest.json")]
            signs += [name for name in part_files(self.files) if f"-{number:06d}-" in name]
            life = "dead" if min(self.files.age(name) for name in signs) > WRITER_GRACE else "alive"
        where = f"process {str(claim['process']).rpartition('-')[2]} on {claim.get('host', 'another machine')}"
        return where if life == "alive" else None


def coverage(manifests: list[dict[str, Any]]) -> list[str]:
    """A line for every suite whose newest run is a shard and whose other shards are not all there.

    Shards belong together if they are of the same cells (``cells_digest``) and divide them alike.
    """
    said = []
    for suite in dict.fromkeys(m["suite"] for m in manifests):
        newest = [m for m in manifests if m["suite"] == suite][-1]
        if not newest.get("shard"):
            continue
        of = newest["shard"][1]
        same = [m for m in manifests if m.get("cells_digest") == newest.get("cells_digest") and m.get("shard")]
        there = sorted({m["shard"][0] for m in same if m["shard"][1] == of and m["suite"] == suite})
        if len(there) < of:
            lacking = ", ".join(str(i) for i in range(1, of + 1) if i not in there)
            said.append(f"suite {suite}, partial: {len(there)} of {of} shards are here, without {lacking}")
    return said
