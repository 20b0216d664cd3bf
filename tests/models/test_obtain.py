"""Obtaining models: what is kept, what is trusted, and what users may bring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_data
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import UsageError
from xaibench.core.registry import get
from xaibench.models.obtain import lookup, obtain

MLP = get("model", "mlp")
FOREST = get("model", "random_forest")
MLP_PARAMS = MLP.bind({"epochs": 1, "width": 8})
FOREST_PARAMS = FOREST.bind({"trees": 3})


def the_file(cache: Path) -> Path:
    (path,) = (cache / "models").iterdir()
    return path


def test_lookup_knows_what_was_obtained_and_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = make_data()
    for spec, params in ((MLP, MLP_PARAMS), (FOREST, FOREST_PARAMS)):
        assert lookup(spec, params, data, seed=0, cache=tmp_path) is None
        fitted = obtain(spec, params, data, seed=0, cache=tmp_path)
        found = lookup(spec, params, data, seed=0, cache=tmp_path)
        assert vars(found) == {k: v for k, v in vars(fitted).items() if k not in ("model", "from_cache")}
        assert lookup(spec, params, data, seed=1, cache=tmp_path) is None
        assert lookup(spec, params, make_data(n=119), seed=0, cache=tmp_path) is None
    assert lookup(MLP, MLP.bind({"epochs": 1, "width": 9}), data, seed=0, cache=tmp_path) is None


def test_cached_weights_are_not_trained_again(tmp_path: Path):
    told: list[int] = []

    def progress(done: int, total: int, text: str) -> None:
        told.append(done)

    for _ in range(2):
        obtain(MLP, MLP_PARAMS, make_data(), cache=tmp_path, progress=progress)
    assert told == [1]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_file_is_trained_anew(tmp_path: Path, damage: str):
    data = make_data()
    trained = obtain(MLP, MLP_PARAMS, data, cache=tmp_path)
    path = the_file(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-5] ^= 1
    path.write_bytes({"truncate": content[: len(content) // 2], "flip": content, "empty": b""}[damage])
    assert lookup(MLP, MLP_PARAMS, data, seed=0, cache=tmp_path) is None
    again = obtain(MLP, MLP_PARAMS, data, cache=tmp_path)
    assert not again.from_cache
    assert again.fingerprint == trained.fingerprint
    assert obtain(MLP, MLP_PARAMS, data, cache=tmp_path).from_cache, "the file was repaired"


def test_a_damaged_record_of_a_black_box_is_written_anew(tmp_path: Path):
    data = make_data()
    fitted = obtain(FOREST, FOREST_PARAMS, data, cache=tmp_path)
    the_file(tmp_path).write_text('{"fingerprint": "x"')
    assert lookup(FOREST, FOREST_PARAMS, data, seed=0, cache=tmp_path) is None
    obtain(FOREST, FOREST_PARAMS, data, cache=tmp_path)
    assert json.loads(the_file(tmp_path).read_text())["fingerprint"] == fitted.fingerprint


def test_weights_of_another_recipe_are_not_mistaken_for_the_cached_ones(tmp_path: Path):
    """A recipe that changes the module after training is not what was cached: it is built anew."""
    data = make_data()

    def recipe(data: Data, *, seed: int) -> nn.Module:
        module = MLP.function(data, seed=seed, epochs=1, width=8)
        with torch.no_grad():
            module[1].bias += 1
        return module

    recipe.__xaibench__ = True  # type: ignore[attr-defined]
    spec = ModelSpec("shifted", recipe)
    first, second = (obtain(spec, {}, data, cache=tmp_path) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert not second.from_cache


def test_versions_and_seeds_separate_what_is_kept(tmp_path: Path):
    data = make_data()
    obtain(MLP, MLP_PARAMS, data, cache=tmp_path)
    newer = ModelSpec("mlp", MLP.function, version=2, provides=MLP.provides)
    assert not obtain(newer, MLP_PARAMS, data, cache=tmp_path).from_cache
    assert not obtain(MLP, MLP_PARAMS, data, seed=1, cache=tmp_path).from_cache
    assert len(list((tmp_path / "models").iterdir())) == 3


def plain(result: Any) -> ModelSpec:
    def build(data: Data) -> Any:
        return result(data) if callable(result) and getattr(result, "__name__", "") == "<lambda>" else result

    return ModelSpec("user.build", build)


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def test_users_models_are_built_every_time_and_need_no_seed(tmp_path: Path):
    data = make_data()
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    logistic = LogisticRegression().fit(flat(data.train_inputs), data.train_targets)
    for model, returns, provides in (
        (network, "logit", {"gradients", "module"}),
        (logistic, "probability", set()),
        (lambda _: lambda x: logistic.predict_proba(flat(x)), "probability", set()),
    ):
        fitted = obtain(plain(model), {}, data, cache=tmp_path)
        assert fitted.returns == returns
        assert fitted.provides == provides
        assert not fitted.from_cache
        assert lookup(plain(model), {}, data, seed=0, cache=tmp_path) is None
    assert not (tmp_path / "models").exists()


def test_accuracy_is_that_of_the_test_split():
    data = make_data((2,))
    logistic = LogisticRegression().fit(flat(data.train_inputs), data.train_targets)
    fitted = obtain(plain(logistic), {}, data)
    assert fitted.accuracy == logistic.score(flat(data.test_inputs), data.test_targets)
    assert fitted.accuracy != logistic.score(flat(data.train_inputs), data.train_targets)


def test_values_are_no_answer_to_classes():
    data = make_data()
    regressor = LinearRegression().fit(flat(data.train_inputs), data.train_targets)
    with pytest.raises(UsageError, match="returns 1 values for data of 3 classes"):
        obtain(plain(regressor), {}, data)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "'user.build': a NoneType is not a model"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), "returns 1 columns for data of 3 classes"),
        (LogisticRegression(), "'user.build': this LogisticRegression is not fitted"),
    ],
)
def test_what_is_no_fitting_model_is_a_usage_error(result: Any, reason: str):
    with pytest.raises(UsageError, match=reason):
        obtain(plain(result), {}, make_data())


def test_gradients_that_are_declared_must_be_there():
    spec = ModelSpec("liar", lambda data: lambda x: np.ones((len(x), 3)) / 3, provides=frozenset({"gradients"}))
    with pytest.raises(UsageError, match="declared with gradients but is not a torch module"):
        obtain(spec, {}, make_data())


def test_tied_weights_can_be_cached(tmp_path: Path):
    def recipe(data: Data, *, seed: int) -> nn.Module:
        from xaibench.models.training import train

        def build() -> nn.Module:
            first, second = nn.Linear(64, 64), nn.Linear(64, 64)
            second.weight = first.weight
            return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), nn.Linear(64, 3))

        return train(build, data, seed=seed, epochs=1)

    recipe.__xaibench__ = True  # type: ignore[attr-defined]
    first, second = (obtain(ModelSpec("tied", recipe), {}, make_data(), cache=tmp_path) for _ in range(2))
    assert second.from_cache
    assert first.fingerprint == second.fingerprint
