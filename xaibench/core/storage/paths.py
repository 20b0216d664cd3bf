"""Paths of caches and stores, and of the suites and data that are shipped."""

from __future__ import annotations

import os
from pathlib import Path

from xaibench.core.errors import UsageError
from xaibench.core.sources import PACKAGE


class StoreUrl(str):
    """Address of a store that is not a folder: ``s3://bucket/store``; like a path, it grows with ``/``."""

    def __truediv__(self, name: str) -> StoreUrl:
        return StoreUrl(f"{self.rstrip('/')}/{name}")


Location = Path | StoreUrl
"""Where a store is."""


def parse_location(where: str | Path) -> Location:
    """Where a store is: a URL of fsspec if there is a ``://`` in it, else a folder.

    Raises
    ------
    UsageError
        If it is neither a text nor a path.
    """
    if not isinstance(where, (str, os.PathLike)):
        raise UsageError(f"{where!r} is not a store", "give its path or its URL")
    text = str(where)
    return StoreUrl(text.rstrip("/")) if "://" in text else local_path(where)


def local_path(where: str | Path) -> Path:
    """A path as a user writes it: ``~`` is the home folder, also where no shell has said so.

    Raises
    ------
    UsageError
        If it starts with ``~`` and the name of a user that there is not.

    Examples
    --------
    >>> from pathlib import Path
    >>> from xaibench.core.storage.paths import local_path
    >>> local_path("~/results") == Path.home() / "results"
    True
    """
    try:
        return Path(where).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"there is no home folder for {where}", "for a name that starts with ~, write ./~name"
        ) from error


def checkout() -> Path | None:
    """The checkout's top folder, or None for an installed package."""
    top = PACKAGE.parent
    project = top / "pyproject.toml"
    if project.is_file() and 'name = "xaibench"' in project.read_text(encoding="utf-8"):
        return top
    return None


def shipped(kind: str) -> Path:
    """Folder of shipped ``suites``, ``datasets`` or ``docs``: the checkout's, else the one inside the wheel."""
    top = checkout()
    if top is not None and (top / kind).is_dir():
        return top / kind
    return PACKAGE / "_data" / kind


def cache_folder() -> Path:
    """Folder for models, data and shared evaluations: ``XAIBENCH_CACHE``, else the user's cache."""
    named = os.environ.get("XAIBENCH_CACHE")
    if named:
        return local_path(named)
    from platformdirs import user_cache_path

    return user_cache_path("xaibench", appauthor=False)


def default_store() -> Path:
    """``results/local`` in a checkout, else a folder among the user's data."""
    top = checkout()
    if top is not None:
        return top / "results" / "local"
    from platformdirs import user_data_path

    return user_data_path("xaibench", appauthor=False) / "store"
