"""Columns that fitted pipelines encode themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from xaibench.models.encoders import encoded_columns
from xaibench.models.frame_inputs import fitted_names

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"age": RNG.normal(size=60), "job": RNG.choice(["a", "b", "c"], 60), "size": RNG.integers(2, size=60)}
)
LABELS = (FRAME["age"] > 0).astype(int)
NAMES = tuple(FRAME)


def pipeline(columns: Any, encoder: Any = None) -> Any:
    encode = ColumnTransformer([("words", encoder or OneHotEncoder(), columns)], remainder="passthrough")
    return make_pipeline(encode, LogisticRegression())


@pytest.mark.parametrize(
    "columns",
    [
        ["job", "size"],
        [1, 2],
        [-2, -1],
        slice(1, 3),
        slice("job", "size"),
        [False, True, True],
        lambda f: ["job", "size"],
    ],
    ids=["names", "numbers", "from the end", "slice of numbers", "slice of names", "booleans", "callable"],
)
def test_all_ways_to_name_columns(columns: Any) -> None:
    found = encoded_columns(pipeline(columns).fit(FRAME, LABELS), NAMES)
    assert {name: list(values) for name, values in found.items()} == {"job": ["a", "b", "c"], "size": [0, 1]}


IMPUTED = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())


@pytest.mark.parametrize("encoder", [OrdinalEncoder(), TargetEncoder(), IMPUTED], ids=str)
def test_all_encoders(encoder: Any) -> None:
    assert list(encoded_columns(pipeline(["job"], encoder).fit(FRAME, LABELS), NAMES)) == ["job"]


def test_selectors_and_models_around_models() -> None:
    base = pipeline(make_column_selector(dtype_exclude="number"))
    for model in (CalibratedClassifierCV(base, cv=2), VotingClassifier([("a", base)], voting="soft")):
        assert list(encoded_columns(model.fit(FRAME, LABELS), NAMES)) == ["job"]
    regression = make_pipeline(ColumnTransformer([("w", OneHotEncoder(), ["job"])]), LinearRegression())
    assert list(encoded_columns(TransformedTargetRegressor(regression).fit(FRAME, FRAME["age"]), NAMES)) == ["job"]


def test_what_is_encoded_behind_a_scaler_is_not_a_column() -> None:
    numbers = FRAME[["age", "size"]]
    model = make_pipeline(StandardScaler(), OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    assert encoded_columns(model.fit(numbers, LABELS), ("age", "size")) == {}
    assert encoded_columns(lambda a: a, NAMES) == {}


def test_names_that_a_model_was_fitted_on() -> None:
    model = pipeline(["job"]).fit(FRAME, LABELS)
    assert fitted_names(model) == fitted_names(model.predict_proba) == NAMES
    assert fitted_names(LogisticRegression().fit(FRAME[["age"]].to_numpy(), LABELS)) is None
    assert fitted_names(lambda a: a) is None
