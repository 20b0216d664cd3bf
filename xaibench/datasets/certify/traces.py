"""Whether anything but the planted unit distinguishes both versions: then the truth would be elsewhere too."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from xaibench.core.predictor import CallablePredictor, Predictor
from xaibench.core.types import Array

FOLDS, MOST_ROWS = 5, 500
IMMATERIAL = 0.05
"""Share of the root mean square of a number of texts up to which both versions count as equal: words are weighted by
how often they are there, and two planted words are in almost, but not exactly, as many texts."""


def second_trace(model: Predictor, a: Array, b: Array, absent: Array | None = None) -> float:
    """Area under the ROC curve with which everything but the unit tells version A from version B.

    Looked for in the rows themselves, and in what the first step of a scikit-learn pipeline makes of them. There the
    unit is every number that stays when all other columns come from another row; of texts every number that is there
    in all rows of a version, and in none without the plant.

    Parameters
    ----------
    model : Predictor
    a, b : array (N, *input_shape)
        The same test rows in both versions.
    absent : array (N, *input_shape), optional
        Of texts: the same rows without the plant.

    Returns
    -------
    float
        The larger area of a logistic regression and a boosting of depth 3, both out of fold, with both versions of
        a row in one fold; .5 where nothing differs.
    """
    n = min(len(a), MOST_ROWS)
    step = first_step(model)
    if step is None or n < 2 * FOLDS:
        return 0.5
    if absent is not None:
        made_a, made_b, without = (step(rows[:n]) for rows in (a, b, absent))
        always = (made_a != 0).all(axis=0) | (made_b != 0).all(axis=0)
        unit = always & (without == 0).all(axis=0)
        slight = np.abs(made_a - made_b) <= IMMATERIAL * np.sqrt((made_a**2).mean(axis=0))
        made_b = np.where(slight, made_a, made_b)
        return version_area(made_a[:, ~unit], made_b[:, ~unit])
    a, b = a[:n].reshape(n, -1), b[:n].reshape(n, -1)
    made_a, made_b = step(a), step(b)
    differs = (a != b).any(axis=0)
    mixed = np.where(differs, a, np.roll(a, 1, axis=0))
    same = np.isclose(step(mixed), made_a, equal_nan=True).all(axis=0)
    return version_area(made_a[:, ~same], made_b[:, ~same])


def version_area(a: Array, b: Array) -> float:
    """Area under the ROC curve with which rows (N, D) of two versions are distinguished, out of fold; .5 if equal."""
    if a.shape[1] == 0 or np.array_equal(a, b, equal_nan=True):
        return 0.5
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    rows, versions = np.concatenate([a, b]), np.repeat([1, 0], len(a))
    groups = np.tile(np.arange(len(a)), 2)
    linear = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=500))
    boosted = HistGradientBoostingClassifier(max_depth=3, max_iter=50, early_stopping=False, random_state=0)
    areas = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for detector in (linear, boosted):
            told = cross_val_predict(
                detector, rows, versions, groups=groups, cv=GroupKFold(FOLDS), method="predict_proba"
            )
            areas.append(float(roc_auc_score(versions, told[:, 1])))
    return max(areas)


def first_step(model: Predictor) -> Callable[[Array], Array] | None:
    """What the first step of a pipeline makes of rows (N, D); None of anything else."""
    function = model.function if isinstance(model, CallablePredictor) else None
    estimator: Any = getattr(function, "estimator", None)
    steps = list(getattr(estimator, "steps", None) or ())
    rows: Any = getattr(function, "rows", None)
    if model.encodes_ids and len(steps) > 1:
        # What makes strings of ids comes first; texts are looked at as strings.
        rows, steps = steps[0][1].transform, steps[1:]
    if len(steps) < 2 or rows is None or not hasattr(steps[0][1], "transform"):
        return None
    transform = steps[0][1].transform

    def made(inputs: Array) -> Array:
        found = transform(rows(inputs if model.encodes_ids else inputs.astype(np.float32)))
        found = found.toarray() if hasattr(found, "toarray") else found
        return np.asarray(found, dtype=np.float64).reshape(len(inputs), -1)

    return made
