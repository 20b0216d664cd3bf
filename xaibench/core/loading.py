"""Importing components: those of this package by having a file there, those of installed packages by entry points."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil

from xaibench.core.component_files import is_known_file
from xaibench.core.components import Component, Kind
from xaibench.core.errors import UsageError, message_of
from xaibench.core.source_files import defined_in, is_replaced

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


def is_component_file(kind: Kind, name: str) -> bool:
    """Whether a name is that of a file that can be a component of a kind, by its ending; readers are imported."""
    if "." in name:
        import_built_in(kind)
    return is_known_file(kind, name)


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
    if defined_in(old.function) != defined_in(new.function) and not is_replaced(old.function):
        files = f"{defined_in(old.function)[0]} and {defined_in(new.function)[0]}"
        raise UsageError(f"two {plural(new.kind)} are called {new.name!r}, in {files}", "give yours another name")
