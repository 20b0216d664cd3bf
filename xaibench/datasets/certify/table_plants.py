"""Plants for tables: a new column, an overwritten one, a category, or a pair of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.special import ndtri

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.frames.columns import ColumnCodec
from xaibench.core.types import Array

TablePlantName = Literal["new", "overwrite", "category", "pair"]
OVERWRITE_JITTER = 0.1
"""Standard deviation of what is added to an overwritten number, in standard deviations of its column."""
LEAST_CATEGORY = 0.02
"""Share of the training rows that a value must have to be a version of the plant."""


@dataclass(frozen=True)
class TablePlant:
    """What is put into a row of a table.

    Attributes
    ----------
    columns : tuple of int
        Columns of the numbers that are planted.
    features : tuple of int
        Features that these columns are: the truth.
    a, b : array (k,)
        What stands in the columns in version A, and in version B.
    jitter : array (k,)
        Standard deviation of what is added.
    n_features : int
        Features of a row, planted ones included.
    signed : bool
        Both versions are multiplied by a random sign, so that no single column distinguishes them.
    """

    columns: tuple[int, ...]
    features: tuple[int, ...]
    a: Array
    b: Array
    jitter: Array
    n_features: int
    signed: bool = False
    moves: ClassVar[bool] = False

    @property
    def n_draws(self) -> int:
        """Random numbers that a row needs."""
        return len(self.columns)

    def put(self, rows: Array, versions: Array, noise: Array) -> Array:
        """Rows (N, D) with the plant in the versions (N,) 1, -1 or 0 (as they are); ``noise`` (N, k) from U[0, 1)."""
        changed = rows.copy()
        normal = ndtri(np.clip(noise.astype(np.float64), 1e-6, 1 - 1e-6))
        sign = np.where(normal[:, :1] < 0, -1.0, 1.0) if self.signed else 1.0
        values = np.where(versions[:, None] > 0, self.a, self.b) * sign + self.jitter * normal
        carries = versions != 0
        changed[np.ix_(carries, list(self.columns))] = values[carries]
        return changed

    def natural(self, rows: Array) -> Array:
        """Rows (N,) that have a version by themselves, so that the plant is never absent from them."""
        own = rows[:, list(self.columns)]
        either = [(own == version).all(axis=1) for version in (self.a, self.b)]
        found: Array = (either[0] | either[1]) & (not self.signed and not self.jitter.any())
        return found

    def mask(self, rows: Array, noise: Array) -> Array:
        """The truth (N, n_features) of bool."""
        found = np.zeros((len(noise), self.n_features), dtype=bool)
        found[:, list(self.features)] = True
        return found


def with_columns(data: Data, names: Sequence[str]) -> dict[str, Any]:
    """Fields of the data set with more columns at the end, which hold 0: numbers, and features of their own."""
    if data.feature_names:
        taken = set(data.feature_names)
        names = tuple(_free_name(name, taken) for name in names)
    width, more = data.input_shape[0], len(names)

    def wider(rows: Array) -> Array:
        return np.concatenate([rows, np.zeros((len(rows), more), rows.dtype)], axis=1)

    found: dict[str, Any] = {
        "train_inputs": wider(data.train_inputs),
        "test_inputs": wider(data.test_inputs),
        "feature_names": (*data.feature_names, *names) if data.feature_names else (),
        "categorical": data.categorical,
        "codec": data.codec,
        "feature_groups": data.feature_groups,
        "group_names": data.group_names,
    }
    if data.background is not None:
        found["background"] = wider(data.background)
    if data.feature_groups:
        found["feature_groups"] = (*data.feature_groups, *((width + i,) for i in range(more)))
        found["group_names"] = (*data.group_names, *names) if data.group_names else ()
    if data.codec is not None:
        columns = (*data.codec.columns, *(ColumnCodec(name, "number", np.dtype(np.float64)) for name in names))
        found["codec"] = type(data.codec)(columns, positional=data.codec.positional)
    return found


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def new_column(data: Data) -> tuple[dict[str, Any], TablePlant]:
    """A column ``planted`` of +1, -1 and 0."""
    place, feature = data.input_shape[0], data.layout.n_features
    plant = TablePlant((place,), (feature,), np.array([1.0]), np.array([-1.0]), np.zeros(1), feature + 1)
    return with_columns(data, ("planted",)), plant


def new_pair(data: Data) -> tuple[dict[str, Any], TablePlant]:
    """Two columns of +1, -1 and 0: equal signs are version A, opposite ones version B; each alone says nothing."""
    place, feature = data.input_shape[0], data.layout.n_features
    both = np.array([1.0, 1.0]), np.array([1.0, -1.0])
    plant = TablePlant((place, place + 1), (feature, feature + 1), *both, np.zeros(2), feature + 2, signed=True)
    return with_columns(data, ("planted_1", "planted_2")), plant


def overwritten(data: Data, column: str) -> TablePlant:
    """A column of numbers: its upper and its lower quartile, plus a jitter of .1 standard deviations.

    Raises
    ------
    UsageError
        If there is no such column, or it does not hold enough different numbers.
    """
    feature = column_feature(data, column, quantity_features(data), "a column of numbers with a spread")
    (place,) = data.layout.columns[feature]
    values = data.train_inputs[:, place].astype(np.float64)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.25, 0.75])
    jitter = np.array([OVERWRITE_JITTER * values.std()])
    return TablePlant((place,), (feature,), np.array([high]), np.array([low]), jitter, data.layout.n_features)


def quantity_features(data: Data) -> list[int]:
    """Features that are one column of numbers whose quartiles differ."""
    layout = data.layout
    names = {*layout.categorical, *layout.boolean}
    alone = [f for f, columns in enumerate(layout.columns) if len(columns) == 1 and f not in names]

    def spread(feature: int) -> bool:
        values = data.train_inputs[:, layout.columns[feature][0]]
        low, high = np.nanquantile(values, [0.25, 0.75])
        return bool(high > low) and len(np.unique(values[np.isfinite(values)])) > 4

    return [f for f in alone if spread(f)]


def category(data: Data, column: str) -> TablePlant:
    """A category, as codes or as a one-hot block: its two rarest values that at least 2 % of the rows have.

    Without a name it is the category in which these two are rarest: rows that have one of them by themselves show
    nothing about the absence of the plant.

    Raises
    ------
    UsageError
        If there is no such column, or it has fewer than three such values.
    """
    known = category_features(data)
    chosen = column or rarest_category(data, known)
    feature = column_feature(data, chosen, known, "a category of at least three values, two of which 2 % have")
    columns = data.layout.columns[feature]
    values, counts = _common_values(data, feature)
    rarest = np.argsort(counts, kind="stable")[:2]
    a, b = (values[i].astype(np.float64) for i in rarest)
    return TablePlant(tuple(columns), (feature,), a, b, np.zeros(len(columns)), data.layout.n_features)


def rarest_category(data: Data, possible: Sequence[int]) -> str:
    """Name of the category whose two rarest common values are rarest; empty without any."""
    if not possible:
        return ""
    shares = {feature: int(np.sort(_common_values(data, feature)[1])[:2].sum()) for feature in possible}
    return names_of_features(data)[min(possible, key=lambda feature: (shares[feature], feature))]


def category_features(data: Data) -> list[int]:
    """Features that are categories of at least three values, two of which at least 2 % of the training rows have."""
    found = []
    for feature in data.layout.categorical:
        columns = list(data.layout.columns[feature])
        n_values = len(np.unique(data.train_inputs[:, columns], axis=0))
        if n_values >= 3 and len(_common_values(data, feature)[0]) >= 2:
            found.append(feature)
    return found


def _common_values(data: Data, feature: int) -> tuple[Array, Array]:
    rows = data.train_inputs[:, list(data.layout.columns[feature])]
    rows = rows[np.isfinite(rows).all(axis=1)]
    values, counts = np.unique(rows, axis=0, return_counts=True)
    enough = counts >= LEAST_CATEGORY * len(data.train_inputs)
    return values[enough], counts[enough]


def column_feature(data: Data, column: str, possible: Sequence[int], what: str) -> int:
    """The feature of this name; without one, the one that has least to do with the target.

    Raises
    ------
    UsageError
        If there is none.
    """
    if not possible:
        raise UsageError(f"the data have no {what.removeprefix('a ')} to plant in", "try the plant new")
    if not column:
        return min(possible, key=lambda f: (_association(data, f), f))
    names = names_of_features(data)
    if column not in names:
        near = get_close_matches(column, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"possible: {', '.join(names[f] for f in possible[:8])}"
        raise UsageError(f"the data have no column {column!r}", hint)
    if names.index(column) not in possible:
        raise UsageError(f"column {column!r} is not {what}", f"possible: {', '.join(names[f] for f in possible[:8])}")
    return names.index(column)


def names_of_features(data: Data) -> list[str]:
    """Names of the features: of groups where there are groups, numbers where nothing has a name."""
    found = data.group_names if data.feature_groups else data.feature_names
    return list(found) or [str(i) for i in range(data.layout.n_features)]


def _association(data: Data, feature: int) -> float:
    """Largest correlation of a column of the feature with a class, or with the value."""
    columns = np.nan_to_num(data.train_inputs[:, list(data.layout.columns[feature])].astype(np.float64))
    values = data.train_values
    goal = np.eye(data.n_classes)[data.train_targets] if values is None else np.asarray(values, float)[:, None]
    x, y = columns - columns.mean(axis=0), goal - goal.mean(axis=0)
    spread = np.sqrt(np.outer((x**2).sum(axis=0), (y**2).sum(axis=0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nanmax(np.where(spread > 0, np.abs(x.T @ y) / spread, 0.0)))
