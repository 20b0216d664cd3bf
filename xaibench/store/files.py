"""File access of a store: a local folder, or an object store behind fsspec."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from xaibench.core.errors import StoreError
from xaibench.core.extras import install_command
from xaibench.core.storage.files import write_bytes
from xaibench.core.storage.paths import Location, StoreUrl
from xaibench.core.storage.processes import process_state

DRAFT_SUFFIX = ".draft"
PARALLEL_READS = 64
"""Files that are asked of an object store at the same time."""
WRITER_GRACE = 86400.0
"""Seconds after which a file whose writer cannot be seen from here is given up."""


class Files(Protocol):
    """Files by names with ``/``, that appear whole or not at all, and can be created exclusively.

    A missing file is a FileNotFoundError. What cannot be reached, or may not be read or written, is
    a StoreError, which does not mean damage.
    """

    place: Location

    def read(self, name: str) -> bytes:
        """Content of a file."""

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Contents of files by name, in order; those that have gone are left out."""

    def write(self, name: str, content: bytes, *, exclusive: bool = False) -> bool:
        """Publish a file; False if ``exclusive`` and there is one of that name."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def find(self, folder: str) -> dict[str, int]:
        """Names of all files below a folder, sorted, with their sizes in bytes; no drafts."""

    def folders(self, folder: str) -> list[str]:
        """Last parts of the names of the folders in a folder, sorted."""

    def age(self, name: str) -> float:
        """Seconds since a file was written, by the clocks at hand; infinite if it is not there."""

    def leftovers(self) -> list[str]:
        """Drafts whose writer is dead."""

    def ready(self) -> None:
        """Make what must be there before anything is written, and check that it can be."""


class LocalFiles:
    """Files in a folder."""

    def __init__(self, place: Path) -> None:
        self.place: Location = place
        self._root = place

    def read(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except PermissionError as error:
            raise StoreError(f"cannot read {self._root / name}: {error.strerror}", "check its permissions") from error

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            try:
                yield name, self.read(name)
            except FileNotFoundError:
                continue

    def write(self, name: str, content: bytes, *, exclusive: bool = False) -> bool:
        return write_bytes(self._root / name, content, exclusive=exclusive)

    def remove(self, name: str) -> None:
        try:
            (self._root / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {self._root / name}: {error.strerror}") from error

    def find(self, folder: str) -> dict[str, int]:
        found: dict[str, int] = {}
        self._scan(self._root / folder, f"{folder}/" if folder else "", found)
        return dict(sorted(found.items()))

    def _scan(self, folder: Path, prefix: str, found: dict[str, int]) -> None:
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                self._scan(Path(entry.path), f"{prefix}{entry.name}/", found)
                continue
            try:
                found[f"{prefix}{entry.name}"] = entry.stat().st_size
            except FileNotFoundError:  # removed meanwhile
                continue

    def folders(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self._root / folder) if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def age(self, name: str) -> float:
        try:
            return time.time() - (self._root / name).stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def leftovers(self) -> list[str]:
        found = []
        for path in sorted(self._root.rglob(f".*{DRAFT_SUFFIX}")):
            name = path.relative_to(self._root).as_posix()
            life = process_state("-".join(path.name[1:].split("-")[:2]))
            if life == "dead" or (life == "elsewhere" and self.age(name) > WRITER_GRACE):
                found.append(name)
        return found

    def ready(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write to the store {self._root}: {error.strerror}") from error


class RemoteFiles:
    """Objects behind a URL of fsspec; a file appears whole because a put does.

    Raises
    ------
    StoreError
        If the package that speaks this protocol is not installed, or the URL makes no sense.
    """

    def __init__(self, place: StoreUrl) -> None:
        from fsspec.core import url_to_fs

        self.place: Location = place
        try:
            self._fs, self._root = url_to_fs(str(place))
        except ImportError as error:
            extra = install_command("s3") if place.startswith("s3") else "install the package that it names"
            raise StoreError(f"the store {place} cannot be reached: {error}", extra) from error
        except ValueError as error:
            raise StoreError(
                f"{place!r} is not the address of a store: {error}", "use one such as s3://bucket/store"
            ) from error

    def _name(self, path: str) -> str:
        return path.strip("/").removeprefix(self._root.strip("/")).strip("/")

    def _call(self, name: str, action: Callable[[str], Any]) -> Any:
        path = f"{self._root}/{name}" if name else self._root
        try:
            return action(path)
        except (FileNotFoundError, FileExistsError):
            raise
        except Exception as error:  # every service has exceptions of its own
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> StoreError:
        return StoreError(
            f"the store {self.place} cannot be reached: {type(error).__name__}: {error}",
            "check the address, the network and the credentials",
        )

    def read(self, name: str) -> bytes:
        return bytes(self._call(name, self._fs.cat_file))

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Some at a time, because each takes a way there and back."""
        left = iter(names)
        while some := list(itertools.islice(left, PARALLEL_READS)):
            paths = [f"{self._root}/{name}" for name in some]
            found = self._call("", partial(self._several, paths))
            contents = {self._name(path): content for path, content in found.items()}
            for name in some:
                content = contents[name]
                if isinstance(content, FileNotFoundError):
                    continue
                if isinstance(content, Exception):
                    raise self._unreachable(content) from content
                yield name, bytes(content)

    def _several(self, paths: list[str], _root: str) -> dict[str, Any]:
        found: dict[str, Any] = self._fs.cat(paths, on_error="return")
        return found

    def write(self, name: str, content: bytes, *, exclusive: bool = False) -> bool:
        mode = "create" if exclusive else "overwrite"
        try:
            self._call(name, lambda path: self._fs.pipe_file(path, content, mode=mode))
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise StoreError(f"the store {self.place} cannot be written: {error}", "make the bucket first") from error
        return True

    def remove(self, name: str) -> None:
        try:
            self._call(name, self._fs.rm_file)
        except FileNotFoundError:
            return

    def find(self, folder: str) -> dict[str, int]:
        self._fs.invalidate_cache()
        try:
            found = self._call(folder, lambda path: self._fs.find(path, detail=True))
        except FileNotFoundError:
            return {}
        sizes = {self._name(path): int(facts["size"]) for path, facts in found.items()}
        return dict(sorted((n, size) for n, size in sizes.items() if not n.rpartition("/")[2].startswith(".")))

    def folders(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        try:
            found = self._call(folder, lambda path: self._fs.ls(path, detail=True))
        except FileNotFoundError:
            return []
        return sorted(self._name(f["name"]).rpartition("/")[2] for f in found if f["type"] == "directory")

    def age(self, name: str) -> float:
        try:
            written: datetime = self._call(name, self._fs.modified)
        except FileNotFoundError:
            return float("inf")
        return (datetime.now(UTC) - written).total_seconds()

    def leftovers(self) -> list[str]:
        return []

    def ready(self) -> None:
        """Check that a name can be claimed: without that, two runs would take each other's number."""
        self.write("claims.txt", b"this file shows that names can be claimed\n", exclusive=True)
        if self.write("claims.txt", b"this file shows that names can be claimed\n", exclusive=True):
            raise StoreError(
                f"{self.place} overwrites files that must not be: it has no conditional writes",
                "S3 and servers of its kind have them since 2024 (If-None-Match); use another one, or a folder",
            )


def files_of(place: Location) -> Files:
    """The files of a store at this place."""
    return RemoteFiles(place) if isinstance(place, StoreUrl) else LocalFiles(place)
