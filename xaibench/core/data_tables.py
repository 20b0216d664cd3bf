"""Tables of a data set: frames as numbers, groups of columns, and which features are categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xaibench.core.errors import DataError, UsageError
from xaibench.core.feature_groups import FeatureGroups, feature_groups, one_hot_features
from xaibench.core.features import FeatureLayout
from xaibench.core.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from xaibench.core.frames.codec import FrameCodec


def encode_frames(frames: Mapping[str, pd.DataFrame], coded: Sequence[Any]) -> tuple[FrameCodec, dict[str, Array]]:
    """The codec of the frames of a data set, and their numbers, by the name of the field.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        The training inputs first: dtypes are theirs.
    coded : sequence
        Labels or numbers of columns of numbers that are names.

    Raises
    ------
    DataError
        If a frame lacks a column or has a foreign one, or holds something else than numbers, booleans and categories.
    """
    from xaibench.core.frames.codec import FrameCodec

    first = next(iter(frames.values()))
    try:
        labels = [label if label in first.columns else first.columns[label] for label in coded]
        codec = FrameCodec.of(list(frames.values()), what="train inputs", coded=labels)
        return codec, {name: codec.encode(frame, name.replace("_", " ")) for name, frame in frames.items()}
    except UsageError as error:
        raise DataError(error.message, error.hint) from error


def column_groups(given: Any, n_columns: int, names: Sequence[str]) -> FeatureGroups:
    """Groups of a data set; see `feature_groups`."""
    try:
        return feature_groups(given, n_columns, names)
    except UsageError as error:
        raise DataError(error.message, error.hint) from error


def column_numbers(given: Sequence[Any], n_columns: int, names: Sequence[str]) -> tuple[int, ...]:
    """Numbers of columns that are given by name or number."""
    known = list(names)
    found = []
    for column in given:
        number = known.index(column) if column in known else column
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < n_columns:
            raise DataError(f"categorical names column {column!r}, which there is not", "give names or numbers from 0")
        found.append(number)
    return tuple(sorted(set(found)))


def table_layout(
    layout: FeatureLayout,
    groups: Sequence[Sequence[int]],
    categorical: Sequence[int],
    boolean: Sequence[int],
    rows: Array,
) -> FeatureLayout:
    """The layout of a table with groups of columns and with categories.

    Parameters
    ----------
    layout : FeatureLayout
        Of a table whose columns are its features.
    groups : sequence of sequence of int
        A partition of the columns, or nothing.
    categorical, boolean : sequence of int
        Columns that hold categories, and booleans.
    rows : array (M, D)
        Rows that tell which groups are one-hot blocks.
    """
    members = tuple(tuple(group) for group in groups) or tuple((j,) for j in range(layout.n_features))
    names = set(categorical)
    blocks = one_hot_features(members, rows) if groups else ()
    features = sorted({*blocks, *(f for f, columns in enumerate(members) if names & set(columns))})
    either = set(boolean)
    booleans = [f for f, c in enumerate(members) if set(c) <= either and f not in features]
    return replace(
        layout,
        groups=tuple(tuple(group) for group in groups),
        categorical=tuple(features),
        boolean=tuple(booleans),
    )
