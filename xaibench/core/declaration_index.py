"""Index of declarations: what built-in components declare, readable without importing what they compute with.

Commands that only list, plan or show results need names, parameters, needs and docstrings, and importing every
component imports torch and scikit-learn. The index is made from the registry itself and belongs to one state of the
source code (`package_digest`), so it cannot be out of date: with any other code it is made again, and nothing has to
be edited.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from xaibench.core.components import Component, ExplainerSpec, Kind, MetricSpec
from xaibench.core.data_specs import DatasetSpec, ModelSpec
from xaibench.core.declaration_json import (
    NotPlainError,
    hint_from_json,
    hint_to_json,
    value_from_json,
    value_to_json,
)
from xaibench.core.errors import StoreError, UsageError
from xaibench.core.program_specs import FunctionsSpec, InterpreterSpec
from xaibench.core.source_files import source_file
from xaibench.core.sources import PACKAGE, package_digest
from xaibench.core.storage.files import write_json
from xaibench.core.storage.paths import cache_folder

FORMAT = 1
FILES = 8
"""States of the code whose index is stored; with more the oldest go."""
_SPECS: tuple[type[Component], ...] = (
    DatasetSpec, ExplainerSpec, FunctionsSpec, InterpreterSpec, MetricSpec, ModelSpec,
)  # fmt: skip
_OWN = ("name", "function", "kind")
_CALLED = {"called": True}
"""Stands for a declaration that is a function: it is the component's, imported when it is called."""
Declared = dict[str, dict[str, Component]]
Import = Callable[[Kind, str, str], Component]


class DeferredFunction:
    """Stands for a component's function: knows its signature and documentation, and imports it when it is called."""

    __xaibench__ = True

    def __init__(self, kind: Kind, record: Mapping[str, Any], load: Import) -> None:
        self.__module__ = record["module"]
        self.__qualname__ = record["qualname"]
        self.__name__ = record["qualname"].rpartition(".")[2]
        self.__doc__ = record["doc"]
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    p["name"],
                    getattr(inspect.Parameter, p["kind"]),
                    default=value_from_json(p["default"]) if "default" in p else inspect.Parameter.empty,
                )
                for p in record["parameters"]
            ]
        )
        self.source_file = str(PACKAGE / record["file"])
        self._component = (kind, record["name"], record["module"])
        self._hints = record["hints"]
        self._load = load

    @property
    def loaded(self) -> Component:
        """The component itself, imported."""
        return self._load(*self._component)

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        if self._hints is None:
            return inspect.get_annotations(self.loaded.function, eval_str=True)
        return {name: hint_from_json(hint) for name, hint in self._hints.items()}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.loaded.function(*args, **kwargs)


def declared(components: Callable[[], Iterable[Component]], load: Import) -> Declared | None:
    """The built-in components of the index by kind and name, or None where there is no index and none can be made.

    Parameters
    ----------
    components : callable
        Gives all registered components; called if there is no index of this code yet.
    load : callable
        ``(kind, name, module) -> Component``: imports a component.
    """
    digest = package_digest()
    if digest is None:
        return None
    path = cache_folder() / "declarations" / f"{digest}-{FORMAT}.json"
    records = _read(path)
    if records is None:
        try:
            records = [record_of(spec) for spec in components() if built_in(spec)]
            write_json(path, records)
            _forget_others(path)
        except (NotPlainError, StoreError, OSError):
            return None
    found: Declared = {}
    try:
        for record in records:
            spec = spec_of(record, load)
            found.setdefault(spec.kind, {})[spec.name] = spec
    except UsageError:  # Valid only beside something that importing the component makes known.
        return None
    return found


def _read(path: Path) -> list[dict[str, Any]] | None:
    try:
        found = json.loads(path.read_bytes())
        own = all(str(record["module"]).startswith(f"{PACKAGE.name}.") for record in found)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if not isinstance(found, list) or not found:
        return None
    # A cache may come from anywhere: what it names is imported, so it may name modules of this package only.
    return found if own else None


def _forget_others(path: Path) -> None:
    """Remove indexes of earlier code."""
    files = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[FILES:]:
        file.unlink(missing_ok=True)


def built_in(spec: Component) -> bool:
    """Whether a component is defined in this package."""
    file = source_file(spec.function)
    return file is not None and PACKAGE in Path(file).resolve().parents


def record_of(spec: Component) -> dict[str, Any]:
    """A component as plain data.

    Raises
    ------
    NotPlainError
        If a declaration or a default is neither plain nor a function.
    """
    function, file = spec.function, source_file(spec.function)
    assert file is not None
    return {
        "kind": spec.kind,
        "name": spec.name,
        "module": function.__module__,
        "qualname": function.__qualname__,
        "file": Path(file).resolve().relative_to(PACKAGE).as_posix(),
        "doc": function.__doc__,
        "parameters": [_parameter(p) for p in inspect.signature(function).parameters.values()],
        "hints": _hints(spec),
        "declared": {
            f.name: _CALLED if callable(value := getattr(spec, f.name)) else value_to_json(value)
            for f in fields(spec)
            if f.name not in _OWN
        },
    }


def _parameter(parameter: inspect.Parameter) -> dict[str, Any]:
    found = {"name": parameter.name, "kind": parameter.kind.name}
    if parameter.default is not inspect.Parameter.empty:
        return {**found, "default": value_to_json(parameter.default)}
    return found


def _hints(spec: Component) -> dict[str, Any] | None:
    """Types of the parameters that a suite may set; None if one of them is more than JSON can say."""
    hints = inspect.get_annotations(spec.function, eval_str=True)
    try:
        return {name: hint_to_json(hints[name]) for name in spec.parameters if name in hints}
    except NotPlainError:
        return None


def spec_of(record: Mapping[str, Any], load: Import) -> Component:
    """The component of a record; its functions are imported when they are called."""
    make = _by_kind()[record["kind"]]
    function = DeferredFunction(record["kind"], record, load)

    def called(name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: getattr(function.loaded, name)(*args, **kwargs)

    given: dict[str, Any] = {
        name: called(name) if value == _CALLED else value_from_json(value) for name, value in record["declared"].items()
    }
    return make(record["name"], function, **given)


@cache
def _by_kind() -> dict[str, type[Component]]:
    return {next(f.default for f in fields(spec) if f.name == "kind"): spec for spec in _SPECS}  # type: ignore[misc]
