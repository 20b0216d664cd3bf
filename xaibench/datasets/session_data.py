"""Data sets that are objects of a Python session: arrays, data frames and texts with their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xaibench.core.data import Data
from xaibench.core.data_specs import DatasetSpec
from xaibench.core.errors import DataError, UsageError
from xaibench.core.features import FeatureKind
from xaibench.core.frames.detection import is_frame
from xaibench.core.session_objects import object_reference
from xaibench.core.text_readers import SEGMENT, strings_of
from xaibench.core.tokens import NO_TOKEN, Tokens
from xaibench.core.types import Array
from xaibench.datasets.splits import generator, split

SHARE_OF_TEST_ROWS = 0.3
"""Share of the rows that become test rows."""
_HOW = "give (inputs, labels), a data frame and target=, a xaibench.Data, or the name or file of a data set"
_UNKNOWN, _HIDDEN = "[UNK]", "[MASK]"


def data_reference(data: Any, *, target: str | None = None, features: FeatureKind | None = None) -> str:
    """What suites of this session call data: a name or file as it is, an object by name and content.

    Raises
    ------
    UsageError
        If it is nothing of which data can be made.
    """
    if isinstance(data, str | Path):
        if features is not None:
            raise UsageError(f"features = {features!r} is about arrays, and {str(data)!r} says itself what it holds")
        return str(data)
    made = made_data(data, target=target, features=features)

    def found() -> Data:
        """Data of this session."""
        return made

    found.content_digest = made.fingerprint  # type: ignore[attr-defined]
    return object_reference(DatasetSpec("data", found, features=made.features), made.fingerprint)


def made_data(data: Any, *, target: str | None = None, features: FeatureKind | None = None) -> Data:
    """Data of a caller's arrays, data frame or texts, split by label.

    Parameters
    ----------
    data : Data, DataFrame or tuple
        ``(inputs, labels)``; inputs are an array (N, ...), a data frame or strings. Labels with fractions are values.
    target : str, optional
        Of a data frame: its column that is predicted.
    features : {"table", "image", "series", ...}, optional
        What an array of more than two axes holds.

    Returns
    -------
    Data
        With 70 % of the rows for training; rows are as they are given, so a recipe scales by itself.

    Raises
    ------
    UsageError
        If it is something else, or it is not said what is predicted.
    DataError
        If there are other numbers of inputs and labels, a label is missing, or inputs have no columns.
    """
    if isinstance(data, Data):
        return data
    if is_frame(data) and target is not None:
        if target not in data.columns:
            raise UsageError(
                f"the data frame has no column {target!r}", f"columns: {', '.join(map(str, data.columns))}"
            )
        data = (data.drop(columns=[target]), data[target])
    elif is_frame(data):
        raise UsageError("it is not said which column of the data frame is predicted", 'say target="column"')
    elif target is not None:
        raise UsageError("target= names a column of a data frame or file, and these are arrays", _HOW)
    if not isinstance(data, tuple) or len(data) != 2:
        raise UsageError(f"a {type(data).__name__} is not data to certify on", _HOW)
    inputs, labels = data[0], np.asarray(data[1])
    if len(inputs) != len(labels) or labels.ndim != 1:
        raise DataError(
            f"there are {len(inputs)} inputs and labels of shape {labels.shape}", "give one label per input"
        )
    if labels.dtype.kind == "O" and (missing := [i for i, label in enumerate(labels) if label is None]):
        raise DataError(f"the label of input {missing[0]} is missing", "leave such inputs out")
    rows: Any = inputs if is_frame(inputs) else np.asarray(inputs)
    if not is_frame(inputs) and rows.ndim == 1 and len(rows) and isinstance(rows[0], str):
        return _texts(strings_of(list(inputs), "inputs"), labels)
    if rows.ndim < 2:
        raise DataError(f"inputs of shape {rows.shape} are not rows", "give an array (N, ...), or a list of strings")
    kind = features or ("table" if is_frame(inputs) or rows.ndim == 2 else None)
    if kind is None:
        raise UsageError(f"inputs of shape {rows.shape} may be images or series", 'say features="image" or "series"')
    train, test = _split(_hashed(rows), labels)
    parts = [rows.iloc[part].reset_index(drop=True) if is_frame(rows) else rows[part] for part in (train, test)]
    return Data(kind, parts[0], labels[train], parts[1], labels[test])


def _texts(texts: list[str], labels: Array) -> Data:
    """Texts as words: letters and digits, or one other character."""
    words = [[word.strip() for word in SEGMENT.findall(text)] for text in texts]
    known = [_UNKNOWN, _HIDDEN, *sorted({word for text in words for word in text} - {_UNKNOWN, _HIDDEN})]
    number = {word: i for i, word in enumerate(known)}
    ids: Array = np.full((len(words), max(map(len, words))), NO_TOKEN, dtype=np.int32)
    for row, text in zip(ids, words, strict=True):
        row[: len(text)] = [number[word] for word in text]
    train, test = _split(ids, labels)
    return Data("tokens", ids[train], labels[train], ids[test], labels[test], tokens=Tokens(known, unk=0, mask=1))


def _split(rows: Array, labels: Array) -> tuple[Array, Array]:
    fractions = labels.dtype.kind == "f" and bool((labels != np.round(labels)).any())
    strata = np.zeros(len(labels), dtype=np.int64) if fractions else np.unique(labels, return_inverse=True)[1]
    train, test = split(rows, strata, SHARE_OF_TEST_ROWS, generator("split", "session"))
    if not len(train) or not len(test):
        raise DataError(f"{len(rows)} rows cannot be split", "give more rows")
    return train, test


def _hashed(rows: Any) -> Array:
    """Rows that can be compared: of a data frame their hashes."""
    if not is_frame(rows):
        return np.asarray(rows)
    import pandas as pd

    hashes: Array = pd.util.hash_pandas_object(pd.DataFrame(rows), index=False).to_numpy()[:, None]
    return hashes
