"""Certificates of objects of a session: what is a recipe, what is data, and when two objects are one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import xaibench as xb
from xaibench.core import registry
from xaibench.core.errors import DataError, UsageError
from xaibench.datasets.session_data import data_reference, made_data
from xaibench.models.session_recipes import recipe_reference


def table(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(0).normal(size=(n, 4))
    return rows, np.where(rows[:, 0] + rows[:, 1] > 0, "high", "low")


def sentences(n: int = 400) -> tuple[list[str], np.ndarray]:
    draw = np.random.default_rng(0)
    fill, good = np.array(["film", "plot", "the", "with", "actors", "of"]), np.array(["fine", "lovely"])
    labels = np.arange(n) % 2
    bad = np.array(["dull", "poor"])
    texts = [
        " ".join(draw.permutation([*draw.choice(fill, draw.integers(2, 6)), draw.choice(good if label else bad)]))
        for label in labels
    ]
    return texts, np.where(labels == 1, "good", "bad")


def build(data: xb.Data, seed: int) -> Any:
    return LogisticRegression().fit(data.train_inputs, data.train_targets)


class OfAnyWidth(torch.nn.Module):
    """A network that takes another column."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(torch.nn.functional.pad(rows, (0, 5 - rows.shape[1])))
        return logits


def closed_over(c: float) -> Callable[..., Any]:
    def fit(data: xb.Data, seed: int) -> Any:
        return LogisticRegression(C=c).fit(data.train_inputs, data.train_targets)

    return fit


class Bound:
    """Fits with what it was made with."""

    def __init__(self, c: float) -> None:
        self.c = c

    def fit(self, data: xb.Data, seed: int) -> Any:
        return LogisticRegression(C=self.c).fit(data.train_inputs, data.train_targets)


class Scaled(torch.nn.Linear):
    """A layer with a factor that is no parameter."""

    def __init__(self, factor: float, act: Callable[..., Any] = torch.relu) -> None:
        torch.manual_seed(0)
        super().__init__(3, 2)
        self.factor, self.act = factor, act


def with_default(c: float) -> Callable[..., Any]:
    def fit(data: xb.Data, seed: int, *, strength: float = c) -> Any:
        return LogisticRegression(C=strength).fit(data.train_inputs, data.train_targets)

    return fit


@pytest.mark.parametrize("make", [with_default, lambda c: Bound(c).fit, Scaled, lambda c: Scaled(1.0, closed_over(c))])
def test_values_beside_the_code_make_another_recipe(make: Callable[[float], Any]) -> None:
    assert recipe_reference(make(1.0)) == recipe_reference(make(1.0)) != recipe_reference(make(2.0))


def test_objects_of_equal_content_are_one_and_others_are_not() -> None:
    assert recipe_reference(LogisticRegression(C=2)) == recipe_reference(LogisticRegression(C=2))
    assert recipe_reference(LogisticRegression(C=2)) != recipe_reference(LogisticRegression(C=3))
    twice, thrice = (make_pipeline(FunctionTransformer(f), LogisticRegression()) for f in (_twice, _thrice))
    assert recipe_reference(twice) != recipe_reference(thrice)
    assert recipe_reference(build) == recipe_reference(build)
    assert recipe_reference(closed_over(1.0)) == recipe_reference(closed_over(1.0))
    assert recipe_reference(closed_over(1.0)) != recipe_reference(closed_over(2.0))
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        nets.append(recipe_reference(torch.nn.Linear(3, 2)))
    assert nets[0] == nets[1] != nets[2]
    rows, labels = table()
    assert data_reference((rows, labels)) == data_reference((rows.copy(), labels.copy()))
    assert data_reference((rows, labels)) != data_reference((rows + 1, labels))


def _twice(x: Any) -> Any:
    return 2 * np.asarray(x)


def _thrice(x: Any) -> Any:
    return 3 * np.asarray(x)


def test_names_and_registered_functions_stay_what_they_are() -> None:
    assert recipe_reference("mlp") == "mlp"
    assert recipe_reference(Path("my_model.py")) == "my_model.py"
    assert data_reference("digits") == "digits"
    assert recipe_reference(registry.get("model", "mlp").function) == "mlp"


