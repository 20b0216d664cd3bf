"""Trust: files that a user has declared to be their own, by content, because opening them can run code."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from pathlib import Path

import platformdirs

from xaibench.core.errors import UsageError
from xaibench.core.storage.paths import local_path

_trusted: set[str] = set()
_PREFIX = "sha256:"


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            found.update(piece)
    return found.hexdigest()


def user_config() -> Path:
    """The user's own configuration file, ``config.toml``; suites and stores have no part in it."""
    return platformdirs.user_config_path("xaibench") / "config.toml"


def trust_files(files: Iterable[str | Path]) -> None:
    """Trust files for this process, with the content that they have now.

    Raises
    ------
    UsageError
        If one of them is not a file.
    """
    for named in files:
        path = local_path(named)
        if not path.is_file():
            raise UsageError(f"there is no file {named} to trust", "--trust takes the path of a file")
        _trusted.add(file_sha256(path))


def trust_digests(digests: Iterable[str]) -> None:
    """Trust contents, by their SHA-256, for this process."""
    _trusted.update(digests)


def trusted_digests() -> frozenset[str]:
    """Contents that this process trusts, those of the user's configuration included.

    Raises
    ------
    UsageError
        If the configuration cannot be read, or its ``trust`` is not a list of ``sha256:...``.
    """
    return frozenset(_trusted) | _configured()


def _configured() -> frozenset[str]:
    path = user_config()
    if not path.is_file():
        return frozenset()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8")).get("trust", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(given, list) or not all(isinstance(g, str) and g.startswith(_PREFIX) for g in given):
        raise UsageError(f"trust in {path} is not a list of digests", 'trust = ["sha256:..."]')
    return frozenset(g.removeprefix(_PREFIX).lower() for g in given)


def require_trust(path: Path, sha256: str, why: str) -> None:
    """Raise UsageError, with what to do, unless the user trusts a file with this content.

    Parameters
    ----------
    path : Path
    sha256 : str
    why : str
        What could happen, as the end of a sentence about the file.
    """
    if sha256 not in trusted_digests():
        raise UsageError(f"{path.name} {why}", f"if it is yours, say --trust {path.name}")
