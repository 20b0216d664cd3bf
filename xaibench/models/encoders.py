"""Which columns a fitted scikit-learn pipeline encodes as categories, and what these are."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

_ENCODERS = frozenset({"OneHotEncoder", "OrdinalEncoder", "TargetEncoder", "CatBoostEncoder", "BinaryEncoder"})
_INSIDE = ("best_estimator_", "regressor_", "estimator_", "estimator")
"""Where meta-estimators have the model that is given the columns as they are."""


def encoded_columns(model: Any, labels: Sequence[Hashable]) -> dict[Hashable, tuple[Any, ...]]:
    """Columns that a model encodes itself, and their categories where it knows them.

    Found in pipelines, column transformers, meta-estimators and gradient boosting with ``categorical_features``; what
    is done to columns before they reach an encoder is followed through imputers only.

    Parameters
    ----------
    model : any
        A fitted estimator, or a bound method of one; anything else has none.
    labels : sequence of hashable
        Of the columns that the model is given, in its order.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from xaibench.models.encoders import encoded_columns
    >>> frame = pd.DataFrame({"job": ["nurse", "cook"]})
    >>> encoded_columns(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, [0, 1]), ["job"])
    {'job': ('cook', 'nurse')}
    """
    return dict(_found(getattr(model, "__self__", model), list(labels)))


def _found(model: Any, labels: list[Hashable]) -> Iterator[tuple[Hashable, tuple[Any, ...]]]:
    if type(model).__name__ in _ENCODERS:
        categories = getattr(model, "categories_", None) or [()] * len(labels)
        yield from ((label, tuple(values)) for label, values in zip(labels, categories, strict=False))
        return
    transformers = getattr(model, "transformers_", None)
    if transformers is not None:
        for _, part, columns in transformers:
            if not isinstance(part, str):
                yield from _found(part, _selected(columns, labels))
        return
    steps = getattr(model, "steps", None)
    if steps is not None:
        for _, part in steps:
            if part is None or part == "passthrough":
                continue
            yield from _found(part, labels)
            if not type(part).__name__.endswith("Imputer"):
                return
        return
    marked = getattr(model, "is_categorical_", None)
    if marked is not None and len(marked) == len(labels):
        yield from ((label, ()) for label, is_one in zip(labels, marked, strict=True) if is_one)
        return
    members = getattr(model, "estimators_", None)
    inside = [part for name in _INSIDE if (part := getattr(model, name, None)) is not None][:1]
    if isinstance(members, list):
        inside += [m for m in members if hasattr(m, "predict")]
    calibrated = getattr(model, "calibrated_classifiers_", None) or ()
    for part in [*(getattr(c, "estimator", None) for c in calibrated), *inside]:
        if part is not None and not isinstance(part, (str, type)):
            yield from _found(part, labels)


def _selected(columns: Any, labels: list[Hashable]) -> list[Hashable]:
    """Labels of the columns of a part of a column transformer, which are names, numbers, a slice or a mask."""
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            first = 0 if columns.start is None else labels.index(columns.start)
            last = len(labels) if columns.stop is None else labels.index(columns.stop) + 1
            return labels[first:last]
        return labels[columns]
    if isinstance(columns, (str, int, np.integer)):
        columns = [columns]
    chosen = list(columns)
    if chosen and all(isinstance(c, (bool, np.bool_)) for c in chosen):
        return [label for label, is_one in zip(labels, chosen, strict=True) if is_one]
    known = set(labels)
    return [
        c if c in known and not isinstance(c, (int, np.integer)) else labels[c] if _is_number(c) else c for c in chosen
    ]


def _is_number(column: Any) -> bool:
    return isinstance(column, (int, np.integer))
