"""A data frame as an array of numbers, and back to a frame with its columns and dtypes.

The way in and out for tables of any origin (a caller's frame, a CSV or Parquet file):

>>> import pandas as pd
>>> from xaibench.core.frames.codec import FrameCodec
>>> people = pd.DataFrame({"age": [30, 41], "job": ["nurse", "cook"]})
>>> codec = FrameCodec.of([people])
>>> numbers = codec.encode(people)
>>> numbers.tolist(), codec.categorical
([[30.0, 1.0], [41.0, 0.0]], (1,))
>>> bool((codec.decode(numbers) == people).all(axis=None))
True
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.frames.columns import ColumnCodec, column_codec
from xaibench.core.types import Array


@dataclass(frozen=True, eq=False)
class FrameCodec:
    """Turns frames into arrays (N, D) of float64 and arrays into frames.

    Numbers stay what they are, booleans become 0 and 1, categories (text, pandas categoricals, Arrow
    dictionaries) become their codes, missing values become NaN.

    Attributes
    ----------
    columns : tuple of ColumnCodec
        In the order of the array's columns.
    positional : bool
        Whether the labels are names of an array's columns: a model that was fitted under other names is given the
        columns by their position.
    """

    columns: tuple[ColumnCodec, ...]
    positional: bool = False

    @classmethod
    def of(
        cls,
        frames: Sequence[pd.DataFrame],
        *,
        what: str = "inputs",
        order: Sequence[Hashable] | None = None,
        categories: Mapping[Hashable, Collection[Any]] | None = None,
        coded: Collection[Hashable] = (),
    ) -> FrameCodec:
        """The codec of one or several frames with the same columns, such as inputs and background.

        Parameters
        ----------
        frames : sequence of DataFrame
            Categories are those of all frames; dtypes are those of the first one.
        what : str
            What the first frame is, for messages.
        order : sequence of hashable, optional
            Labels of the columns in the order of the array, such as those that a model was fitted on; by default
            those of the first frame, in its order.
        categories : mapping of label to collection, optional
            Categories of columns of text that are known from elsewhere, such as a fitted encoder. They have the
            first codes, so that codes do not depend on which rows there are.
        coded : collection of hashable
            Labels of columns of numbers that are names, such as codes that the model encodes itself.

        Raises
        ------
        UsageError
            If a column is missing, foreign, there twice, or holds neither numbers nor booleans nor categories.
        """
        first = frames[0]
        labels = list(first.columns) if order is None else list(order)
        for i, frame in enumerate(frames):
            require_columns(frame, labels, what if i == 0 else "other frames", fitted=order is not None)
        known = categories or {}
        return cls(
            tuple(
                column_codec(label, [f[label] for f in frames], what, known.get(label, ()), coded=label in coded)
                for label in labels
            )
        )

    @classmethod
    def of_numbers(cls, labels: Sequence[Hashable], dtype: Any) -> FrameCodec:
        """The codec of an array of numbers whose columns have names."""
        return cls(tuple(ColumnCodec(label, "number", np.dtype(dtype)) for label in labels), positional=True)

    @property
    def labels(self) -> tuple[Hashable, ...]:
        """Labels of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of the columns as text."""
        return tuple(str(column.name) for column in self.columns)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Numbers of the columns that hold categories: codes, or numbers that are names."""
        return tuple(i for i, c in enumerate(self.columns) if not c.is_quantity and c.kind != "boolean")

    @property
    def boolean(self) -> tuple[int, ...]:
        """Numbers of the columns that hold booleans, as 0 and 1."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "boolean")

    @property
    def all_numbers(self) -> bool:
        """Whether every column holds numbers."""
        return all(column.kind == "number" for column in self.columns)

    @property
    def has_text(self) -> bool:
        """Whether a column holds categories, which a model does not take as numbers."""
        return any(column.kind == "category" for column in self.columns)

    @property
    def identity(self) -> list[Any]:
        """What decoded frames depend on beside the numbers, as plain values."""
        return [
            [
                str(c.name),
                c.kind,
                str(c.dtype),
                c.coded,
                [] if c.categories is None else [repr(v) for v in c.categories],
            ]
            for c in self.columns
        ]

    def encode(self, frame: pd.DataFrame, what: str = "inputs") -> Array:
        """A frame as an array (N, D) of float64, by column name.

        Parameters
        ----------
        frame : DataFrame (N rows)
            Its columns may be in any order.
        what : str
            What it is, for messages.

        Raises
        ------
        UsageError
            If a column is missing or foreign, or has an unknown category or an infinite number; with column and row.
        """
        require_columns(frame, self.labels, what)
        if not self.columns:
            raise UsageError(f"the {what} have no columns")
        return np.stack([column.encode(frame[column.name], what) for column in self.columns], axis=1)

    def decode(self, numbers: Array) -> pd.DataFrame:
        """The frame of an array (N, D), with labels and dtypes.

        Integers become floats where a number has a fraction.

        Raises
        ------
        UnsupportedError
            If a number stands for no category: there is nothing between two of them.
        """
        decoded = {i: column.decode(numbers[:, i]) for i, column in enumerate(self.columns)}
        # Without a dtype pandas would make strings of objects.
        frame = pd.DataFrame({i: pd.Series(values, dtype=values.dtype) for i, values in decoded.items()})
        frame.columns = pd.Index(self.labels, dtype=object if _mixed(self.labels) else None)
        return frame


def require_columns(frame: pd.DataFrame, labels: Sequence[Hashable], what: str, *, fitted: bool = False) -> None:
    """Raise UsageError, with the column, if a frame has not exactly these columns, in any order.

    Parameters
    ----------
    frame : DataFrame
    labels : sequence of hashable
    what : str
        What the frame is, for messages.
    fitted : bool
        Whether these are the columns that a model was fitted on.
    """
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise UsageError(f"the {what} have two columns called {twice!r}", "give every column a name of its own")
    have, wanted = set(frame.columns), set(labels)
    source = "the model was fitted on" if fitted else "the other frame has"
    missing = [label for label in labels if label not in have]
    foreign = [label for label in frame.columns if label not in wanted]
    if missing:
        hint = did_you_mean(str(missing[0]), map(str, foreign)) if foreign else "add the column"
        raise UsageError(f"the {what} have no column {missing[0]!r}, which {source}", hint)
    if foreign:
        raise UsageError(
            f"the {what} have a column {foreign[0]!r}, which is not among those that {source}",
            f"drop it: frame.drop(columns=[{foreign[0]!r}])",
        )


def _mixed(labels: Sequence[Hashable]) -> bool:
    return len({type(label) for label in labels}) > 1
