"""One column of a data frame as numbers: quantities as they are, booleans as 0 and 1, categories as codes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Number
from typing import Any, Literal

import numpy as np
import pandas as pd

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.types import Array

ColumnKind = Literal["number", "boolean", "category"]


@dataclass(frozen=True, eq=False)
class ColumnCodec:
    """How the values of a column become numbers, and how numbers become values of its dtype again.

    Attributes
    ----------
    name : hashable
        Label of the column.
    kind : {"number", "boolean", "category"}
    dtype : pandas or numpy dtype
        Of the decoded column, where it can hold the numbers: a column of integers that gets a fraction is of floats.
    categories : array (K,) of the dtype, or None
        The value of every code.
    coded : bool
        Whether the numbers of the column are names, such as codes that the model encodes itself.
    missing : object
        What stands for a missing value in a column of Python objects.
    """

    name: Hashable
    kind: ColumnKind
    dtype: Any
    categories: Any = None
    coded: bool = False
    missing: Any = np.nan

    @property
    def is_quantity(self) -> bool:
        """Whether there are values between two values."""
        return self.kind == "number" and not self.coded

    def encode(self, column: pd.Series[Any], what: str) -> Array:
        """The column as numbers (N,), float64; NaN where a value is missing.

        Parameters
        ----------
        column : Series (N,)
        what : str
            What the column belongs to, for messages, for example ``"inputs"``.

        Raises
        ------
        UsageError
            If it is of another kind, or has an infinite number or an unknown category; with the row.
        """
        if self.kind == "category":
            return self._codes(column, what)
        kind = column_kind(column, what)
        if kind != self.kind and not {kind, self.kind} <= {"number", "boolean"}:
            raise UsageError(
                f"column {self.name!r} of the {what} holds {column.dtype}, and {self.dtype} elsewhere",
                "give all frames the same dtypes",
            )
        values = as_floats(column)
        infinite = np.isinf(values)
        if infinite.any():
            raise UsageError(
                f"{what} hold infinity (column {self.name!r}, row {int(infinite.argmax())})",
                "clip it, or remove such rows",
            )
        return values

    def _codes(self, column: pd.Series[Any], what: str) -> Array:
        known = pd.Index(np.asarray(self.categories, dtype=object), dtype=object)
        codes = known.get_indexer(pd.Index(column.astype(object), dtype=object))
        missing = column.isna().to_numpy(dtype=bool)
        foreign = (codes < 0) & ~missing
        if foreign.any():
            row = int(foreign.argmax())
            raise UsageError(
                f"column {self.name!r} of the {what} is {column.iloc[row]!r} in row {row}, not a known category",
                f"known: {', '.join(map(repr, list(known[:10])))}{', ...' if len(known) > 10 else ''}",
            )
        return np.where(missing, np.nan, codes.astype(np.float64))

    def decode(self, numbers: Array) -> Any:
        """Values (N,) of the column, of its dtype, from numbers (N,).

        Raises
        ------
        UnsupportedError
            If a number stands for no category, or is neither 0 nor 1 in a column of booleans.
        """
        numbers = np.asarray(numbers, dtype=np.float64)
        missing = np.isnan(numbers)
        if self.kind == "number":
            return _of_numbers(numbers, missing, self.dtype)
        n_codes = 2 if self.kind == "boolean" else len(self.categories)
        whole = np.where(missing, 0, numbers)
        wrong = (whole != np.round(whole)) | (whole < 0) | (whole > n_codes - 1)
        if (wrong & ~missing).any():
            held = "true or false" if self.kind == "boolean" else "categories"
            raise UnsupportedError(
                f"column {self.name!r} holds {held}, and this puts {whole[wrong.argmax()]:.4g} in its place",
                "maskers such as marginal put values there that the column has",
            )
        codes = np.where(missing, -1, whole).astype(np.int64)
        return self._booleans(codes) if self.kind == "boolean" else self._categories(codes)

    def _booleans(self, codes: Array) -> Any:
        if not (codes < 0).any():
            return _array(codes == 1, self.dtype) if _is_extension(self.dtype) else codes == 1
        values = np.array([self.missing, False, True], dtype=object)[codes + 1]
        return _array(values, self.dtype) if _is_extension(self.dtype) else values

    def _categories(self, codes: Array) -> Any:
        if isinstance(self.dtype, pd.CategoricalDtype):
            return pd.Categorical.from_codes(codes.tolist(), dtype=self.dtype)
        if _is_extension(self.dtype):
            return pd.api.extensions.take(self.categories, codes, allow_fill=True)
        values = np.append(np.asarray(self.categories, dtype=object), [None])
        values[-1] = self.missing
        return values[codes]


def column_codec(
    name: Hashable, columns: Sequence[pd.Series[Any]], what: str, known: Iterable[Any] = (), *, coded: bool = False
) -> ColumnCodec:
    """The codec of a column that may be in several frames.

    Parameters
    ----------
    name : hashable
    columns : sequence of Series
        The column in every frame. The first one gives the dtype.
    what : str
        What the first frame is, for messages.
    known : iterable
        Categories that come first, in this order; then those of the dtype, then all others, sorted.
    coded : bool
        Whether numbers are names.
    """
    kinds = [column_kind(column, what) for column in columns]
    dtype = columns[0].dtype
    if isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    if "category" not in kinds:
        kind: ColumnKind = "boolean" if set(kinds) == {"boolean"} else "number"
        wide = dtype if kind == "boolean" else _number_dtype([column.dtype for column in columns])
        return ColumnCodec(name, kind, wide, None, coded, _missing(columns))
    if set(kinds) != {"category"} and any(
        not c.isna().all() for c, k in zip(columns, kinds, strict=True) if k != kinds[0]
    ):
        other = columns[next(i for i, kind in enumerate(kinds) if kind != kinds[0])].dtype
        raise UsageError(
            f"column {name!r} of the {what} holds {dtype}, and {other} in another frame",
            "give all frames the same dtypes",
        )
    found = list(dict.fromkeys(v.item() if isinstance(v, np.generic) else v for v in known if not _is_missing(v)))
    of_dtype = [v for c in columns if isinstance(c.dtype, pd.CategoricalDtype) for v in c.dtype.categories]
    seen = {v for c in columns for v in c.dropna().astype(object).unique()}
    if not {*of_dtype, *seen} & set(found):
        found = []
    found = list(dict.fromkeys([*found, *of_dtype]))
    found += _sorted(seen - set(found))
    if isinstance(dtype, pd.CategoricalDtype):
        # The order of the dtype's own categories decides what a model reads from their codes.
        found = list(dict.fromkeys([*dtype.categories, *found]))
        if found != list(dtype.categories):
            dtype = pd.CategoricalDtype(found, ordered=bool(dtype.ordered))
        return ColumnCodec(name, "category", dtype, np.array([*found, None], dtype=object)[:-1])
    if _is_extension(dtype) and not _is_dictionary(dtype):
        return ColumnCodec(name, "category", dtype, _array(found, dtype))
    return ColumnCodec(
        name, "category", np.dtype(object), np.array([*found, None], dtype=object)[:-1], missing=_missing(columns)
    )


def column_kind(column: pd.Series[Any], what: str) -> ColumnKind:
    """What a column holds.

    Raises
    ------
    UsageError
        If it holds none of numbers, booleans and categories, or several of them; with column and row.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    if isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)):
        return "category"
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return "number"
    if isinstance(dtype, pd.ArrowDtype) and (pd.api.types.is_string_dtype(dtype) or _is_dictionary(dtype)):
        return "category"
    if not _of_objects(dtype):
        raise UsageError(
            f"column {column.name!r} of the {what} holds {dtype}, neither numbers nor booleans nor categories",
            "give dates as a number of days, and other things as numbers or text",
        )
    kinds: dict[ColumnKind, int] = {}
    for row, value in enumerate(column):
        if _is_missing(value):
            continue
        kind: ColumnKind | None = None
        if isinstance(value, (bool, np.bool_)):
            kind = "boolean"
        elif isinstance(value, (Number, Decimal)) and not isinstance(value, complex):
            kind = "number"
        elif isinstance(value, (str, bytes)):
            kind = "category"
        if kind is None:
            raise UsageError(
                f"column {column.name!r} of the {what} holds a {type(value).__name__} in row {row}",
                "a column holds numbers, booleans or text",
            )
        kinds.setdefault(kind, row)
    if len(kinds) > 1:
        (first, _), (second, row) = list(kinds.items())[:2]
        names = {"number": "numbers", "boolean": "booleans", "category": "text"}
        raise UsageError(
            f"column {column.name!r} of the {what} mixes {names[first]} and {names[second]} (row {row})",
            "a column holds numbers, booleans or text",
        )
    return next(iter(kinds), "number")


