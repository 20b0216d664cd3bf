"""Other libraries whose explainers and metrics are called by name, such as ``captum:IntegratedGradients``.

What is called so is registered like every other component. The library is imported when it is called, and not
before; where it is not installed its components are unavailable, with the command that installs it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from xaibench.core.errors import UnsupportedError
from xaibench.core.extras import install_command


@dataclass(frozen=True)
class Library:
    """A library and the extra of this package that installs it.

    Attributes
    ----------
    package : str
        What is imported.
    distribution : str
        What is installed, as pip calls it.
    extra : str
        Of this package.
    """

    package: str
    distribution: str
    extra: str


NOT_INSTALLED = "is not installed:"
"""Stands in the reason of every cell that lacks a library."""
LIBRARIES: Mapping[str, Library] = {
    "captum": Library("captum", "captum", "captum"),
    "lime": Library("lime", "lime", "lime"),
    "pytorch_grad_cam": Library("pytorch_grad_cam", "grad-cam", "cam"),
    "quantus": Library("quantus", "quantus", "quantus"),
    "saliency": Library("saliency", "saliency", "image"),
    "shap": Library("shap", "shap", "shap"),
    "zennit": Library("zennit", "zennit", "zennit"),
}
"""By the prefix of the names of their components."""


def library_of(name: str) -> str | None:
    """The prefix of a component's name that says which library it is of; None for all others.

    Examples
    --------
    >>> from xaibench.core.libraries import library_of
    >>> library_of("shap:Kernel"), library_of("kernel_shap"), library_of("file.py:mine")
    ('shap', None, None)
    """
    prefix, colon, _ = name.partition(":")
    return prefix if colon and prefix in LIBRARIES else None


def why_missing(prefix: str) -> str | None:
    """Why a library is unavailable, with the command that installs it; None if it is installed."""
    library = LIBRARIES[prefix]
    if importlib.util.find_spec(library.package) is not None:
        return None
    return f"{library.package} {NOT_INSTALLED} {install_command(library.extra)}"


@cache
def installed_version(prefix: str) -> str | None:
    """The version of a library that is installed, or None."""
    try:
        return importlib.metadata.version(LIBRARIES[prefix].distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_library(prefix: str | None) -> None:
    """Raise UnsupportedError, with the command that installs it, if this library is missing."""
    missing = None if prefix is None else why_missing(prefix)
    if missing is not None:
        what, _, how = missing.partition(": ")
        raise UnsupportedError(what, how)


def import_library(prefix: str, module: str = "") -> ModuleType:
    """Import a library, or one of its modules.

    Raises
    ------
    UnsupportedError
        If it is not installed, or cannot be imported.
    """
    check_library(prefix)
    library = LIBRARIES[prefix]
    name = ".".join(filter(None, (library.package, module)))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise UnsupportedError(f"{name} cannot be imported: {reason}", install_command(library.extra)) from error


def first_line(error: BaseException) -> str:
    """What a library says in an error, without its further lines."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
