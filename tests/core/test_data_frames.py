"""Data sets of frames: text, categories and booleans as codes, and the frames that models are fitted on."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import xaibench as xb
from xaibench.core.errors import DataError
from xaibench.core.registry import get
from xaibench.core.retraining import variant
from xaibench.models.obtain import obtain
from xaibench.models.text_adapters import predictor_for


def frames() -> tuple[pd.DataFrame, list[str]]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 60, 80),
            "job": np.array(["clerk", "cook", "nurse"])[rng.integers(3, size=80)],
            "owner": rng.random(80) < 0.5,
        }
    )
    return frame, np.where((frame["age"] > 40) ^ (frame["job"] == "cook"), "yes", "no").tolist()


def data(**more: Any) -> xb.Data:
    frame, labels = frames()
    return xb.Data("table", frame[:60], labels[:60], frame[60:], labels[60:], **more)


def test_frames_become_codes_and_come_back() -> None:
    found, (frame, _) = data(), frames()
    assert found.train_inputs.dtype == np.float32
    assert found.feature_names == ("age", "job", "owner")
    assert found.class_names == ("no", "yes")
    assert found.categorical == (1,)
    assert (found.layout.categorical, found.layout.boolean) == ((1,), (2,))
    pd.testing.assert_frame_equal(found.train_frame, frame[:60].reset_index(drop=True))
    pd.testing.assert_frame_equal(found.test_frame, frame[60:].reset_index(drop=True))
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(found)).test_frame, found.test_frame)


def test_the_fingerprint_knows_categories_and_groups_and_nothing_else_is_new() -> None:
    numbers = frames()[0][["age"]].astype(float)
    plain = xb.Data(
        "table", numbers[:60].to_numpy(np.float32), [0, 1] * 30, numbers[60:].to_numpy(np.float32), [0, 1] * 10
    )
    framed = xb.Data("table", numbers[:60], [0, 1] * 30, numbers[60:], [0, 1] * 10)
    assert framed.fingerprint == plain.fingerprint
    known = {
        data().fingerprint,
        data(feature_groups=[["age", "owner"]]).fingerprint,
        data(categorical=["age"]).fingerprint,
    }
    assert len(known) == 3
    other = frames()[0].replace({"job": {"nurse": "smith"}})
    assert xb.Data("table", other[:60], frames()[1][:60], other[60:], frames()[1][60:]).fingerprint not in known


def test_columns_of_the_test_frame_may_be_in_any_order() -> None:
    frame, labels = frames()
    turned = xb.Data("table", frame[:60], labels[:60], frame[60:][["owner", "job", "age"]], labels[60:])
    assert turned.fingerprint == data().fingerprint


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.drop(columns="job"), "test inputs have no column 'job'|other frames have no column 'job'"),
        (lambda f: f.assign(debt=1), "have a column 'debt'"),
        (lambda f: f.assign(age="old"), "column 'age' of the train inputs holds int64, and"),
        (lambda f: f.assign(age=np.inf), r"test inputs hold infinity \(column 'age', row 0\)"),
    ],
)
def test_frames_that_do_not_go_together_are_named(change: Any, sentence: str) -> None:
    frame, labels = frames()
    with pytest.raises(DataError, match=sentence):
        xb.Data("table", frame[:60], labels[:60], change(frame[60:]), labels[60:])


def test_groups_are_stored_as_a_partition_and_survive_a_copy() -> None:
    wide = pd.get_dummies(frames()[0], dtype=float)
    labels = frames()[1]
    names = [c for c in wide if c.startswith("job")]
    found = xb.Data("table", wide[:60], labels[:60], wide[60:], labels[60:], feature_groups={"job": names})
    assert found.feature_groups == ((0,), (1,), (2, 3, 4))
    assert found.group_names == ("age", "owner", "job")
    assert found.layout.categorical == (2,)
    assert found.layout.feature_shape == (3,)
    same = replace(found, accuracy_floor=0.5)
    assert (same.feature_groups, same.group_names) == (found.feature_groups, found.group_names)
    assert variant(found, train_targets=found.train_targets[::-1]).layout == found.layout
    with pytest.raises(DataError, match="the group 'job' names column 'jobs'"):
        xb.Data("table", wide[:60], labels[:60], wide[60:], labels[60:], feature_groups={"job": ["jobs"]})
    with pytest.raises(DataError, match="feature_groups and categorical are about tables"):
        xb.Data("image", np.ones((2, 1, 3, 3)), [0, 1], np.ones((2, 1, 3, 3)), [0, 1], feature_groups=[[0]])


def pipeline(given: xb.Data) -> Any:
    columns = ColumnTransformer([("words", OneHotEncoder(), ["job"])], remainder="passthrough")
    turned = given.train_frame[["owner", "job", "age"]]
    return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(turned, given.train_targets)


def test_models_that_were_fitted_on_frames_are_given_frames_by_name() -> None:
    given = data()
    model = pipeline(given)
    import torch

    found = predictor_for(model, given).predict(torch.from_numpy(given.test_inputs))
    wanted = model.predict_proba(given.test_frame[["owner", "job", "age"]])
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["random_forest", "gradient_boosting"])
def test_shipped_black_boxes_get_a_column_for_every_category(name: str) -> None:
    import torch

    given, spec = data(), get("model", name)
    fitted = obtain(spec, spec.bind({}), given)
    wide = pd.get_dummies(given.train_frame, columns=["job"], dtype=float)
    wide.insert(1, "owner", wide.pop("owner").astype(float))
    tall = pd.get_dummies(given.test_frame, columns=["job"], dtype=float)
    tall.insert(1, "owner", tall.pop("owner").astype(float))
    numbers = xb.Data(
        "table",
        wide.to_numpy(np.float32),
        given.train_targets,
        tall.to_numpy(np.float32),
        given.test_targets,
        class_names=given.class_names,
    )
    by_hand = obtain(spec, spec.bind({}), numbers)
    found = predictor_for(fitted.model, given).predict(torch.from_numpy(given.test_inputs))
    wanted = predictor_for(by_hand.model, numbers).predict(torch.from_numpy(numbers.test_inputs))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_shipped_networks_refuse_codes() -> None:
    spec = get("model", "softmax_regression")
    with pytest.raises(
        xb.UsageError, match="model 'softmax_regression' takes numbers, and column 'job' holds categories"
    ):
        obtain(spec, spec.bind({}), data())


@pytest.mark.slow
def test_a_suite_of_frames(tmp_path: Any) -> None:
    (tmp_path / "mine.py").write_text(
        """