def test_data_of_arrays_frames_and_texts() -> None:
    rows, labels = table()
    data = made_data((rows, labels))
    assert data.class_names == ("high", "low")
    assert len(data.test_inputs) == 120
    assert {tuple(r) for r in np.concatenate([data.train_inputs, data.test_inputs]).tolist()} == {
        tuple(r) for r in rows.astype(np.float32).tolist()
    }
    frame = pd.DataFrame(rows, columns=list("abcd")).assign(job=np.where(rows[:, 2] > 0, "cook", "nurse"), y=labels)
    data = made_data(frame, target="y")
    assert data.feature_names == ("a", "b", "c", "d", "job")
    assert data.codec is not None
    assert made_data((rows, rows[:, 0])).train_values is not None
    assert made_data((rows.reshape(-1, 4, 4), np.arange(100) % 2), features="image").features == "image"
    data = made_data(([f"A {'fine' if i % 2 else 'dull'} film, isn't it? {i}" for i in range(20)], np.arange(20) % 2))
    assert data.tokens is not None
    assert data.has_ids
    assert {"fine", "film", ",", "isn"} < set(data.tokens.vocabulary)


@pytest.mark.parametrize(
    ("data", "more", "said"),
    [
        ((np.zeros((20, 8, 8)), np.arange(20) % 2), {}, "may be images or series"),
        (np.zeros((20, 3)), {}, "is not data to certify on"),
        (pd.DataFrame({"a": [1.0], "b": [0]}), {}, "which column of the data frame is predicted"),
        (pd.DataFrame({"a": [1.0], "b": [0]}), {"target": "c"}, "has no column 'c'"),
        ((np.zeros((20, 3)), np.zeros(20)), {"target": "c"}, "these are arrays"),
        ("digits", {"features": "image"}, "says itself what it holds"),
    ],
)
def test_data_that_are_none_are_said(data: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        data_reference(data, **more)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (LogisticRegression, "is a class"),
        (3, "a int is not a recipe"),
        (xb.text_model(lambda texts: np.zeros((len(texts), 2)), returns="logit"), "a copy must be trained"),
    ],
)
def test_what_is_no_recipe_is_said(model: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recipe_reference(model)


def test_objects_do_not_leave_their_process(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not reach other processes"):
        xb.certify(LogisticRegression(), "breast_cancer", workers=2, store=tmp_path / "store")
    with pytest.raises(UsageError, match="was an object of a Python session"):
        registry.get("model", "object:LogisticRegression-01234567")


@pytest.mark.slow  # two levels are fitted and explained
@pytest.mark.parametrize("kind", ["frame and function", "network", "texts"])
def test_a_certificate_of_objects(kind: str, tmp_path: Path) -> None:
    rows, labels = table()
    more: dict[str, Any] = {"explainers": [{"name": "occlusion", "params": {"masker": "mean"}}]}
    recipe: Any = make_pipeline(StandardScaler(), LogisticRegression())
    data: Any = (rows, labels)
    if kind == "frame and function":
        recipe, data, more["target"] = build, pd.DataFrame(rows, columns=list("abcd")).assign(y=labels), "y"
    elif kind == "network":
        torch.manual_seed(0)
        recipe = OfAnyWidth()
        more["fine_tune"] = {"learning_rate": 0.02, "batch_size": 16}
    elif kind == "texts":
        recipe, data = make_pipeline(CountVectorizer(), LogisticRegression()), sentences()
        more["explainers"] = [{"name": "feature_ablation", "params": {"masker": "delete"}}]
    given = {"levels": (0, 1), "copies": 1, "rows": 60, "store": tmp_path / "store", **more}
    found = xb.certify(recipe, data, **given)
    assert found.proved, (found.message, found.certificate.failures)
    assert found.thresholds.loc[0, "found_at_full_level"] >= 0.9
    assert found.thresholds.loc[0, "verdict"] == "finds it"
    # In the rows of the other class the plant decides alone, and absence decides otherwise: half of all rows.
    assert 20 <= found.thresholds.loc[0, "n_decisive"] <= 40
    assert found.message in repr(found)
    assert len(repr(found)) < 1_000  # what a notebook shows
    again = xb.certify(recipe, data, **given)
    assert again.folder == found.folder
    pd.testing.assert_frame_equal(again.thresholds, found.thresholds)


def test_texts_may_be_an_array_or_a_column() -> None:
    texts, labels = sentences(40)
    made = [data_reference((given, labels)) for given in (texts, np.array(texts), pd.Series(texts), tuple(texts))]
    assert len(set(made)) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((np.zeros((4, 2)), np.array(["a", None, "b", "a"], dtype=object)), "the label of input 1 is missing"),
        ((np.zeros(4), np.zeros(4)), r"inputs of shape \(4,\) are not rows"),
    ],
)
def test_labels_are_there_and_inputs_have_columns(data: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        made_data(data)
