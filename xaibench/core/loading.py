"""Importing components: those of this package by having a file there, those of installed packages by entry points."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

from xaibench.core.components import Component, Kind, source_file
from xaibench.core.errors import UsageError, message_of

_BUILT_IN: dict[Kind, tuple[str, ...]] = {
    "explainer": ("xaibench.explainers",),
    "metric": ("xaibench.metrics", "xaibench.functions"),
    "dataset": ("xaibench.datasets",),
    "model": ("xaibench.models",),
    "interpreter": ("xaibench.functions",),
    "functions": ("xaibench.functions",),
}
_entered: set[Kind] = set()


def plural(kind: str) -> str:
    """Name of several components of a kind, as lists and entry points are called."""
    return f"{kind.removesuffix('s')}s"


def import_built_in(kind: Kind) -> None:
    """Import every module of the packages that components of a kind may be in."""
    for package in _BUILT_IN[kind]:
        _import_all(package)


def import_installed(kind: Kind) -> None:
    """Import the components of a kind that installed packages declare, once.

    Raises
    ------
    UsageError
        If one of them cannot be imported.
    """
    if kind in _entered:
        return
    _entered.add(kind)
    for entry in importlib.metadata.entry_points(group=f"xaibench.{plural(kind)}"):
        try:
            entry.load()
        except Exception as error:
            raise UsageError(
                f"the {kind} {entry.name!r} of an installed package cannot be loaded: {message_of(error)}",
                f"it is declared as {entry.value}; update or uninstall that package",
            ) from error


def _import_all(package: str) -> None:
    """Import every module below a package, so that a component is registered by having a file there."""
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        importlib.import_module(found.name)


def check_same(old: Component, new: Component) -> None:
    """Raise UsageError if two components that are not the same function have one name."""
    if _origin(old.function) != _origin(new.function) and not _replaced(old.function):
        files = f"{_origin(old.function)[0]} and {_origin(new.function)[0]}"
        raise UsageError(f"two {plural(new.kind)} are called {new.name!r}, in {files}", "give yours another name")


def _origin(function: Callable[..., Any]) -> tuple[str, str]:
    return source_file(function) or function.__module__, function.__qualname__


def _replaced(function: Callable[..., Any]) -> bool:
    """Whether a function belongs to a notebook or terminal, or to a module that has been imported again since."""
    if getattr(function, "source_file", None) is not None:
        return False
    module = sys.modules.get(function.__module__)
    space = getattr(inspect.unwrap(function), "__globals__", None)
    return function.__module__ == "__main__" or module is None or vars(module) is not space
