"""Declarations of components as JSON: values and type hints there and back.

Only what is plain is written; anything else raises `NotPlainError`, and is taken from the component itself.
"""

from __future__ import annotations

import functools
import importlib
import math
import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union

import annotated_types
import numpy as np
import pydantic

_SCALARS: dict[str, Any] = {
    t.__name__: t for t in (int, float, str, bool, list, tuple, dict, set, frozenset, type(None))
} | {"Any": Any, "Sequence": Sequence, "Mapping": Mapping}
_LIMITS: dict[str, Any] = {
    t.__name__: t
    for t in (
        annotated_types.Gt,
        annotated_types.Ge,
        annotated_types.Lt,
        annotated_types.Le,
        annotated_types.MinLen,
        annotated_types.MaxLen,
        annotated_types.MultipleOf,
        pydantic.Strict,
    )
}
_VALIDATOR = "AfterValidator"


class NotPlainError(Exception):
    """A value or a type hint that JSON has no form for."""


def value_to_json(value: Any) -> Any:
    """A default or a declared value: numbers, text, and tuples, lists, sets and mappings of them."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    for kind in (tuple, list, frozenset, set):
        if type(value) is kind:
            inside = sorted(value, key=repr) if kind in (frozenset, set) else value
            return {kind.__name__: [value_to_json(v) for v in inside]}
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return {"dict": {k: value_to_json(v) for k, v in value.items()}}
    raise NotPlainError(repr(value))


def value_from_json(value: Any) -> Any:
    """The inverse of `value_to_json`."""
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "dict":
        return {k: value_from_json(v) for k, v in inside.items()}
    made: Callable[[list[Any]], Any] = _SCALARS[kind]
    return made([value_from_json(v) for v in inside])


def hint_to_json(hint: Any) -> Any:
    """A type hint of a parameter: scalars, literals, unions, containers and bounds."""
    hint = type(None) if hint is None else hint
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return {"annotated": [hint_to_json(inside[0]), [_limit_to_json(limit) for limit in inside[1:]]]}
    if origin is Literal:
        return {"literal": [value_to_json(v) for v in inside]}
    if origin in (Union, types.UnionType):
        return {"union": [hint_to_json(h) for h in inside]}
    if origin is not None:
        return {"of": [_name_of(origin), [None if h is ... else hint_to_json(h) for h in inside]]}
    return _name_of(hint)


def hint_from_json(hint: Any) -> Any:
    """The inverse of `hint_to_json`: a hint that validates alike."""
    if isinstance(hint, str):
        return _SCALARS[hint]
    ((kind, inside),) = hint.items()
    if kind == "literal":
        return Literal[tuple(value_from_json(v) for v in inside)]
    if kind == "union":
        return functools.reduce(operator.or_, map(hint_from_json, inside))
    if kind == "annotated":
        limits = (_limit_from_json(name, values) for name, values in inside[1])
        return Annotated[(hint_from_json(inside[0]), *limits)]
    name, parts = inside
    return _SCALARS[name][tuple(... if h is None else hint_from_json(h) for h in parts)]


def _name_of(hint: Any) -> str:
    for name, known in _SCALARS.items():
        if hint is known:
            return name
    raise NotPlainError(repr(hint))


def _limit_to_json(limit: Any) -> Any:
    if isinstance(limit, pydantic.AfterValidator):
        module, name = getattr(limit.func, "__module__", ""), getattr(limit.func, "__qualname__", "")
        if not name.isidentifier():
            raise NotPlainError(repr(limit))
        return [_VALIDATOR, [module, name]]
    name = type(limit).__name__
    if _LIMITS.get(name) is not type(limit) or not is_dataclass(limit):
        raise NotPlainError(repr(limit))
    return [name, [value_to_json(_scalar(getattr(limit, f.name))) for f in fields(limit)]]


def _limit_from_json(name: str, values: list[Any]) -> Any:
    if name != _VALIDATOR:
        return _LIMITS[name](*map(value_from_json, values))
    module, function = values
    return pydantic.AfterValidator(lambda value: getattr(importlib.import_module(module), function)(value))


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
