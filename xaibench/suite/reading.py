"""Suite files: found by name or path, read, and validated before anything runs."""

from __future__ import annotations

import tomllib
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pydantic

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.storage.paths import local_path, shipped
from xaibench.suite.claims import Claim
from xaibench.suite.matrix import Suite
from xaibench.suite.validation import check_claims, check_company, check_fitted, check_names
from xaibench.suite.validation_messages import first_mistake

DEFAULT_SUITE = "quick"


def available() -> dict[str, Path]:
    """Shipped suites by name."""
    return {p.stem: p for p in sorted(shipped("suites").glob("*.toml"))}


def descriptions() -> dict[str, str]:
    """What shipped suites say of themselves, by name; their cells are not looked at."""
    return {name: str(_document(path).get("description", "")) for name, path in available().items()}


def shipped_claims() -> dict[str, list[Claim]]:
    """Claims of every shipped suite's own file, by suite; names of components are not looked up.

    Raises
    ------
    UsageError
        If a file is not TOML, or a claim is wrong.
    """
    found: dict[str, list[Claim]] = {}
    for name, path in available().items():
        try:
            found[name] = [Claim.model_validate(claim) for claim in _document(path).get("claims", [])]
        except pydantic.ValidationError as error:
            raise UsageError(*first_mistake(error, str(path))) from error
    return found


def find(ref: str) -> Path:
    """Path of a suite given by name or path.

    Raises
    ------
    UsageError
        If there is none.
    """
    path = local_path(ref)
    if path.is_file():
        return path
    if path.is_dir():
        raise UsageError(f"{ref} is a folder, not a suite", "name a TOML file in it, or a shipped suite")
    shipped_suites = available()
    if ref in shipped_suites:
        return shipped_suites[ref]
    if path.suffix == ".toml" or "/" in ref:
        raise UsageError(f"there is no suite file {ref}", f"shipped suites: {', '.join(shipped_suites)}")
    raise UsageError(f"unknown suite {ref!r}", did_you_mean(ref, shipped_suites))


def load(ref: str) -> Suite:
    """Read and validate a suite by name or path.

    Raises
    ------
    UsageError
        If the file is missing, is not TOML, or holds a wrong field, name or parameter.
    """
    path = find(ref)
    document = {"name": path.stem, **_document(path)}
    return parse(document, source=str(path), folder=path.resolve().parent)


def _document(path: Path) -> dict[str, Any]:
    """The content of a suite file, as it stands there."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}",
            "a suite is a TOML file; Python files are loaded with --plugin" if path.suffix == ".py" else None,
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _load_parts(document: dict[str, Any], source: str, folder: Path | None) -> dict[str, Any]:
    """The document with the suites that its parts name, read.

    Raises
    ------
    UsageError
        If one is missing or wrong, or a part of itself.
    """
    named = document.get("parts", [])
    if not isinstance(named, list) or not all(isinstance(n, (str, dict, Suite)) for n in named):
        raise UsageError(f"{source}: parts must be a list of suites' names or paths")
    above = (*_loading.get(), Path(source).resolve())
    parts: list[Suite] = []
    token = _loading.set(above)
    try:
        for name in named:
            if not isinstance(name, str):
                parts.append(name if isinstance(name, Suite) else parse(name, source=source, folder=folder))
                continue
            beside = None if folder is None else folder / name
            path = beside if beside is not None and beside.is_file() else find(name)
            if path.resolve() in above:
                raise UsageError(f"{source}: suite {path.stem!r} is a part of itself")
            parts.append(load(str(path)))
    finally:
        _loading.reset(token)
    return {**document, "parts": parts}


_loading: ContextVar[tuple[Any, ...]] = ContextVar("loading", default=())


def parse(document: dict[str, Any], *, source: str = "suite", folder: Path | None = None) -> Suite:
    """Validate a suite given as a dictionary; see `load`."""
    if "parts" in document:
        document = _load_parts(document, source, folder)
    try:
        suite = Suite.model_validate({**document, "folder": folder})
    except pydantic.ValidationError as error:
        raise UsageError(*first_mistake(error, source)) from error
    check_names(suite, source)
    for matrix in suite.matrices():
        check_company(matrix, source)
        check_fitted(matrix, source)
    check_claims(suite, source)
    return suite