import numpy as np, pandas as pd, xaibench as xb
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

@xb.dataset("loans", features="table", version=1)
def loans(*, seed: int) -> xb.Data:
    '''Loans.'''
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.integers(20, 70, 200), "job": rng.choice(["clerk", "cook", "nurse"], 200)})
    label = np.where((frame["age"] > 45) | (frame["job"] == "cook"), "yes", "no")
    return xb.Data("table", frame[:150], label[:150], frame[150:], label[150:], accuracy_floor=0.6)

def build(data):
    encode = ColumnTransformer([("c", OneHotEncoder(), ["job"])], remainder="passthrough")
    return make_pipeline(encode, LogisticRegression(max_iter=500)).fit(data.train_frame, data.train_targets)
"""
    )
    (tmp_path / "s.toml").write_text(
        """
description = "frames"
samples = 6
background = 32
explainers = ["kernel_shap", "lime", "c_lime"]
metrics = ["pixel_flipping", "max_sensitivity", "sparseness"]
[[problems]]
dataset = "mine.py:loans"
models = ["mine.py:build"]
"""
    )
    xb.run(str(tmp_path / "s.toml"), store=tmp_path / "store")
    rows = xb.results(tmp_path / "store")
    status = rows.groupby("explainer")["status"].agg(lambda s: set(s) - {"undefined"})
    assert status["kernel_shap"] == status["lime"] == status["random"] == {"ok"}
    assert status["c_lime"] == {"unsupported"}


def test_examples_for_reports_have_a_number_and_a_name_per_group() -> None:
    import torch

    from xaibench.core.problem import Problem, Samples
    from xaibench.execution.stored_examples import examples_of

    wide = pd.get_dummies(frames()[0], dtype=float)
    labels = frames()[1]
    names = [c for c in wide if c.startswith("job")]
    found = xb.Data("table", wide[:60], labels[:60], wide[60:], labels[60:], feature_groups={"job": names})
    model = predictor_for(lambda a: np.c_[a[:, 0], -a[:, 0]], found, returns="logit")
    inputs = torch.from_numpy(found.test_inputs)
    samples = Samples(
        model, inputs, torch.zeros(20, dtype=torch.int64), found.layout, "logit", tuple(bytes([i]) for i in range(20))
    )
    stored = examples_of(Problem("d", "m", samples, "f", frozenset()), found)
    assert stored is not None
    assert stored.feature_names == ("age", "owner", "job")
    assert stored.inputs.shape == (20, 3)
    wanted = [["clerk", "cook", "nurse"].index(job) for job in frames()[0]["job"][60:]]
    assert stored.inputs[:, 2].tolist() == [wanted[i] for i in stored.index]
