"""A data set that is a table in a file: CSV, TSV, Parquet or Feather."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import annotated_types
import numpy as np
import pandas as pd

from xaibench.core.component_files import SourceFile, of_file, reads_files
from xaibench.core.components import Component
from xaibench.core.data import Data
from xaibench.core.data_specs import DatasetSpec
from xaibench.core.errors import DataError, XaibenchWarning, did_you_mean
from xaibench.core.types import Array
from xaibench.datasets.files.columns import encode_column, encode_columns
from xaibench.datasets.files.parameters import TestShare, default_floor
from xaibench.datasets.files.reading import read_table
from xaibench.datasets.splits import generator, split

TableTask = Literal["auto", "classification", "regression"]
MissingValues = Literal["error", "drop", "keep", "median+flag", "category"]
MOST_WHOLE_CLASSES, MOST_VALUES, LEAST_PER_CLASS = 20, 1000, 4
LEAK = 0.999
MISSING = "(missing)"
ENCODING = "encode"
"""Name under which the facts of a data set say how its columns became numbers."""


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

    def is_category(self, column: pd.Series[Any]) -> bool:
        """Whether a column holds names: texts, booleans, and what was said to be."""
        return column.name in self.ordered or column.name in self.categorical or not _is_number(column)

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
    """The data set of a table: columns as they are in the file, texts and booleans as categories."""

    def read(
        *,
        seed: int,
        target: str,
        task: TableTask = "auto",
        categorical: tuple[str, ...] = (),
        ordered: dict[str, list[Any]] = {},  # noqa: B006
        drop: tuple[str, ...] = (),
        missing: MissingValues = "error",
        test: TestShare = 0.3,
        split: str = "",
        group: str = "",
        encode: Literal["none", "onehot"] = "none",
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
        encode : {"none", "onehot"}
            Columns as they are in the file, which models that are files are given; or numbers standardised and a
            column per value of a category, which together are one feature, for models that are fitted here.
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
        train, tested = _parts(frame, roles, targets if values is None else np.zeros(len(frame), int), test, seed)
        frame = _inputs(frame, roles, missing, train)
        _warn_of_leaks(frame.iloc[train], targets[train], classes=values is None)
        floor = default_floor(targets[tested] if values is None else None) if accuracy_floor is None else accuracy_floor
        given = (
            _as_they_are(frame, train, tested, roles) if encode == "none" else _as_numbers(frame, train, tested, roles)
        )
        return Data(
            features="table",
            train_targets=targets[train],
            test_targets=targets[tested],
            class_names=classes,
            accuracy_floor=floor,
            train_values=None if values is None else values[train],
            test_values=None if values is None else values[tested],
            facts={"file": file.sha256, ENCODING: encode},
            **given,
        )

    return DatasetSpec(file.name, of_file(read, file), features="table")


def _inputs(frame: pd.DataFrame, roles: _Roles, missing: MissingValues, train: Array) -> pd.DataFrame:
    """The columns that models see, checked; gaps filled where that was said, with a column that says so."""
    found: dict[str, Any] = {}
    for name in frame.columns:
        given = frame[name]
        if name in roles.beside:
            continue
        if not roles.is_category(given):
            found |= _numbers(given, missing, train)
            continue
        n_values = given.nunique()
        if n_values > MOST_VALUES:
            raise DataError(f"column {name!r} has {n_values:,} different values", f'drop = ["{name}"] leaves it out')
        order = roles.ordered.get(name)
        if order is not None:
            unknown = [v for v in given.dropna().unique().tolist() if v not in order]
            if unknown:
                raise DataError(f"column {name!r} has the value {unknown[0]!r}, which ordered does not name")
            given = given.astype(pd.CategoricalDtype(list(order), ordered=True))
        if missing in ("category", "median+flag") and bool(given.isna().any()):
            given = given.astype(object).where(given.notna(), MISSING)
        found[str(name)] = given
    return pd.DataFrame(found)


def _numbers(given: pd.Series[Any], missing: MissingValues, train: Array) -> dict[str, Any]:
    name = str(given.name)
    numbers = given.to_numpy(np.float64, na_value=np.nan)
    lost = np.isnan(numbers)
    if bool(np.isinf(numbers).any()):
        raise DataError(f"column {name!r} holds infinity, row {int(np.isinf(numbers).argmax())}", "clip it")
    if bool(lost[train].all()):
        raise DataError(f"column {name!r} is missing in every training row", f'drop = ["{name}"]')
    if not bool(lost.any()) or missing == "keep":
        return {name: given}
    if missing == "category":
        raise DataError(
            f"column {name!r} holds numbers, and a missing number is not a category", 'missing = "median+flag"'
        )
    median = float(np.median(numbers[train][~lost[train]]))
    return {name: np.where(lost, median, numbers), f"{name} is missing": lost}


def _as_they_are(frame: pd.DataFrame, train: Array, tested: Array, roles: _Roles) -> dict[str, Any]:
    """Inputs of a data set whose models are given tables."""
    coded = [c for c in frame.columns if c in roles.categorical and _is_number(frame[c])]
    return {"train_inputs": frame.iloc[train], "test_inputs": frame.iloc[tested], "categorical": coded}


def _as_numbers(frame: pd.DataFrame, train: Array, tested: Array, roles: _Roles) -> dict[str, Any]:
    """Inputs of a data set whose models are given numbers; the columns of a category are one feature."""
    ordered = {name: list(values) for name, values in roles.ordered.items()}
    columns = []
    for name in frame.columns:
        category = roles.is_category(frame[name])
        if category and bool(frame[name].isna().any()):
            raise DataError(
                f"column {name!r} has missing values, and a column per value has no place for them",
                'missing = "category", or encode = "none"',
            )
        columns.append(encode_column(frame[name], train, category=category, ordered=ordered.get(name, ())))
    inputs = encode_columns(frame, columns, ordered)
    blocks = {c.name: c.names for c in columns if len(c.names) > 1}
    return {
        "train_inputs": inputs[train].astype(np.float32),
        "test_inputs": inputs[tested].astype(np.float32),
        "feature_names": tuple(name for c in columns for name in c.names),
        "feature_groups": blocks,
    }


def _without_missing(frame: pd.DataFrame, roles: _Roles, missing: MissingValues) -> pd.DataFrame:
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


def _targets(column: pd.Series[Any], name: str, task: TableTask) -> tuple[Array, Array | None, tuple[str, ...]]:
    """Numbers of classes (N,), or values (N,) of a regression beside zeros, and names of classes."""
    found = sorted(column.unique().tolist(), key=lambda v: (str(type(v)), v) if column.dtype == object else v)
    whole = _is_number(column) and bool((column == column.round()).all())
    classes = task == "classification" or (
        task == "auto" and (not _is_number(column) or (whole and len(found) <= MOST_WHOLE_CLASSES))
    )
    if not classes:
        if not _is_number(column):
            raise DataError(f"column {name!r} holds texts, which are not values to predict", 'task = "classification"')
        values = column.to_numpy(np.float64)
        if not bool(np.isfinite(values).all()):
            raise DataError(f"column {name!r} holds infinity")
        if len(found) < 2:
            raise DataError(f"column {name!r} has only one value", "there is nothing to predict")
        return np.zeros(len(column), np.int64), values.astype(np.float32), ()
    if len(found) < 2:
        raise DataError(f"column {name!r} has only one class, {found[0]!r}", "at least two are needed")
    if len(found) > max(MOST_WHOLE_CLASSES, len(column) // LEAST_PER_CLASS):
        raise DataError(
            f"column {name!r} has {len(found)} different values in {len(column)} rows; these are not classes",
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


def _warn_of_leaks(frame: pd.DataFrame, targets: Array, *, classes: bool) -> None:
    """Warn of a column that separates two classes by itself."""
    if not classes or targets.max() != 1 or len(targets) < 20:
        return
    from scipy.stats import rankdata

    positive = targets == 1
    n, m = int(positive.sum()), int((~positive).sum())
    for name in frame.columns if n and m else ():
        given = frame[name]
        if bool(given.isna().any()) or (not _is_number(given) and given.nunique() > 2):
            continue
        ranks = rankdata(given.to_numpy(np.float64) if _is_number(given) else pd.factorize(given)[0])
        area = (ranks[positive].sum() - n * (n + 1) / 2) / (n * m)
        if max(area, 1 - area) > LEAK:
            warnings.warn(
                f"column {name!r} alone separates the classes (AUROC {max(area, 1 - area):.4f}): is it a leak?",
                XaibenchWarning,
                stacklevel=2,
            )
