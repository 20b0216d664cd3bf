"""Explanations of a store: attributions and interpretations, by explain key."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from xaibench.core.keys import digest
from xaibench.core.storage.files import tensors_from_bytes, tensors_to_bytes
from xaibench.store.files import Files

if TYPE_CHECKING:
    from torch import Tensor

ATTRIBUTIONS, INTERPRETATIONS = "attributions", "interpretations"


class AttributionFiles:
    """Safetensors, one file per explain key, with a digest inside."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def name(self, explain_key: str) -> str:
        return f"{ATTRIBUTIONS}/{explain_key[:2]}/{explain_key}.safetensors"

    def names(self) -> dict[str, int]:
        """Names and sizes of all files."""
        return {n: size for n, size in self.files.find(ATTRIBUTIONS).items() if n.endswith(".safetensors")}

    def save(
        self, explain_key: str, attributions: Tensor, *, kind: str, seconds: float, sizes: Tensor | None = None
    ) -> None:
        """Write maps (N, *features), and where samples have different lengths how many features of each there are."""
        metadata = {"kind": kind, "seconds": repr(seconds)}
        tensors = {"attributions": attributions, **({} if sizes is None else {"sizes": sizes})}
        self.files.write(self.name(explain_key), tensors_to_bytes(tensors, metadata))

    def load(self, explain_key: str) -> tuple[Tensor, str, float] | None:
        try:
            found = tensors_from_bytes(self.files.read(self.name(explain_key)))
        except FileNotFoundError:
            return None
        if found is None:
            return None
        tensors, metadata = found
        return tensors["attributions"], metadata["kind"], float(metadata["seconds"])

    def sizes(self, explain_key: str) -> Tensor | None:
        """How many features of each sample (N,) there are; None where they do not differ, or none is stored."""
        try:
            found = tensors_from_bytes(self.files.read(self.name(explain_key)))
        except FileNotFoundError:
            return None
        return None if found is None else found[0].get("sizes")

    def sound(self, name: str) -> bool:
        """Whether the file of this name holds what was written."""
        return tensors_from_bytes(self.files.read(name)) is not None


class Interpretations:
    """JSON with a digest inside, a folder per explain key: a file per piece of work, merged when all is done.

    Tensors of answers are safetensors beside it, called by a digest of their content.
    """

    def __init__(self, files: Files) -> None:
        self.files = files

    def folder(self, explain_key: str) -> str:
        return f"{INTERPRETATIONS}/{explain_key[:2]}/{explain_key}"

    def names(self, folder: str = INTERPRETATIONS) -> dict[str, int]:
        """Names and sizes of all files below a folder, oldest first in each."""
        found = self.files.find(folder)
        return {n: size for n, size in found.items() if n.endswith(".json") and PurePosixPath(n).name[0].isdigit()}

    def tensor_names(self, folder: str = INTERPRETATIONS) -> dict[str, int]:
        """Names and sizes of all files with tensors below a folder."""
        return {n: size for n, size in self.files.find(folder).items() if n.endswith(".safetensors")}

    def save(self, explain_key: str, records: list[dict[str, Any]]) -> None:
        self._write(explain_key, self._without_tensors(explain_key, records))

    def _without_tensors(self, explain_key: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The records with the name of a file in the place of their tensors; writes that file."""
        held = {f"{i}/{name}": t.clone() for i, r in enumerate(records) for name, t in r.get("tensors", {}).items()}
        if not held:
            return records
        content = tensors_to_bytes(held)
        name = hashlib.blake2b(content, digest_size=16).hexdigest()
        self.files.write(f"{self.folder(explain_key)}/{name}.safetensors", content)
        return [
            {**r, "tensors": {"file": name, **{k: f"{i}/{k}" for k in r["tensors"]}}} if "tensors" in r else r
            for i, r in enumerate(records)
        ]

    def _write(self, explain_key: str, records: list[dict[str, Any]]) -> None:
        content = json.dumps({"digest": digest(records), "answers": records}, separators=(",", ":")).encode()
        folder = self.folder(explain_key)
        newest = max((int(PurePosixPath(n).stem) for n in self.names(folder)), default=-1)
        for number in itertools.count(newest + 1):
            if self.files.write(f"{folder}/{number:06d}.json", content, exclusive=True):
                return

    def read(self, name: str) -> list[dict[str, Any]] | None:
        """Answers of one file, None if it is missing or damaged."""
        try:
            found = json.loads(self.files.read(name))
            records: list[dict[str, Any]] = found["answers"]
            return records if found["digest"] == digest(records) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def load(self, explain_key: str) -> list[dict[str, Any]]:
        folder = self.folder(explain_key)
        records = [record for name in self.names(folder) for record in self.read(name) or ()]
        files: dict[str, dict[str, Tensor]] = {}
        return [r for r in (self._with_tensors(folder, record, files) for record in records) if r is not None]

    def _with_tensors(
        self, folder: str, record: dict[str, Any], files: dict[str, dict[str, Tensor]]
    ) -> dict[str, Any] | None:
        """The record with its tensors; None if they are missing or damaged."""
        if "tensors" not in record:
            return record
        names = dict(record["tensors"])
        file = names.pop("file")
        if file not in files:
            files[file] = self.read_tensors(f"{folder}/{file}.safetensors") or {}
        if not set(names.values()) <= files[file].keys():
            return None
        return {**record, "tensors": {name: files[file][key] for name, key in names.items()}}

    def read_tensors(self, name: str) -> dict[str, Tensor] | None:
        """Tensors of one file, None if it is missing or damaged."""
        try:
            found = tensors_from_bytes(self.files.read(name))
        except FileNotFoundError:
            return None
        return None if found is None else found[0]

    def merge(self, explain_key: str) -> None:
        folder = self.folder(explain_key)
        names = list(self.names(folder))
        if len(names) < 2:
            return
        records = [record for name in names for record in self.read(name) or ()]
        newest = {answer_id(r): r for r in records}
        self._write(explain_key, list(newest.values()))
        superseded = _tensor_files(folder, records) - _tensor_files(folder, list(newest.values()))
        for name in [*names, *sorted(superseded)]:
            self.files.remove(name)

    def add(self, explain_key: str, records: list[dict[str, Any]]) -> int:
        """Store those of these answers that are not there yet; returns their number."""
        there = {answer_id(r) for r in self.load(explain_key)}
        new = [r for r in records if answer_id(r) not in there]
        if new:
            self.save(explain_key, new)
        return len(new)


def _tensor_files(folder: str, records: list[dict[str, Any]]) -> set[str]:
    """Names of the files that hold tensors of these records."""
    return {f"{folder}/{r['tensors']['file']}.safetensors" for r in records if "tensors" in r}


def answer_id(record: dict[str, Any]) -> tuple[Any, Any]:
    """Which answer this is: of which function, within which budget."""
    return record["name"], record["budget"]