def as_floats(column: pd.Series[Any]) -> Array:
    """Numbers or booleans of any dtype (N,) as float64, NaN where a value is missing."""
    if isinstance(column.dtype, np.dtype) and not _of_objects(column.dtype):
        return column.to_numpy(np.float64)
    if _of_objects(column.dtype):
        return np.array([np.nan if _is_missing(v) else float(v) for v in column], dtype=np.float64)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _of_numbers(numbers: Array, missing: Array, dtype: Any) -> Any:
    """Numbers of the dtype, or of floats where it is of integers and cannot hold them."""
    whole = pd.api.types.is_integer_dtype(dtype)
    if whole:
        low, high = _limits(dtype)
        inside = numbers[~missing]
        whole = bool(((inside == np.round(inside)) & (inside >= low) & (inside <= high)).all())
    if isinstance(dtype, np.dtype):
        if not pd.api.types.is_integer_dtype(dtype):
            return numbers.astype(dtype)
        return numbers.astype(dtype) if whole and not missing.any() else numbers
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow

        kind = dtype.pyarrow_dtype
        exact = pyarrow.types.is_floating(kind) or (whole and pyarrow.types.is_integer(kind))
        given = [None if gap else int(v) if whole else float(v) for v, gap in zip(numbers, missing, strict=True)]
        return _array(given, dtype if exact else pd.ArrowDtype(pyarrow.float64()))
    if pd.api.types.is_integer_dtype(dtype) and not whole:
        dtype = pd.Float64Dtype()
    values = np.where(missing, 0, numbers)
    found = _array(values, dtype)
    found[missing] = pd.NA
    return found


