"""Explanations of a store: attributions and interpretations, by explain key."""

from __future__ import annotations

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

    def sound(self, name: str) -> bool:
        """Whether the file of this name holds what was written."""
        return tensors_from_bytes(self.files.read(name)) is not None


class Interpretations:
    """JSON with a digest inside, a folder per explain key: a file per piece of work, merged when all is done."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def folder(self, explain_key: str) -> str:
        return f"{INTERPRETATIONS}/{explain_key[:2]}/{explain_key}"

    def names(self, folder: str = INTERPRETATIONS) -> dict[str, int]:
        """Names and sizes of all files below a folder, oldest first in each."""
        found = self.files.find(folder)
        return {n: size for n, size in found.items() if n.endswith(".json") and PurePosixPath(n).name[0].isdigit()}

    def save(self, explain_key: str, records: list[dict[str, Any]]) -> None:
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
        return [record for name in self.names(self.folder(explain_key)) for record in self.read(name) or ()]

    def merge(self, explain_key: str) -> None:
        names = list(self.names(self.folder(explain_key)))
        if len(names) < 2:
            return
        newest = {answer_id(r): r for name in names for r in self.read(name) or ()}
        self.save(explain_key, list(newest.values()))
        for name in names:
            self.files.remove(name)

    def add(self, explain_key: str, records: list[dict[str, Any]]) -> int:
        """Store those of these answers that are not there yet; returns their number."""
        there = {answer_id(r) for r in self.load(explain_key)}
        new = [r for r in records if answer_id(r) not in there]
        if new:
            self.save(explain_key, new)
        return len(new)


def answer_id(record: dict[str, Any]) -> tuple[Any, Any]:
    """Which answer this is: of which function, within which budget."""
    return record["name"], record["budget"]
