"""Unfitted estimators and networks of a user's file as recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import xaibench as xb
from xaibench.core import registry
from xaibench.core.errors import UsageError
from xaibench.models.fine_tuning import trainable
from xaibench.models.unfitted import fit_copy

FILE = """
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
import torch

forest = RandomForestClassifier(5)

def pipeline():
    encode = ColumnTransformer([("job", OneHotEncoder(), ["job"])], remainder=StandardScaler())
    return make_pipeline(encode, LogisticRegression())

def nothing():
    return 3

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(30, 2))
number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def numbers() -> xb.Data:
    rows = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(np.int64)
    return xb.Data("table", rows[:60], labels[:60], rows[60:], labels[60:])


def test_an_unfitted_estimator_is_cloned_seeded_and_fitted(file: Path) -> None:
    spec = registry.get("model", f"{file}:forest")
    assert spec.name == "mine.forest"
    assert spec.code_digest is not None
    data = numbers()
    first, again, other = (spec.function(data, seed=s) for s in (0, 0, 1))
    assert first.random_state == again.random_state != other.random_state
    assert (first.predict_proba(data.test_inputs) == again.predict_proba(data.test_inputs)).all()
    assert (first.predict_proba(data.test_inputs) != other.predict_proba(data.test_inputs)).any()


def test_another_text_of_the_file_is_another_recipe(file: Path) -> None:
    before = registry.get("model", f"{file}:forest").code_digest
    file.write_text(FILE.replace("(5)", "(6)"))
    assert registry.get("model", f"{file}:forest").code_digest != before


def test_a_function_that_makes_a_pipeline_is_given_frames(file: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"age": draw.integers(18, 80, 100), "job": draw.choice(["cook", "nurse"], 100)})
    labels = (frame["job"] == "cook").to_numpy(np.int64)
    data = xb.Data("table", frame[:70], labels[:70], frame[70:], labels[70:])
    fitted = registry.get("model", f"{file}:pipeline").function(data, seed=0)
    assert (fitted.predict(data.test_frame) == labels[70:]).all()
    with pytest.raises(UsageError, match="returned int"):
        registry.get("model", f"{file}:nothing").function(data, seed=0)


def test_what_is_neither_a_function_nor_a_recipe_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="is not a registered model"):
        registry.get("model", f"{file}:number")


def test_a_random_state_that_was_given_stays() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted = fit_copy(make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=7)), numbers(), 0)
    assert fitted[-1].random_state == 7


def test_a_network_is_trained_on_as_a_copy(file: Path) -> None:
    spec = registry.get("model", f"{file}:net")
    data = registry.get("dataset", "breast_cancer").function(seed=0)
    tuned = spec.function(data, seed=0, **spec.bind({"max_epochs": 12}))
    again = spec.function(data, seed=0, **spec.bind({"max_epochs": 12}))
    state = {name: t.clone() for name, t in tuned.state_dict().items()}
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in state.items())
    right = tuned(torch.from_numpy(data.test_inputs)).argmax(dim=1).numpy() == data.test_targets
    assert right.mean() > 0.9
    with pytest.raises(UsageError, match="names no layers"):
        spec.function(data, seed=0, **spec.bind({"layers": "first"}))


def test_only_the_last_layers_ask_for_gradients() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert len(trainable(net, "last:1")) == 2
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    assert len(trainable(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), "all")) == 4


def test_a_wrong_name_is_answered_by_those_that_are_recipes(file: Path) -> None:
    with pytest.raises(UsageError) as told:
        registry.get("model", f"{file}:forrest")
    assert told.value.hint == "did you mean 'forest'?"
    with pytest.raises(UsageError) as told:
        registry.get("model", f"{file}:xyz")
    assert told.value.hint == "known: forest, net, nothing, pipeline"
    assert registry.get("model", f"{file}:forest").code_digest is not None  # as if nobody had looked before
