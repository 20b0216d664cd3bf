"""A data set that is a table in a file: CSV, TSV, Parquet or Feather."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import annotated_types
import numpy as np
import pandas as pd

from xaibench.core.component_files import SourceFile, of_file, reads_files
from xaibench.core.components import Component, DatasetSpec
from xaibench.core.data import Data
from xaibench.core.errors import DataError, XaibenchWarning, did_you_mean
from xaibench.core.types import Array
from xaibench.datasets.files.columns import FACT, Column, encode, to_json
from xaibench.datasets.files.reading import read_table
from xaibench.datasets.splits import generator, split

Task = Literal["auto", "classification", "regression"]
Missing = Literal["error", "drop", "keep", "median+flag", "category"]
Share = Annotated[float, annotated_types.Gt(0), annotated_types.Lt(1)]
MOST_CLASSES, MOST_CATEGORIES, LEAST_PER_CLASS = 20, 1000, 4
MARGIN = 0.02
"""How much better than always saying the most frequent class a model must be, by default."""
LEAK = 0.999


@dataclass(frozen=True)
class _Roles:
    """What the columns of a table are for."""

    target: str
    split: str
    group: str
    categorical: tuple[str, ...]
    ordered: Mapping[str, Sequence[Any]]
    drop: tuple[str, ...]

    @property
    def beside(self) -> set[str]:
        return {self.target, *self.drop} | ({self.split, self.group} - {""})

    def check(self, frame: pd.DataFrame) -> None:
        known = [str(c) for c in frame.columns]
        for role in ("target", "split", "group", "categorical", "ordered", "drop"):
            named = getattr(self, role)
            for name in (named,) if isinstance(named, str) else named:
                if name and name not in known:
                    raise DataError(f"there is no column {name!r}, which {role} names", did_you_mean(name, known))
        if not set(known) - self.beside:
            raise DataError(f"no column is left to predict {self.target!r} from")


@reads_files("dataset", ".csv", ".tsv", ".parquet", ".feather")
def table_file(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The data set of a table: numbers standardised, texts as categories."""

    def read(
        *,
        seed: int,
        target: str,
        task: Task = "auto",
        categorical: tuple[str, ...] = (),
        ordered: dict[str, list[Any]] = {},  # noqa: B006
        drop: tuple[str, ...] = (),
        missing: Missing = "error",
        test: Share = 0.3,
        split: str = "",
        group: str = "",
        scale: bool = True,
        categories: Literal["onehot", "codes"] = "onehot",
        rows: Annotated[int, annotated_types.Ge(10)] = 100_000,
        accuracy_floor: float | None = None,
    ) -> Data:
        """Rows of a table in a file.

        Parameters
        ----------
        target : str
            Column that is predicted.
        task : {"auto", "classification", "regression"}
            By default texts, booleans and at most 20 different whole numbers are classes.
        categorical : tuple of str
            Columns of numbers that are names of something; texts and booleans are categories anyway.
        ordered : dict
            Categories that have an order, with their values in that order.
        drop : tuple of str
            Columns that no model is to see.
        missing : {"error", "drop", "keep", "median+flag", "category"}
            Refuse missing values, leave such rows out, keep them for models that take them, put the median and a
            column that says so, or make them a category of their own.
        test : float
            Share of the rows that are test rows.
        split : str
            Column that says ``train`` or ``test``, instead of a drawn split.
        group : str
            Column whose equal values stay on one side of the split.
        scale : bool
            Whether numbers are standardised by the training rows.
        categories : {"onehot", "codes"}
            A column per value, or one column of codes, which models that are files need.
        rows : int
            Rows that are used at most; of a longer table that many are drawn.
        accuracy_floor : float, optional
            Accuracy below which a model is not worth explaining; by default the share of the most frequent class
            in the test rows, plus .02; of regressions R2 of .02.
        """
        table = read_table(file.path, rows=rows, choose=generator("rows of a file", file.sha256))
        roles = _Roles(target, split, group, tuple(categorical), ordered, tuple(drop))
        roles.check(table.frame)
        frame = _without_missing(table.frame, roles, missing)
        targets, values, classes = _targets(frame[target], target, task)
        train, test_rows = _parts(frame, roles, targets if values is None else np.zeros(len(frame), int), test, seed)
        columns = _columns(frame, roles, missing, train, scale=scale, one_hot=categories == "onehot")
        inputs = encode(frame, columns)
        plain = [replace(c, mean=0.0, spread=1.0) for c in columns]
        _warn_of_leaks(inputs[train], targets[train], [n for c in columns for n in c.names], values is None)
        floor = accuracy_floor
        if floor is None:
            floor = MARGIN if values is not None else _majority(targets[test_rows]) + MARGIN
        return Data(
            features="table",
            train_inputs=_float32(inputs[train], columns),
            train_targets=targets[train],
            test_inputs=_float32(inputs[test_rows], columns),
            test_targets=targets[test_rows],
            test_rows=encode(frame.iloc[test_rows], plain),
            feature_names=tuple(n for c in columns for n in c.names),
            class_names=classes,
            accuracy_floor=min(floor, 0.995),
            train_values=None if values is None else values[train],
            test_values=None if values is None else values[test_rows],
            facts={"file": file.sha256, FACT: to_json(columns)},
        )

    return DatasetSpec(file.name, of_file(read, file), features="table")


