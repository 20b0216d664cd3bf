"""Rows as models that were fitted elsewhere take them: columns of the file, not the numbers that stand for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd
from torch import nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.outputs import Returns
from xaibench.core.types import Array
from xaibench.datasets.files.columns import FACT, Column, decode, from_json

NO_RETRAINING = "a file cannot be trained again"


def lacking_of_black_box(what: str) -> dict[str, str]:
    """Why a black box of this kind, ``"an ONNX model"``, does not meet some needs."""
    return {
        "gradients": f"{what} has no gradients; explainers that remove features work",
        "module": f"{what} has no layers to look into; explainers that remove features work",
        "retrain": NO_RETRAINING,
    }


def columns_of(data: Data) -> tuple[Column, ...] | None:
    """The columns of the file that the data come from, None where they do not come from a table."""
    found = data.facts.get(FACT)
    return None if found is None else from_json(cast(str, found))


class ForeignColumnError(UsageError):
    """A table has a column that a model does not take.

    Parameters
    ----------
    model, column : str
    """

    def __init__(self, model: str, column: str) -> None:
        super().__init__(f"the data set has a column {column!r}, which {model} does not take", f'drop = ["{column}"]')
        self.column = column


def require_decodable(columns: tuple[Column, ...] | None, model: str) -> None:
    """Raise UsageError if rows cannot be turned back into those of the file once single numbers of them change."""
    for column in columns or ():
        if column.one_hot:
            raise UsageError(
                f"{model} takes column {column.name!r} as it is in the file, and the data set makes a column per value "
                "of it",
                'say categories = "codes" among the params of the data set',
            )


class FileModel:
    """A function of inputs (N, ...) that was read from a file.

    Attributes
    ----------
    default_returns : {"logit", "probability", "value"}
        What its numbers are assumed to be, until its outputs decide.
    """

    def __init__(self, function: Callable[[Array], Array], default_returns: Returns) -> None:
        self.function = function
        self.default_returns = default_returns

    def __call__(self, inputs: Array) -> Array:
        return self.function(inputs)


def of_estimator(estimator: Any, data: Data, model: str) -> Any:
    """A fitted scikit-learn estimator or pipeline as a model of these data.

    It gets a table with the columns of the file by their names, where the data come from one, else arrays.

    Raises
    ------
    UsageError
        If it was fitted to other columns, or to other classes.
    """
    columns = columns_of(data)
    if columns is None:
        return estimator
    require_decodable(columns, model)
    names = [c.name for c in columns]
    wanted = [str(n) for n in getattr(estimator, "feature_names_in_", ())]
    if wanted:
        for name in wanted:
            if name not in names:
                raise UsageError(f"{model} was fitted with a column {name!r}, which the data set does not have")
        extra = [n for n in names if n not in wanted]
        if extra:
            raise ForeignColumnError(model, extra[0])
    order = wanted or names
    _check_classes(estimator, data, model)
    method, returns = _method(estimator, data, model)

    def function(inputs: Array) -> Array:
        frame: Any = decode(inputs.reshape(len(inputs), -1), columns)[order]
        raw = np.asarray(method(frame if wanted else _matrix(frame)))
        if returns == "logit" and raw.ndim == 1:
            # One signed score of two classes: half to each, so that their difference is the score.
            raw = np.stack([-raw / 2, raw / 2], axis=1)
        return raw

    return FileModel(function, returns)


def _matrix(frame: pd.DataFrame) -> Array:
    """A table as an array, for an estimator that was fitted to one."""
    return frame.to_numpy()


def _check_classes(estimator: Any, data: Data, model: str) -> None:
    known = getattr(estimator, "classes_", None)
    if known is None or data.test_values is not None or isinstance(known, list) or not data.class_names:
        return
    theirs = [str(c) for c in np.asarray(known).tolist()]
    if theirs != list(data.class_names):
        raise UsageError(
            f"{model} knows the classes {', '.join(theirs[:8])}, the data set has {', '.join(data.class_names[:8])}",
            "classes are those of the target column, in their order",
        )


def _method(estimator: Any, data: Data, model: str) -> tuple[Callable[[Any], Any], Returns]:
    """What gives an estimator's outputs, and what these are."""
    if data.test_values is not None:
        return estimator.predict, "value"
    for name, returns in (("predict_proba", "probability"), ("decision_function", "logit")):
        if hasattr(estimator, name):
            return getattr(estimator, name), cast(Returns, returns)
    raise UsageError(
        f"{model} has neither predict_proba nor decision_function",
        "a classifier that gives scores of classes is needed",
    )


def in_evaluation_mode(module: nn.Module) -> nn.Module:
    """The module, marked as evaluated: exported programs refuse ``eval()``, and are what they are."""
    try:
        return module.eval()
    except (NotImplementedError, RuntimeError, AttributeError):
        for part in module.modules():
            part.training = False
        return module
