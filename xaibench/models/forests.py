"""Random forests and gradient boosting from scikit-learn: models without gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.keys import seed as derive_seed
from xaibench.core.types import Array


def _flat(data: Data) -> tuple[Array, Array]:
    learned = data.train_targets if data.train_labels is None else data.train_labels.astype(np.int64)
    return data.train_inputs.reshape(len(data.train_inputs), -1), learned


def _random_state(seed: int) -> int:
    return derive_seed("train", seed) % np.iinfo(np.int32).max


@model("random_forest", provides=())
def random_forest(data: Data, *, seed: int, trees: int = 100, min_samples_leaf: int = 5) -> Any:
    """Random forest (Breiman 2001) on flattened inputs, a black box that returns probabilities."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(trees, min_samples_leaf=min_samples_leaf, random_state=_random_state(seed))
    return forest.fit(*_flat(data))


@model("gradient_boosting", provides=())
def gradient_boosting(data: Data, *, seed: int, iterations: int = 50, learning_rate: float = 0.1) -> Any:
    """Histogram gradient boosting (Friedman 2001; Ke et al. 2017), a black box that returns probabilities.

    Every row and column is used, so the seed changes nothing but the data.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    boosted = HistGradientBoostingClassifier(
        max_iter=iterations, learning_rate=learning_rate, early_stopping=False, random_state=_random_state(seed)
    )
    with threadpool_limits(1):
        return boosted.fit(*_flat(data))
