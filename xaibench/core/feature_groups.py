"""ColumnGroups of columns of a table that are one feature each, such as one-hot blocks: checked, and completed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.types import Array

ColumnGroups = Mapping[str, Sequence[Any]] | Sequence[Sequence[Any]]
"""ColumnGroups of columns as a caller gives them: by name or as a list, each a list of labels or numbers."""


@dataclass(frozen=True)
class FeatureGroups:
    """A partition of the columns of a table.

    Attributes
    ----------
    members : tuple of tuple of int
        Columns of every feature, the features in the order of their first columns.
    names : tuple of str
        Of the features; empty where nothing has a name.
    """

    members: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()


def feature_groups(given: Any, n_columns: int, names: Sequence[Any] = ()) -> FeatureGroups:
    """Check groups and complete them: a column in none of them is a feature of its own.

    Parameters
    ----------
    given : mapping of str to columns, or sequence of columns
        Columns of each group, by number or by label.
    n_columns : int
    names : sequence, optional
        Labels of the columns.

    Raises
    ------
    UsageError
        If a column is unknown or in two groups, or a group has none.

    Examples
    --------
    >>> from xaibench.core.feature_groups import feature_groups
    >>> feature_groups({"job": ["cook", "nurse"]}, 3, ["age", "cook", "nurse"])
    FeatureGroups(members=((0,), (1, 2)), names=('age', 'job'))
    """
    called = isinstance(given, Mapping)
    if isinstance(given, str) or not (called or isinstance(given, (Sequence, np.ndarray))):
        raise UsageError(
            f"feature_groups is a {type(given).__name__}", 'write {"job": ["job_cook", "job_nurse"]} or [[3, 4, 5]]'
        )
    owner: dict[int, int] = {}
    groups: list[tuple[int, ...]] = []
    titles: list[str] = []
    for title, columns in given.items() if called else ((None, columns) for columns in given):
        shown = f"the group {title!r}" if called else f"group {len(groups)}"
        if isinstance(columns, str) or not isinstance(columns, Iterable):
            raise UsageError(f"{shown} is {columns!r}", "give a list of columns")
        members = tuple(_column(column, n_columns, names, shown) for column in columns)
        if not members:
            raise UsageError(f"{shown} has no columns", "leave it out")
        for column in members:
            if column in owner:
                label = repr(names[column]) if len(names) else column
                raise UsageError(f"column {label} is in two groups, or twice in one", "every column is in one group")
            owner[column] = len(groups)
        groups.append(members)
        titles.append(str(title) if called else "+".join(str(names[c]) for c in members) if len(names) else "")
    alone = [(column,) for column in range(n_columns) if column not in owner]
    everything = [*zip(groups, titles, strict=True)]
    everything += [(single, str(names[single[0]]) if len(names) else "") for single in alone]
    everything.sort(key=lambda entry: min(entry[0]))
    found = tuple(title for _, title in everything)
    if len(names) == 0 and called:
        found = tuple(title or f"column {members[0]}" for members, title in everything)
    return FeatureGroups(tuple(members for members, _ in everything), found if any(found) else ())


def one_hot_features(members: Sequence[Sequence[int]], rows: Array) -> tuple[int, ...]:
    """ColumnGroups of several columns that are one-hot blocks in these rows, scaled or not.

    Every column has at most two values, and at most one column of a row is at its larger value.

    Parameters
    ----------
    members : sequence of sequence of int
    rows : array (M, D)
        Reference rows, or where there are none the samples themselves; these must then be 0 and 1.
    """
    found = []
    for feature, columns in enumerate(members):
        block = rows[:, list(columns)]
        if len(columns) < 2 or np.isnan(block).any():
            continue
        high = block.max(axis=0)
        upper = block == high
        constant = (block == high).all(axis=0)
        if constant.any():
            upper[:, constant] = block[:, constant] == 1
            if not np.isin(block[:, constant], (0, 1)).all():
                continue
        low = np.where(upper, np.inf, block).min(axis=0)
        if ((block != low) & ~upper).any() or (upper.sum(axis=1) > 1).any():
            continue
        found.append(feature)
    return tuple(found)


def _column(column: Any, n_columns: int, names: Sequence[Any], shown: str) -> int:
    labels = list(names)
    if column in labels:
        return labels.index(column)
    if isinstance(column, (int, np.integer)) and not isinstance(column, bool) and -n_columns <= column < n_columns:
        return int(column) % n_columns
    hint = did_you_mean(str(column), map(str, labels)) if labels else f"columns are numbered from 0 to {n_columns - 1}"
    raise UsageError(f"{shown} names column {column!r}, which the inputs do not have", hint)