def _float32(inputs: Array, columns: Sequence[Column]) -> Array:
    """Inputs as float32 where they are standardised; others are converted with a check that nothing is lost."""
    scaled = all(c.kind in ("bool", "category") or (c.mean, c.spread) != (0.0, 1.0) for c in columns)
    return inputs.astype(np.float32) if scaled else inputs


def _without_missing(frame: pd.DataFrame, roles: _Roles, missing: Missing) -> pd.DataFrame:
    """The rows that are used; refuses missing values where nothing was said about them."""
    lost = frame[roles.target].isna()
    if bool(lost.any()) and missing != "drop":
        first = int(lost.to_numpy().argmax())
        raise DataError(
            f"column {roles.target!r} is missing in {int(lost.sum())} rows, first in row {first}",
            'a target must be known; missing = "drop" leaves such rows out',
        )
    inputs = frame.drop(columns=[c for c in frame.columns if c in roles.beside])
    if missing == "drop":
        complete = ~(lost | inputs.isna().any(axis=1))
        if not bool(complete.any()):
            raise DataError("every row has a missing value", "leave columns that are mostly missing out: drop = [...]")
        return frame[complete].reset_index(drop=True)
    if missing == "error" and bool(inputs.isna().any(axis=None)):
        name = next(c for c in inputs.columns if bool(inputs[c].isna().any()))
        row = int(inputs[name].isna().to_numpy().argmax())
        raise DataError(
            f"column {name!r} is missing in row {row}",
            'missing = "drop", "median+flag", "category" or "keep" says what to do',
        )
    return frame


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _targets(column: pd.Series[Any], name: str, task: Task) -> tuple[Array, Array | None, tuple[str, ...]]:
    """Numbers of classes (N,), or values (N,) of a regression beside zeros, and names of classes."""
    found = sorted(column.unique().tolist(), key=lambda v: (str(type(v)), v) if column.dtype == object else v)
    whole = _is_number(column) and bool((column == column.round()).all())
    classes = task == "classification" or (
        task == "auto" and (not _is_number(column) or (whole and len(found) <= MOST_CLASSES))
    )
    if not classes:
        if not _is_number(column):
            raise DataError(f"column {name!r} holds texts, which are no values to predict", 'task = "classification"')
        values = column.to_numpy(np.float64)
        if not bool(np.isfinite(values).all()):
            raise DataError(f"column {name!r} holds infinity")
        if len(found) < 2:
            raise DataError(f"column {name!r} has only one value", "there is nothing to predict")
        return np.zeros(len(column), np.int64), values.astype(np.float32), ()
    if len(found) < 2:
        raise DataError(f"column {name!r} has only one class, {found[0]!r}", "at least two are needed")
    if len(found) > max(MOST_CLASSES, len(column) // LEAST_PER_CLASS):
        raise DataError(
            f"column {name!r} has {len(found)} different values in {len(column)} rows; these are no classes",
            'for numbers to predict say task = "regression"',
        )
    numbers = {value: i for i, value in enumerate(found)}
    names = tuple(str(int(v)) if whole else str(v) for v in found)
    return column.map(numbers).to_numpy(np.int64), None, names


def _parts(frame: pd.DataFrame, roles: _Roles, labels: Array, share: float, seed: int) -> tuple[Array, Array]:
    """Row numbers of both sides, in random order."""
    rng = generator("split of a file", seed)
    if roles.split:
        said = frame[roles.split].astype(str).str.lower()
        if not bool(said.isin(["train", "test"]).all()):
            other = frame[roles.split][~said.isin(["train", "test"])].iloc[0]
            raise DataError(f"column {roles.split!r} holds {other!r}", "it says train or test for every row")
        sides = [rng.permutation(np.flatnonzero(said == side)) for side in ("train", "test")]
    else:
        by = [roles.group] if roles.group else [c for c in frame.columns if c not in roles.beside]
        codes = np.stack([pd.factorize(frame[c], use_na_sentinel=False)[0] for c in by], axis=1)
        sides = list(split(codes, labels, share, rng))
    if not (len(sides[0]) and len(sides[1])):
        raise DataError("the split leaves no train or no test rows", "give more rows, or another test share")
    return sides[0], sides[1]


def _columns(
    frame: pd.DataFrame, roles: _Roles, missing: Missing, train: Array, *, scale: bool, one_hot: bool
) -> list[Column]:
    found = []
    for name in frame.columns:
        given = frame[name]
        if name in roles.beside:
            continue
        if name in roles.ordered or name in roles.categorical or not _is_number(given):
            found.append(_category(given, roles, missing, one_hot=one_hot))
            continue
        numbers = given.to_numpy(np.float64, na_value=np.nan)
        if bool(np.isinf(numbers).any()):
            raise DataError(f"column {name!r} holds infinity, row {int(np.isinf(numbers).argmax())}", "clip it")
        if missing == "category" and bool(np.isnan(numbers).any()):
            raise DataError(
                f"column {name!r} holds numbers, and missing ones are no category", 'missing = "median+flag"'
            )
        known = numbers[train][~np.isnan(numbers[train])]
        if len(known) == 0:
            raise DataError(f"column {name!r} is missing in every training row", f'drop = ["{name}"]')
        lost = bool(np.isnan(numbers).any())
        fill = float(np.median(known)) if missing == "median+flag" and lost else None
        spread = float(known.std()) or 1.0
        whole = bool((known == np.rint(known)).all())
        found.append(
            Column(
                name,
                "whole number" if whole else "number",
                mean=float(known.mean()) if scale else 0.0,
                spread=spread if scale else 1.0,
                fill=fill,
            )
        )
    return found


def _category(given: pd.Series[Any], roles: _Roles, missing: Missing, *, one_hot: bool) -> Column:
    name = str(given.name)
    there = [v.item() if isinstance(v, np.generic) else v for v in given.dropna().unique().tolist()]
    ordered = name in roles.ordered
    values = list(roles.ordered[name]) if ordered else sorted(there, key=lambda v: (str(type(v)), v))
    unknown = [v for v in there if v not in values]
    if unknown:
        raise DataError(f"column {name!r} has the value {unknown[0]!r}, which ordered does not name")
    if len(values) > MOST_CATEGORIES:
        raise DataError(f"column {name!r} has {len(values):,} different values", f'drop = ["{name}"] leaves it out')
    lost = bool(given.isna().any())
    if lost and missing == "keep" and one_hot:
        raise DataError(
            f"column {name!r} has missing values, and a column per value has no place for them",
            'missing = "category", or categories = "codes"',
        )
    code = len(values) if lost and missing in ("category", "median+flag") else None
    values += ["(missing)"] if code is not None else []
    return Column(name, "category", tuple(values), one_hot=one_hot and not ordered, missing_code=code)


def _majority(targets: Array) -> float:
    return float(np.bincount(targets).max() / len(targets))


def _warn_of_leaks(inputs: Array, targets: Array, names: Sequence[str], classes: bool) -> None:
    """Warn of a column that tells two classes apart by itself."""
    if not classes or targets.max() != 1 or len(targets) < 20:
        return
    from scipy.stats import rankdata

    positive = targets == 1
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return
    for j, name in enumerate(names):
        column = inputs[:, j]
        if np.isnan(column).any():
            continue
        area = (rankdata(column)[positive].sum() - n * (n + 1) / 2) / (n * m)
        if max(area, 1 - area) > LEAK:
            warnings.warn(
                f"column {name!r} alone tells the classes apart (AUROC {max(area, 1 - area):.4f}): is it a leak?",
                XaibenchWarning,
                stacklevel=2,
            )
