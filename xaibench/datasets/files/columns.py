"""Columns of a table as numbers, and back: numbers standardised, categories as codes or as a column per value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from xaibench.core.errors import DataError, UnsupportedError
from xaibench.core.types import Array

FACT = "columns"
"""Name under which the facts of a data set hold its columns, as JSON."""
ColumnKind = Literal["number", "whole number", "bool", "category"]
_NEAR = 1e-3
"""A number so near to a code or to a whole number is one but for rounding."""


@dataclass(frozen=True)
class Column:
    """A column of a table, and what numbers stand for it.

    Attributes
    ----------
    name : str
    kind : {"number", "whole number", "bool", "category"}
    values : tuple
        Of a category: its values in the order of their codes.
    one_hot : bool
        Whether a category has a number for every value, instead of its code.
    mean, spread : float
        Numbers are stored as (x - mean) / spread.
    fill : float or None
        What stands for a missing number, with a flag beside it that says so; None: missing numbers are NaN.
    missing_code : int or None
        Code of a category that stands for a missing value.
    """

    name: str
    kind: ColumnKind
    values: tuple[Any, ...] = ()
    one_hot: bool = False
    mean: float = 0.0
    spread: float = 1.0
    fill: float | None = None
    missing_code: int | None = None

    @property
    def width(self) -> int:
        """How many numbers stand for it."""
        if self.kind == "category":
            return len(self.values) if self.one_hot else 1
        return 1 if self.fill is None else 2

    @property
    def names(self) -> list[str]:
        """What these numbers are called."""
        if self.kind == "category" and self.one_hot:
            return [f"{self.name}={value}" for value in self.values]
        return [self.name] if self.width == 1 else [self.name, f"{self.name} is missing"]


def encode(frame: pd.DataFrame, columns: Sequence[Column]) -> Array:
    """Numbers (N, D) of float64 that stand for a table.

    Raises
    ------
    DataError
        If a category has a value that is not among the known ones.
    """
    parts: list[Array] = []
    for column in columns:
        given = frame[column.name]
        if column.kind == "category":
            parts += _category(given, column)
            continue
        numbers = pd.to_numeric(given).to_numpy(np.float64, na_value=np.nan)
        lost = np.isnan(numbers)
        if column.fill is not None:
            numbers = np.where(lost, column.fill, numbers)
        parts.append((numbers - column.mean) / column.spread)
        if column.fill is not None:
            parts.append(lost.astype(np.float64))
    return np.stack(parts, axis=1)


def _category(given: pd.Series[Any], column: Column) -> list[Array]:
    codes = pd.Categorical(given, categories=list(column.values)).codes.astype(np.float64)
    lost = given.isna().to_numpy()
    if bool((codes[~lost] < 0).any()):
        value = given.to_numpy()[~lost][codes[~lost] < 0][0]
        raise DataError(f"column {column.name!r} has the value {value!r}, which is not among those that are known")
    codes[lost] = np.nan if column.missing_code is None else column.missing_code
    if not column.one_hot:
        return [codes]
    return [(codes == code).astype(np.float64) for code in range(len(column.values))]


def decode(inputs: Array, columns: Sequence[Column]) -> pd.DataFrame:
    """The table that numbers (N, D) stand for, as a model that was fitted to the file takes it.

    Raises
    ------
    UnsupportedError
        If there is no such row: a code between two categories, half a value.
    """
    found: dict[str, Any] = {}
    place = 0
    for column in columns:
        values = inputs[:, place : place + column.width].astype(np.float64)
        place += column.width
        found[column.name] = _values(values, column)
    return pd.DataFrame(found)


def _values(values: Array, column: Column) -> Any:
    if column.kind == "category":
        return _of_codes(values, column)
    numbers = values[:, 0] * column.spread + column.mean
    if column.fill is not None:
        numbers = np.where(values[:, 1] > 0.5, np.nan, numbers)
    if column.kind == "number":
        return numbers
    whole = np.rint(numbers)
    numbers = np.where(np.abs(numbers - whole) <= _NEAR, whole, numbers)
    if column.kind == "bool":
        if not bool(np.isin(numbers, (0, 1)).all()):
            raise _no_such_value(column, numbers[~np.isin(numbers, (0, 1))][0])
        return numbers.astype(bool)
    return numbers.astype(np.int64) if bool((numbers == whole).all()) else numbers


def _of_codes(values: Array, column: Column) -> Array:
    if column.one_hot:
        if not bool((np.isin(values, (0, 1)).all(axis=1) & (values.sum(axis=1) == 1)).all()):
            raise UnsupportedError(
                f"column {column.name!r} is a column per value, and features removed one by one leave no value",
                'say categories = "codes" for models that are files',
            )
        codes = values.argmax(axis=1).astype(np.float64)
    else:
        codes = values[:, 0]
    lost = np.isnan(codes)
    whole = np.rint(np.where(lost, 0, codes))
    wrong = ~lost & ((np.abs(codes - whole) > _NEAR) | (whole < 0) | (whole >= len(column.values)))
    if bool(wrong.any()):
        raise _no_such_value(column, codes[wrong][0])
    found = np.array(column.values, dtype=object)[whole.astype(np.int64)]
    if column.missing_code is not None:
        lost |= whole == column.missing_code
    found[lost] = None
    return found


def _no_such_value(column: Column, value: float) -> UnsupportedError:
    return UnsupportedError(
        f"column {column.name!r} holds codes of categories, and {value:.4g} is none",
        'use a masker that puts values of other rows in place, masker = "marginal"',
    )


def to_json(columns: Sequence[Column]) -> str:
    """Columns as text, for the facts of a data set."""
    return json.dumps([asdict(column) for column in columns], ensure_ascii=False)


def from_json(text: str) -> tuple[Column, ...]:
    """The inverse of `to_json`."""
    return tuple(Column(**{**c, "values": tuple(c["values"])}) for c in json.loads(text))
