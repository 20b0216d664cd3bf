"""Columns of a table as numbers for models that are fitted here: standardised numbers, a column per category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xaibench.core.types import Array


@dataclass(frozen=True)
class EncodedColumn:
    """A column of a table, and the numbers that stand for it.

    Attributes
    ----------
    name : str
    values : tuple
        Of a category: its values, one number for each; empty for numbers.
    mean, spread : float
        Numbers are given as (x - mean) / spread.
    """

    name: str
    values: tuple[Any, ...] = ()
    mean: float = 0.0
    spread: float = 1.0

    @property
    def names(self) -> list[str]:
        """What these numbers are called."""
        return [f"{self.name}={value}" for value in self.values] if self.values else [self.name]


def encode_column(given: pd.Series[Any], train: Array, *, category: bool, ordered: Sequence[Any]) -> EncodedColumn:
    """What stands for a column: the code of an ordered category, a number per value of others, standardised numbers.

    Parameters
    ----------
    given : Series
    train : array of int64
        Rows that say what is standard.
    category : bool
    ordered : sequence
        The values of a category in their order; empty for others.
    """
    name = str(given.name)
    if category and not ordered:
        return EncodedColumn(name, tuple(sorted(given.dropna().unique().tolist(), key=lambda v: (str(type(v)), v))))
    numbers = numbers_of(given, ordered)[train]
    known = numbers[~np.isnan(numbers)]
    return EncodedColumn(name, mean=float(known.mean()), spread=float(known.std()) or 1.0)


def numbers_of(given: pd.Series[Any], ordered: Sequence[Any] = ()) -> Array:
    """Numbers (N,) of a column: codes of an ordered category, or as they are; NaN where one is missing."""
    if not ordered:
        return given.to_numpy(np.float64, na_value=np.nan)
    codes = pd.Categorical(given, categories=list(ordered)).codes.astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def encode_columns(frame: pd.DataFrame, columns: Sequence[EncodedColumn], ordered: dict[str, list[Any]]) -> Array:
    """Numbers (N, D) of float64 that stand for a table."""
    parts: list[Array] = []
    for column in columns:
        given = frame[column.name]
        if column.values:
            parts += [(given == value).to_numpy(np.float64, na_value=0.0) for value in column.values]
        else:
            parts.append((numbers_of(given, ordered.get(column.name, ())) - column.mean) / column.spread)
    return np.stack(parts, axis=1)
