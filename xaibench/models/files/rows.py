"""What models from files are given, and why they lack some abilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.outputs import Returns
from xaibench.core.types import Array
from xaibench.datasets.files.table_file import ENCODING

NO_RETRAINING = "a file cannot be trained again"


def lacking_of_black_box(what: str) -> dict[str, str]:
    """Why a black box of this kind, ``"an ONNX model"``, does not meet some needs."""
    return {
        "gradients": f"{what} has no gradients; explainers that remove features work",
        "module": f"{what} has no layers to look into; explainers that remove features work",
        "retrain": NO_RETRAINING,
    }


class ForeignColumnError(UsageError):
    """A table has a column that a model does not take.

    Parameters
    ----------
    model, column : str
    """

    def __init__(self, model: str, column: str) -> None:
        super().__init__(f"the data set has a column {column!r}, which {model} does not take", f'drop = ["{column}"]')
        self.column = column


class FileModel:
    """A function of inputs, arrays (N, ...) or data frames of N rows, that was read from a file.

    Attributes
    ----------
    default_returns : {"logit", "probability", "value"}
        What its numbers are assumed to be, until its outputs decide.
    """

    def __init__(self, function: Callable[[Any], Array], default_returns: Returns) -> None:
        self.function = function
        self.default_returns = default_returns

    def __call__(self, inputs: Any) -> Array:
        return self.function(inputs)


def require_own_columns(data: Data, model: str) -> None:
    """Raise UsageError if columns of a file were turned into other numbers than those that the model was fitted to."""
    if data.facts.get(ENCODING) == "onehot":
        raise UsageError(
            f"{model} takes columns as they are in its file, and the data set standardises and splits them",
            'leave encode = "onehot" out of the params of the data set; give it a second entry for models fitted here',
        )


def fitted_estimator(estimator: Any, data: Data, model: str) -> Any:
    """A fitted scikit-learn estimator or pipeline, after a look at its columns and classes.

    Raises
    ------
    UsageError
        If it was fitted to other columns, or to other classes.
    """
    require_own_columns(data, model)
    wanted = [str(n) for n in getattr(estimator, "feature_names_in_", ())]
    names = list(data.feature_names)
    if wanted and names:
        for name in wanted:
            if name not in names:
                raise UsageError(f"{model} was fitted with a column {name!r}, which the data set does not have")
        extra = [n for n in names if n not in wanted]
        if extra:
            raise ForeignColumnError(model, extra[0])
    known = getattr(estimator, "classes_", None)
    if known is not None and data.test_values is None and not isinstance(known, list) and data.class_names:
        theirs = [str(c) for c in np.asarray(known).tolist()]
        if theirs != list(data.class_names):
            raise UsageError(
                f"{model} knows the classes {', '.join(theirs[:8])}; the data have {', '.join(data.class_names[:8])}",
                "classes are those of the target column, in their order",
            )
    return estimator


def in_evaluation_mode(module: nn.Module) -> nn.Module:
    """The module, marked as evaluated: exported programs refuse ``eval()``, and are what they are."""
    try:
        return module.eval()
    except (NotImplementedError, RuntimeError, AttributeError):
        for part in module.modules():
            part.training = False
        return module
