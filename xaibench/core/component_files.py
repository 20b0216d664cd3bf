"""Components that are files: data sets, fitted models and explanations, by the ending of a file's name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xaibench.core.components import Component, Kind
from xaibench.core.errors import DataError, UsageError, did_you_mean
from xaibench.core.keys import canonical_json
from xaibench.core.plugins import check_open
from xaibench.core.storage.paths import local_path
from xaibench.core.trust import file_sha256, trusted_digests

_PREFIX = "file:"
FOLDER = "/"
"""What stands for the ending of a folder's name."""
MOST_FILES = 200_000
"""Files of a folder, at most."""


@dataclass(frozen=True)
class SourceFile:
    """A file (or folder) that is a component.

    Attributes
    ----------
    path : Path
        Where it is, links resolved.
    sha256 : str
        Of its content; of a folder, of the names and contents of all files in it.
    name : str
        What the component is called: by default the name of the file, without its folder.
    folder : Path or None
        Folder of the suite, which relative paths start from and must not leave.
    """

    path: Path
    sha256: str
    name: str
    folder: Path | None

    def beside(self, file: str) -> SourceFile:
        """Another file or folder that the parameters of this one name, held to the same rules."""
        return _source(file, "", self.folder)


Maker = Callable[[SourceFile, Mapping[str, Any]], Component]
"""Makes a component of a file, from its parameters as far as they are known (at first none are)."""
_makers: dict[tuple[Kind, str], Maker] = {}
_made: dict[tuple[Any, ...], Component] = {}
_contents: dict[tuple[Any, ...], str] = {}
_digests: dict[tuple[str, int, int], str] = {}


def reads_files(kind: Kind, *suffixes: str) -> Callable[[Maker], Maker]:
    """Register what makes components of files with these endings (``".csv"``), or of folders (``"/"``)."""

    def register(maker: Maker) -> Maker:
        for suffix in suffixes:
            _makers[kind, suffix] = maker
        return maker

    return register


def of_file(function: Callable[..., Any], source: SourceFile, *more: str) -> Callable[..., Any]:
    """The function of a component, marked with the file behind it and with the digest of all that it depends on."""
    function.content_digest = "+".join((f"sha256:{source.sha256}", *more))  # type: ignore[attr-defined]
    function.source_path = source.path  # type: ignore[attr-defined]
    return function


def file_reference(file: str, name: str = "") -> str:
    """How a component that is a file is referred to, so that any process can resolve it."""
    if "=" in name or "/" in name or name.strip() != name:
        raise UsageError(f"{name!r} is not a name for {file}", "use letters, digits and _ - .")
    return f"{_PREFIX}{name}={file}"


def is_file_reference(ref: str) -> bool:
    """Whether a reference is one of a file."""
    return ref.startswith(_PREFIX)


def is_known_file(kind: Kind, file: str) -> bool:
    """Whether files with this ending can be components of a kind; its readers must have been imported."""
    return (kind, Path(file).suffix.lower()) in _makers


def component_of_file(
    kind: Kind, ref: str, *, folder: Path | None, check: bool = True, params: Mapping[str, Any] | None = None
) -> Component:
    """The component that a file is.

    Parameters
    ----------
    kind : str
    ref : str
        As `file_reference` makes it.
    folder : Path, optional
        Folder of the suite. None for a suite that is not a file: paths then start from the current folder.
    check : bool
        Look whether the file has changed.
    params : mapping, optional
        Parameters, bound; some of them decide what the component declares.

    Raises
    ------
    UsageError
        If the file is missing, outside the suite's folder, or of no kind that is read.
    """
    name, _, file = ref.removeprefix(_PREFIX).partition("=")
    key = (kind, ref, folder, Path.cwd(), canonical_json(params or {}))
    if not check and key in _made:
        return _made[key]
    check_open(file)
    source = _source(file, name, folder)
    if _contents.setdefault(key[:-1], source.sha256) != source.sha256:
        # Whatever the parameters: a component that was made of another content is forgotten.
        _contents[key[:-1]] = source.sha256
        for made in [made for made in _made if made[:-1] == key[:-1]]:
            del _made[made]
    if key not in _made:
        _made[key] = _maker(kind, source, file)(source, params or {})
    return _made[key]


def _maker(kind: Kind, source: SourceFile, file: str) -> Maker:
    suffix = FOLDER if source.path.is_dir() else source.path.suffix.lower()
    if (kind, suffix) in _makers:
        return _makers[kind, suffix]
    known = sorted(s for k, s in _makers if k == kind and s != FOLDER)
    if not known:
        raise UsageError(f"{file}: a {kind} cannot be a file", "name it instead")
    what = "a folder" if suffix == FOLDER else f"of type {suffix!r}" if suffix else "without an ending"
    hint = did_you_mean(suffix, known) if suffix and suffix != FOLDER else f"known: {', '.join(known)}"
    raise UsageError(f"{file} is {what}, which no {kind} is read from", hint)


def _source(file: str, name: str, folder: Path | None) -> SourceFile:
    given = local_path(file)
    path = given if given.is_absolute() else (folder or Path.cwd()) / given
    if not path.exists():
        start = "the folder of the suite" if folder is not None else "the current folder"
        raise UsageError(f"there is no file {file}", f"paths start from {start}")
    real = path.resolve()
    sha256 = content_sha256(real)
    if folder is not None and not real.is_relative_to(folder.resolve()) and sha256 not in trusted_digests():
        how = "is a link that leads out of" if path.is_symlink() else "is outside"
        raise UsageError(
            f"{file} {how} the folder of the suite",
            "a suite reads files in its own folder; copy the file there"
            + (f", or say --trust {path}" * real.is_file()),
        )
    return SourceFile(real, sha256, name or given.name or real.name, folder)


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder."""
    if not path.is_dir():
        state = path.stat()
        key = (str(path), state.st_size, state.st_mtime_ns)
        if key not in _digests:
            _digests[key] = file_sha256(path)
        return _digests[key]
    found = hashlib.sha256()
    for file in files_in(path):
        found.update(f"{file.relative_to(path).as_posix()}\0{content_sha256(file)}\0".encode())
    return found.hexdigest()


def files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder, sorted; hidden ones are left out.

    Raises
    ------
    DataError
        If one is a link that leads out of the folder, or there are too many.
    """
    count = 0
    for place, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for entry in sorted([*names, *(f for f in folders if (Path(place) / f).is_symlink())]):
            path = Path(place) / entry
            if entry.startswith("."):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{path} is a link that leads out of its folder", "copy what it points to")
            if path.is_file():
                count += 1
                if count > MOST_FILES:
                    raise DataError(f"{folder} holds more than {MOST_FILES} files", "give a smaller selection")
                yield path
