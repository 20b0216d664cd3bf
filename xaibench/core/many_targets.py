"""Targets of a data set with several columns: labels that may be true together, and values of several outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xaibench.core.data_inputs import column_names
from xaibench.core.errors import DataError
from xaibench.core.types import Array

RESOLUTION = 1e-5
"""Share of the standard deviation of the values that rounding to float32 may be."""
_SPLITS = ("train", "test")
_HOW = "one-hot rows: targets.argmax(1); labels that may be true together: train_labels= and test_labels="


@dataclass(frozen=True)
class ManyTargets:
    """Targets with several columns, of both splits.

    Attributes
    ----------
    labels : tuple of array (N, L) of bool, or None
        Which labels are true of a row.
    values : tuple of array (N, K), or None
        Values of several outputs, float32 where it can distinguish them, else float64.
    names : tuple of str
        Of the columns; empty where they have none.
    """

    labels: tuple[Array, Array] | None = None
    values: tuple[Array, Array] | None = None
    names: tuple[str, ...] = ()


def many_targets(train: Any, test: Any) -> ManyTargets | None:
    """Read targets (N, K) of two columns or more; None if there is one target per row.

    Zeros and ones of which some row has none or several are labels, numbers with a fraction are values.

    Raises
    ------
    DataError
        If it is not plain what they are, or they are not finite numbers.
    """
    splits = [np.asarray(values) for values in (train, test)]
    if not all(s.ndim == 2 and s.shape[1] > 1 for s in splits):
        return None
    if splits[0].shape[1] != splits[1].shape[1]:
        raise DataError(f"train targets have {splits[0].shape[1]} columns, test targets {splits[1].shape[1]}")
    names = column_names(train)
    if all(is_indicator(s) for s in splits):
        if all((s.sum(axis=1) == 1).all() for s in splits):
            raise DataError(f"train targets have shape {splits[0].shape}, with a single 1 in every row", _HOW)
        return ManyTargets(labels=(as_labels(splits[0], "train"), as_labels(splits[1], "test")), names=names)
    values = tuple(as_values(s, split) for s, split in zip(splits, ("train", "test"), strict=True))
    if all((v == np.round(v)).all() for v in values):
        raise DataError(
            f"targets (N, {splits[0].shape[1]}) are whole numbers: classes or values of several outputs?",
            "for values, train_values= and test_values=, with targets all 0; for classes one label per sample",
        )
    return ManyTargets(values=(values[0], values[1]), names=names)


def fields_of_many_targets(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a data set that follow from targets with several columns, wherever these were given.

    Parameters
    ----------
    given : mapping
        The fields of a `xaibench.Data` as the caller gave them.

    Returns
    -------
    dict
        Fields to replace: labels and values as arrays; with targets read from several columns, targets that are all 0.

    Raises
    ------
    DataError
        If the targets, the labels and the values do not go together.
    """
    fields: dict[str, Any] = {}
    found = many_targets(given["train_targets"], given["test_targets"])
    names = tuple(given["class_names"])
    if found is not None:
        names = names or found.names
        fields = {f"{s}_targets": np.zeros(len(given[f"{s}_targets"]), np.int64) for s in _SPLITS}
        fields["class_names"] = names
        for kind, splits in (("labels", found.labels), ("values", found.values)):
            if splits is not None and given[f"train_{kind}"] is not None:
                raise DataError(f"targets hold {kind}, and there are train_{kind} too", "let the targets be all 0")
            fields |= {f"{s}_{kind}": array for s, array in zip(_SPLITS, splits or (), strict=False)}
    for kind, read in (("labels", as_labels), ("values", as_values)):
        pair = [fields.get(f"{s}_{kind}", given[f"{s}_{kind}"]) for s in _SPLITS]
        if (pair[0] is None) != (pair[1] is None):
            raise DataError(f"{kind} are given for one split only", f"give train_{kind} and test_{kind}")
        if pair[0] is None:
            continue
        arrays = [read(values, split) for values, split in zip(pair, _SPLITS, strict=True)]
        if arrays[0].shape[1:] != arrays[1].shape[1:]:
            raise DataError(f"train and test {kind} have shapes {arrays[0].shape} and {arrays[1].shape}")
        several = kind == "labels" or (arrays[0].ndim == 2 and arrays[0].shape[1] > 1)
        if several and names and len(names) != arrays[0].shape[1]:
            raise DataError(f"there are {len(names)} class names for {arrays[0].shape[1]} columns of {kind}")
        if arrays[0].ndim == 2 and not several:
            arrays = [array[:, 0] for array in arrays]
        fields |= {f"{s}_{kind}": array for s, array in zip(_SPLITS, arrays, strict=True)}
    if "train_labels" in fields and ("train_values" in fields or given["interventions"]):
        raise DataError("labels that may be true together go with no values and no interventions", "leave them out")
    return fields


def is_indicator(values: Array) -> bool:
    """Whether an array holds nothing but 0 and 1, or booleans."""
    return values.dtype.kind == "b" or (values.dtype.kind in "iuf" and bool(np.isin(values, (0, 1)).all()))


def as_labels(values: Any, split: str) -> Array:
    """Labels (N, L) of bool of a split, or DataError."""
    found: Array = np.asarray(values)
    if found.ndim != 2 or not is_indicator(found):
        raise DataError(
            f"{split} labels have shape {found.shape} of {found.dtype}",
            "give a column of zeros and ones, or booleans, for every label",
        )
    return found.astype(bool)


def as_values(values: Any, split: str) -> Array:
    """Values (N,) or (N, K) of a split: float32 where that can distinguish them, else float64.

    Raises
    ------
    DataError
        If they are not numbers, or some are missing or infinite.
    """
    given: Array = np.asarray(values)
    if given.dtype.kind not in "biuf" or given.ndim not in (1, 2):
        raise DataError(f"{split} values have shape {given.shape} of {given.dtype}", "give a number for every output")
    if given.dtype == np.float32:
        return given
    exact = given.astype(np.float64)
    if not np.isfinite(exact).all():
        row = int(np.argwhere(~np.isfinite(exact))[0][0])
        raise DataError(f"the value of row {row} of the {split} split is missing or infinite", "remove such rows")
    coarse = exact.astype(np.float32)
    spread = exact.std(axis=0)
    lost = np.abs(coarse - exact).max(axis=0)
    return coarse if bool((lost <= RESOLUTION * spread).all()) else exact
