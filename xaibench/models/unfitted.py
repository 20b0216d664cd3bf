"""Unfitted scikit-learn estimators and pipelines as recipes: a copy of them is fitted to every data set."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.keys import seed as derive_seed
from xaibench.core.object_recipes import ObjectRecipe, makes_recipes
from xaibench.models.text_pipelines import fit_to_texts


@makes_recipes
def estimator_recipe(found: Any) -> ObjectRecipe | None:
    """A recipe of an unfitted estimator or pipeline, or of a function without parameters that makes one."""
    if is_estimator(found):

        def fit(data: Data, *, seed: int) -> Any:
            """A copy of the estimator of your file, fitted to the training rows."""
            return fit_copy(found, data, seed)

        return fit
    if inspect.isfunction(found) and not inspect.signature(found).parameters:

        def fit_made(data: Data, *, seed: int) -> Any:
            """The estimator that the function of your file makes, fitted to the training rows."""
            made = found()
            if not is_estimator(made):
                raise UsageError(
                    f"{found.__name__}() returned {type(made).__name__}",
                    "a function without parameters returns an unfitted estimator; one that fits takes the data",
                )
            return fit_copy(made, data, seed)

        return fit_made
    return None


def is_estimator(found: Any) -> bool:
    """Whether an object is a scikit-learn estimator, fitted or not, and no class."""
    return not inspect.isclass(found) and all(hasattr(found, name) for name in ("fit", "get_params", "set_params"))


def fit_copy(estimator: Any, data: Data, seed: int) -> Any:
    """Clone an estimator, set every ``random_state`` that is None, and fit it to the training rows.

    It is given a data frame where the data have been one, or where a step names columns; strings where the data are
    texts; else numbers (N, D).
    """
    from sklearn.base import clone

    copy = clone(estimator)
    known = copy.get_params(deep=True)
    state = derive_seed("train", seed) % np.iinfo(np.int32).max
    free = [name for name, value in known.items() if name.rpartition("__")[2] == "random_state" and value is None]
    copy.set_params(**dict.fromkeys(free, state))
    learned = data.train_targets if data.train_values is None else data.train_values
    if data.has_ids:
        return fit_to_texts(copy, data.train_inputs, learned, data.tokens)
    wants_frame = data.codec is not None or any(type(v).__name__ == "ColumnTransformer" for v in known.values())
    wants_frame |= type(copy).__name__ == "ColumnTransformer"
    frames = wants_frame and data.features == "table" and data.frame_codec is not None
    rows = data.train_frame if frames else data.train_inputs.reshape(len(data.train_inputs), -1)
    return copy.fit(rows, learned if data.train_labels is None else data.train_labels.astype(np.int64))
