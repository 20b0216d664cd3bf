"""Inputs of a data set as float32 arrays: what can be taken as it is, and what is refused, with column and row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xaibench.core.errors import DataError
from xaibench.core.types import Array

_EXACT = 2**24
"""Whole numbers up to this are exact in float32."""
_RESOLUTION = 1e-3
"""Share of a column's standard deviation that rounding to float32 may be."""


def column_names(values: Any) -> tuple[str, ...]:
    """Names of the columns of a data frame, none of anything else."""
    return tuple(map(str, values.columns)) if hasattr(values, "columns") and hasattr(values, "to_numpy") else ()


def as_float32(values: Any, split: str, names: Sequence[str] = ()) -> Array:
    """Inputs (N, ...) as float32: what is float32 already is returned itself.

    Parameters
    ----------
    values : array, or data frame of numbers
    split : str
        Named in errors.
    names : sequence of str
        Of the columns, for errors.

    Raises
    ------
    DataError
        If these are not numbers, or float32 cannot distinguish the values of a column.
    """
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return values
    if column_names(values):
        for name, kind in zip(values.columns, values.dtypes, strict=True):
            if getattr(kind, "kind", "O") not in "biuf":
                raise DataError(
                    f"column {name!r} of the {split} inputs holds {kind}, not numbers",
                    "give the codes of categories, and let the model decode them",
                )
        values = values.to_numpy(np.float64)
    try:
        found: Array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{split} inputs are not one array: {error}", "give all samples the same shape") from error
    if found.dtype == np.float32:
        return found
    if found.dtype.kind not in "biuf":
        raise DataError(f"{split} inputs are {found.dtype}, not numbers", "give the codes of categories, as float32")
    _check_precision(found, split, names)
    return found.astype(np.float32)


def _check_precision(values: Array, split: str, names: Sequence[str]) -> None:
    if values.dtype.kind in "bui" and (values.size == 0 or np.abs(values.astype(np.float64)).max() <= _EXACT):
        return
    columns = values.reshape(len(values), -1).astype(np.float64)
    columns = np.where(np.isfinite(columns), columns, np.nan)
    for j in range(columns.shape[1]):
        column = columns[~np.isnan(columns[:, j]), j]
        step = np.finfo(np.float32).eps * np.abs(column).max(initial=0)
        spread = column.std() if len(column) else 0.0
        if step > _RESOLUTION * spread > 0 or np.abs(column).max(initial=0) > np.finfo(np.float32).max:
            raise DataError(
                f"{_column(j, values, names)} of the {split} inputs cannot be stored in float32: its values, near "
                f"{np.abs(column).max():.4g}, would be rounded to steps of {step:.2g}",
                "subtract their mean, or use another unit",
            )


def _column(j: int, values: Array, names: Sequence[str]) -> str:
    if values.ndim == 2 and j < len(names):
        return f"column {names[j]!r}"
    return f"column {j}" if values.ndim == 2 else f"number {j} of a sample"


def place_of_first(where: Array, names: Sequence[str]) -> str:
    """Column and row of the first True of an array (N, ...): ``column 'income', row 3``."""
    row = int(np.argwhere(where)[0, 0])
    inside = int(np.argwhere(where[row].reshape(-1))[0, 0])
    return f"{_column(inside, where, names)}, row {row}"


def check_finite(inputs: Array, split: str, names: Sequence[str], *, missing: bool) -> None:
    """Raise DataError, with column and row, if inputs hold infinity, or NaN where it is not allowed."""
    infinite = np.isinf(inputs)
    if infinite.any():
        raise DataError(
            f"{split} inputs hold infinity ({place_of_first(infinite, names)})", "clip it, or remove such rows"
        )
    if not missing and np.isnan(inputs).any():
        raise DataError(
            f"{split} inputs hold NaN ({place_of_first(np.isnan(inputs), names)})",
            "only tables may have missing values, for models that take them",
        )
