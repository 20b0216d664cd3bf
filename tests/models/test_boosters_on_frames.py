"""Gradient boosting libraries on data frames with pandas categoricals, by column name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import xaibench as xb

N = 200
ORDER = ["income", "owner", "job", "age"]
BACK = [3, 2, 0, 1]


def people() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 60, N),
            "job": pd.Categorical(np.array(["clerk", "cook", "nurse"])[rng.integers(3, size=N)]),
            "income": rng.normal(size=N),
            "owner": rng.random(N) < 0.5,
        }
    )
    frame.loc[::9, "income"] = np.nan
    return frame, ((frame["age"] > 40) | (frame["job"] == "cook")).astype(int).to_numpy()


def xgboost_classifier(frame: pd.DataFrame, labels: np.ndarray) -> Any:
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBClassifier(n_estimators=8, enable_categorical=True, n_jobs=1).fit(frame, labels)


def xgboost_booster(frame: pd.DataFrame, labels: np.ndarray) -> Any:
    xgboost = pytest.importorskip("xgboost")
    data = xgboost.DMatrix(frame, label=labels, enable_categorical=True)
    return xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 8)


def lightgbm_classifier(frame: pd.DataFrame, labels: np.ndarray) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1).fit(frame, labels)


def lightgbm_booster(frame: pd.DataFrame, labels: np.ndarray) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    data = lightgbm.Dataset(frame, label=labels)
    return lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 8)


class LikeCatBoost:
    """No scikit-learn class, names in ``feature_names_``, text categories, and no patience."""

    classes_ = np.array([0, 1])

    def __init__(self, frame: pd.DataFrame, labels: np.ndarray) -> None:
        self.feature_names_ = list(frame)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        assert list(frame) == self.feature_names_
        assert frame["job"].isin(["clerk", "cook", "nurse"]).all()
        p = np.where((frame["age"] > 40) | (frame["job"] == "cook"), 0.9, 0.1)
        return np.stack([1 - p, p], axis=1)


MODELS = [xgboost_classifier, xgboost_booster, lightgbm_classifier, lightgbm_booster, LikeCatBoost]


@pytest.mark.parametrize("make", MODELS)
def test_frames_go_to_boosters_by_name(make: Any) -> None:
    frame, labels = people()
    model = make(frame, labels)
    rows = frame.head(5)
    found = np.asarray(xb.explain("kernel_shap", model=model, inputs=rows, background=frame, targets=[1] * 5))
    other = xb.explain("kernel_shap", model=model, inputs=rows[ORDER], background=frame[ORDER], targets=[1] * 5)
    np.testing.assert_array_equal(found, np.asarray(other)[:, BACK])
    assert np.abs(found).sum() > 0.1
    with pytest.raises(xb.UsageError, match="inputs have no column 'owner', which the model was fitted on"):
        xb.explain("kernel_shap", model=model, inputs=rows.rename(columns={"owner": "owns"}), background=frame)
    assert np.isfinite(
        xb.score("pixel_flipping", model=model, inputs=rows, background=frame, explain="occlusion")
    ).all()


@pytest.mark.parametrize("make", MODELS[:4])
def test_values_are_those_of_the_library(make: Any) -> None:
    frame, labels = people()
    model = make(frame, labels)
    seen: list[np.ndarray] = []
    problem = xb.Problem(model, frame.head(6), targets=[1] * 6)

    def look(function: Any, inputs: Any, targets: Any) -> Any:
        seen.append(np.asarray(function(inputs))[:, 1])
        return np.zeros((6, 4), np.float32)

    problem.explain(look)
    if make is xgboost_booster:
        import xgboost

        wanted = model.predict(xgboost.DMatrix(frame.head(6), enable_categorical=True))
    else:
        wanted = model.predict(frame.head(6)) if make is lightgbm_booster else model.predict_proba(frame.head(6))[:, 1]
    np.testing.assert_allclose(seen[0], wanted, rtol=1e-6)


def test_logits_and_values_of_lightgbm_boosters() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    frame, labels = people()
    model = lightgbm_booster(frame, labels)
    found = xb.explain(
        "occlusion", model=model, inputs=frame.head(2), background=frame, returns="logit", output="margin"
    )
    assert np.isfinite(found).all()
    with pytest.raises(xb.UsageError, match="a booster with objective binary cannot return value"):
        xb.explain("occlusion", model=model, inputs=frame.head(2), background=frame, returns="value")
    given = {"objective": "regression", "verbose": -1, "num_threads": 1}
    regression = lightgbm.train(given, lightgbm.Dataset(frame, label=frame["age"]), 3)
    assert xb.explain("occlusion", model=regression, inputs=frame.head(2), background=frame).shape == (2, 4)
