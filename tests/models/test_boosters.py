"""Boosters: called with a data matrix of their own, and their objective says what they return."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.models.adapters import as_predictor
from xaibench.models.boosters import is_xgboost_booster

X = np.random.default_rng(0).normal(size=(40, 2))


class Booster:
    """Stands in for ``xgboost.Booster``: a linear margin, and the link of its objective."""

    feature_names = ("a", "b")

    def __init__(self, objective: str) -> None:
        self.objective = objective

    def save_config(self) -> str:
        return json.dumps({"learner": {"objective": {"name": self.objective}}})

    def predict(self, rows: Any, output_margin: bool = False) -> Any:
        if not isinstance(rows, SimpleNamespace):
            raise TypeError("Expecting data to be a DMatrix object")
        assert rows.names == self.feature_names
        margin = rows.values @ np.array([2.0, -1.0])
        if self.objective.startswith("multi"):
            several = np.stack([margin, -margin, 0 * margin], axis=1)
            if output_margin:
                return several
            shares = np.exp(several) / np.exp(several).sum(1, keepdims=True)
            return shares if self.objective == "multi:softprob" else shares.argmax(1)
        return 1 / (1 + np.exp(-margin)) if self.objective == "binary:logistic" and not output_margin else margin


Booster.__module__ = "xgboost.core"


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("xgboost")
    module.DMatrix = lambda values, feature_names: SimpleNamespace(values=values, names=feature_names)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xgboost", module)


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize(
    ("objective", "returns", "columns"),
    [
        ("binary:logistic", "probability", 2),
        ("binary:logitraw", "logit", 2),
        ("multi:softprob", "probability", 3),
        ("multi:softmax", "logit", 3),
        ("reg:squarederror", "value", 1),
    ],
)
def test_the_objective_says_what_is_returned(objective: str, returns: str, columns: int) -> None:
    predictor = as_predictor(Booster(objective))
    raw = predictor.predict(torch.from_numpy(X))
    assert (predictor.returns, predictor.returns_assumed, raw.shape) == (returns, False, (40, columns))
    if returns == "probability":
        np.testing.assert_allclose(raw.sum(dim=1), 1, rtol=1e-6)


@pytest.mark.usefixtures("_stand_in")
def test_effects_of_a_booster_are_those_of_its_margin() -> None:
    found = xb.explain("occlusion", model=Booster("reg:squarederror"), inputs=X)
    np.testing.assert_allclose(found, X * [2, -1], rtol=1e-6)
    margins = xb.explain(
        "occlusion", model=Booster("binary:logistic"), inputs=X, targets=[1] * 40, returns="logit", output="margin"
    )
    np.testing.assert_allclose(margins, X * [2, -1], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize(
    ("objective", "returns"),
    [("multi:softmax", "probability"), ("reg:squarederror", "logit"), ("binary:logistic", "multilabel_logit")],
)
def test_what_an_objective_does_not_give_is_one_sentence(objective: str, returns: str) -> None:
    with pytest.raises(xb.UsageError, match=f"objective {objective} cannot return {returns}") as caught:
        xb.explain("occlusion", model=Booster(objective), inputs=X, returns=returns)
    assert "it can return" in str(caught.value.hint)


def test_only_those_of_xgboost_are_meant() -> None:
    assert is_xgboost_booster(Booster("reg:squarederror"))
    other = type("Booster", (), {"__module__": "lightgbm.basic"})
    assert not is_xgboost_booster(other())
    assert not is_xgboost_booster(np.mean)


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "multi:softmax", "reg:squarederror"])
def test_real_boosters(objective: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    y = {"b": (X[:, 0] > 0).astype(int), "m": np.digitize(X[:, 0], [-0.5, 0.5]), "r": 3 * X[:, 0]}[objective[0]]
    params = {"objective": objective, **({"num_class": 3} if objective[0] == "m" else {})}
    booster = xgboost.train(params, xgboost.DMatrix(X, label=y), 5)
    maps = xb.explain("occlusion", model=booster, inputs=X[:5])
    assert np.isfinite(maps).all()
    assert np.abs(maps[:, 0]).sum() > np.abs(maps[:, 1]).sum()
    margin = booster.predict(xgboost.DMatrix(X), output_margin=True)
    raw = as_predictor(booster, returns=None if objective[0] == "r" else "logit").predict(torch.from_numpy(X))
    found = raw[:, 1] - raw[:, 0] if objective[0] == "b" else raw.squeeze(1)
    np.testing.assert_allclose(found, margin, rtol=1e-5)
