"""What a model is given for rows of numbers: data frames, if it was fitted on frames, and arrays otherwise."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.core.errors import UnsupportedError, UsageError, did_you_mean
from xaibench.core.types import Array

if TYPE_CHECKING:
    from xaibench.core.frames.codec import FrameCodec


def fitted_names(model: Any) -> tuple[Hashable, ...] | None:
    """Labels of the columns that a model was fitted on, in their order; None where it does not know them.

    Of a bound method, such as ``pipeline.predict_proba``, those of its estimator.
    """
    owner = getattr(model, "__self__", model)
    for attribute in ("feature_names_in_", "feature_names_", "feature_names", "feature_name"):
        try:
            found = getattr(owner, attribute, None)
            # A booster of LightGBM is asked.
            found = found() if attribute == "feature_name" and callable(found) else found
        except Exception:  # Some libraries raise an error of their own where there are none.
            continue
        if found is not None and not callable(found) and len(found):
            names = tuple(str(name) if isinstance(name, str) else name for name in found)
            # What LightGBM and CatBoost call the columns of arrays.
            unnamed = tuple(f"Column_{j}" for j in range(len(names))), tuple(map(str, range(len(names))))
            return None if attribute != "feature_names_in_" and names in unnamed else names
    return None


def rows_for(model: Any, codec: FrameCodec | None) -> Callable[[Array], Any]:
    """The function from rows of numbers (N, ...) to what an estimator is given.

    Parameters
    ----------
    model : estimator
    codec : FrameCodec or None
        How rows become a frame, where they came from one.

    Raises
    ------
    UsageError
        If the model was fitted on columns that the rows do not have.
    """
    names = fitted_names(model)
    if codec is None or (names is not None and codec.positional and set(names) != set(codec.labels)):
        return _flat if names is None else lambda rows: _named(rows, names)
    if names is None:
        return _flat if codec.all_numbers else codec.decode
    missing = [name for name in names if name not in set(codec.labels)]
    if missing:
        raise UsageError(
            f"the model was fitted on a column {missing[0]!r}, which the data do not have",
            did_you_mean(str(missing[0]), codec.names),
        )
    return lambda rows: codec.decode(_flat(rows))[list(names)]


class FrameFunction:
    """A function that is given frames, or arrays if it does not take frames; the first call decides.

    Parameters
    ----------
    function : callable
    codec : FrameCodec
    """

    def __init__(self, function: Callable[..., Any], codec: FrameCodec) -> None:
        self._function, self._codec = function, codec
        self._frames: bool | None = None

    def __call__(self, rows: Array, **context: Any) -> Any:
        if self._frames is not None:
            return self._function(self._codec.decode(rows) if self._frames else rows, **context)
        try:
            found = self._function(self._codec.decode(rows), **context)
            if _n_rows(found) == len(rows):
                self._frames = True
                return found
            failure: Exception | None = None
        except UnsupportedError:
            raise
        except Exception as error:
            failure = error
        if any(column.kind == "category" for column in self._codec.columns):
            if failure is not None:
                raise failure
            raise UsageError(f"the model returns {_n_rows(found)} rows for a frame of {len(rows)}")
        self._frames = False
        return self._function(rows, **context)


def _n_rows(found: Any) -> int:
    shape = np.shape(found) if not hasattr(found, "shape") else tuple(found.shape)
    return int(shape[0]) if shape else 0


def _flat(rows: Array) -> Array:
    return rows.reshape(len(rows), -1)


def _named(rows: Array, names: Sequence[Hashable]) -> Any:
    import pandas as pd

    return pd.DataFrame(_flat(rows), columns=list(names))