def _limits(dtype: Any) -> tuple[int, int]:
    info = np.iinfo(dtype.numpy_dtype if hasattr(dtype, "numpy_dtype") else dtype)
    return int(info.min), int(info.max)


def _number_dtype(dtypes: Sequence[Any]) -> Any:
    """A dtype for the numbers of all frames: the first one, unless it is of integers and another is not."""
    plain = [d.subtype if isinstance(d, pd.SparseDtype) else d for d in dtypes]
    numbers = [d for d in plain if not _of_objects(d) and not pd.api.types.is_bool_dtype(d)]
    if not numbers:
        return np.dtype(np.float64)
    fractions = [d for d in numbers if not pd.api.types.is_integer_dtype(d)]
    return (fractions or numbers)[0]


def _missing(columns: Sequence[pd.Series[Any]]) -> Any:
    """The first missing value of a column of Python objects."""
    for column in columns:
        if _of_objects(column.dtype) and column.isna().any():
            return column[column.isna()].iloc[0]
    return np.nan


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and value != value)
    )


def _of_objects(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _array(values: Any, dtype: Any) -> Any:
    """An extension array."""
    return pd.array(values, dtype=dtype)


def _is_extension(dtype: Any) -> bool:
    return isinstance(dtype, pd.api.extensions.ExtensionDtype)


def _is_dictionary(dtype: Any) -> bool:
    """Whether an Arrow dtype is a dictionary, its categories."""
    if not isinstance(dtype, pd.ArrowDtype):
        return False
    import pyarrow

    return bool(pyarrow.types.is_dictionary(dtype.pyarrow_dtype))


def _sorted(values: Iterable[Any]) -> list[Any]:
    found = list(values)
    try:
        return sorted(found)
    except TypeError:
        return sorted(found, key=lambda v: (type(v).__name__, str(v)))
