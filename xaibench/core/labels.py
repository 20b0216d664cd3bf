"""Labels of a data set: classes numbered from 0, whatever they are called, and values of a regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xaibench.core.errors import DataError
from xaibench.core.types import Array


@dataclass(frozen=True)
class Labels:
    """Targets of both splits as numbers of classes, and what the classes are called.

    Attributes
    ----------
    train, test : array (N,), int64
    class_names : tuple of str
    values : tuple of array (N,), float32, or None
        Train and test values of a regression; the targets are all 0 then.
    """

    train: Array
    test: Array
    class_names: tuple[str, ...]
    values: tuple[Array, Array] | None = None


def number_classes(train: Any, test: Any, class_names: Sequence[str] = ()) -> Labels:
    """Number classes from 0 where this can be done without a guess.

    Whole numbers 0 to C - 1 stay as they are. Booleans, text, -1 and 1, or 1 to C become 0 to C - 1
    in their order, or in that of ``class_names`` where these are the labels; classes without names
    are called by their labels. Numbers with a fraction are the values of a regression.

    Parameters
    ----------
    train, test : array-like (N,)
    class_names : sequence of str

    Raises
    ------
    DataError
        If a label is missing, if the labels have a gap, so that it is not known how many classes
        there are, if class names and labels do not go together, or if numbers may be classes or values.

    Examples
    --------
    >>> from xaibench.core.labels import number_classes
    >>> labels = number_classes([-1, 1, 1], [1, -1])
    >>> labels.train.tolist(), labels.class_names
    ([0, 1, 1], ('-1', '1'))
    """
    splits = [_column(train, "train"), _column(test, "test")]
    names = tuple(map(str, class_names))
    kinds = {s.dtype.kind for s in splits}
    if kinds <= {"f"} or kinds <= {"f", "i", "u"}:
        if kinds & {"f"}:
            return _of_floats(splits[0], splits[1], names)
        return _of_integers(splits[0], splits[1], names)
    if kinds <= {"b"}:
        whole = [s.astype(np.int64) for s in splits]
        if names and len(names) != 2:
            raise DataError(f"the labels are booleans, and there are {len(names)} class names", "name False and True")
        return Labels(whole[0], whole[1], names or ("False", "True"))
    if kinds <= {"U", "S", "O"}:
        return _of_text(splits[0], splits[1], names)
    raise DataError(
        f"train labels are {splits[0].dtype}, test labels {splits[1].dtype}", "use the same kind in both splits"
    )


def _column(values: Any, split: str) -> Array:
    """Labels of a split as an array (N,), with none missing."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    found: Array = np.asarray(values)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise DataError(
            f"{split} targets have shape {found.shape}", "give one label per sample; one-hot rows: targets.argmax(1)"
        )
    if found.dtype.kind == "O":
        numbers = {type(v) for v in found}
        if all(issubclass(t, (bool, np.bool_)) for t in numbers):
            return found.astype(bool)
        if all(issubclass(t, (int, np.integer)) for t in numbers):
            return found.astype(np.int64)
        if all(issubclass(t, (int, float, np.integer, np.floating)) for t in numbers):
            found = found.astype(np.float64)
    missing = [i for i, v in enumerate(found) if v is None or v != v] if found.dtype.kind in "fO" else []
    if missing:
        raise DataError(f"the label of row {missing[0]} of the {split} split is missing", "remove such rows")
    return found


def _of_floats(train: Array, test: Array, names: tuple[str, ...]) -> Labels:
    both = np.concatenate([train, test])
    if not np.isfinite(both).all():
        raise DataError("targets hold infinity", "remove such rows")
    whole = bool((both == np.round(both)).all())
    if not whole and names:
        raise DataError("targets are numbers with fractions, and there are class names", "leave class_names out")
    if not whole:
        zeros = [np.zeros(len(s), np.int64) for s in (train, test)]
        return Labels(zeros[0], zeros[1], (), (train.astype(np.float32), test.astype(np.float32)))
    if names or len(np.unique(both)) <= 2:
        return _of_integers(train.astype(np.int64), test.astype(np.int64), names)
    raise DataError(
        "targets are whole numbers stored as floats: classes or values of a regression?",
        "for classes, targets.astype(int); for a regression, train_values= and test_values=, with targets all 0",
    )


def _of_integers(train: Array, test: Array, names: tuple[str, ...]) -> Labels:
    train, test = (s.astype(np.int64, copy=False) for s in (train, test))
    found = np.unique(np.concatenate([train, test]))
    low, high = int(found[0]), int(found[-1])
    if low >= 0 and (high < len(names) if names else low == 0):
        if not names and len(found) != high + 1:
            absent = sorted(set(range(high + 1)) - set(found.tolist()))
            raise DataError(
                f"labels go from 0 to {high}, and no row is of class {absent[0]}",
                "name all classes with class_names=, or number those that there are from 0",
            )
        if not names and int(test.max()) > int(train.max()):
            raise DataError(f"label {int(test.max())} is in the test split only", "name all classes with class_names=")
        return Labels(train, test, names)
    if names and len(names) != len(found):
        raise DataError(
            f"there are {len(names)} class names for labels from {low} to {high}", "name every class, in their order"
        )
    if not names and low > 0 and len(found) != high - low + 1:
        raise DataError(
            f"labels go from {low} to {high} with gaps", "number the classes from 0, and name them with class_names="
        )
    called = names or tuple(map(str, found.tolist()))
    return Labels(np.searchsorted(found, train), np.searchsorted(found, test), called)


def _of_text(train: Array, test: Array, names: tuple[str, ...]) -> Labels:
    texts = [[v.decode() if isinstance(v, bytes) else str(v) for v in s] for s in (train, test)]
    found = sorted(set(texts[0]) | set(texts[1]))
    if names:
        strange = [t for t in found if t not in names]
        if strange:
            raise DataError(f"label {strange[0]!r} is not among the class names", f"class_names are {', '.join(names)}")
    else:
        new = sorted(set(texts[1]) - set(texts[0]))
        if new:
            raise DataError(f"label {new[0]!r} is in the test split only", "name all classes with class_names=")
    called = names or tuple(found)
    number = {name: i for i, name in enumerate(called)}
    splits = [np.array([number[t] for t in s], np.int64) for s in texts]
    return Labels(splits[0], splits[1], called)
