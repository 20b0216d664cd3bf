"""The contract of every built-in model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_data
from torch import nn

from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.registry import components, get
from xaibench.models.obtain import obtain

OF_THEIR_GENERATOR = {
    "additive_terms", "bayes_linear", "biased", "boolean", "clusterwise", "ebm", "efficientnet_lite0",
    "exact_function", "gin", "graph_conv",
    "gru_own_step", "gru_sum_of_steps", "hugging_face", "mlp_regressor", "one_layer_gnn", "piecewise_linear", "ripple",
    "scaffolded", "series_cnn", "sum_of_squares", "units", "walk_sum",
}  # fmt: skip
"""For what one generator or folder makes, series, graphs or numbers instead of classes: tested with their data sets."""
SPECS = {
    spec.name: spec
    for spec in components("model")
    if spec.function.__module__.startswith("xaibench.")
    and spec.name not in OF_THEIR_GENERATOR
    and spec.features != {"tokens"}
}
"""Models of texts: tests/models/test_text_networks.py, tests/datasets/test_tracr.py and the closed forms of texts."""
NETWORKS = sorted(name for name, spec in SPECS.items() if "gradients" in spec.provides)
QUICK: dict[str, dict[str, Any]] = {
    **{name: {"epochs": 2} for name in NETWORKS if "epochs" in SPECS[name].parameters},
    "logistic_regression": {},
    "random_forest": {"trees": 5},
    "gradient_boosting": {"iterations": 3},
}

SOLVED = "logistic_regression"
"""One optimum, whatever the seed, which scikit-learn finds faster than a file is read."""
SMALL_RADIUS: dict[str, dict[str, Any]] = {
    "robust_cnn": {"epsilon": 0.3, "epochs": 12},
    "robust_mlp": {"epsilon": 0.5},
    "robust_one_hidden": {"epsilon": 0.05, "epochs": 40},
}
"""Digits of 8x8 pixels are too near to each other for the radius of larger images."""


def fit(name: str, data: Data, *, seed: int = 0, **params: Any) -> Any:
    spec = SPECS[name]
    return obtain(spec, spec.bind({**QUICK[name], **params}), data, seed=seed)


def test_the_expected_models_are_registered():
    assert set(QUICK) == set(SPECS)
    trained = {
        "softmax_regression",
        "mlp",
        "cnn",
        "resnet",
        "one_hidden",
        "robust_one_hidden",
        "robust_mlp",
        "robust_cnn",
    }
    assert trained <= set(NETWORKS)


@pytest.mark.parametrize("name", sorted(QUICK))
def test_the_same_seed_gives_the_same_model_whatever_the_global_state(name: str):
    data = make_data()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (the state that must not matter)
    first = fit(name, data)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    expected_torch = torch.get_rng_state()
    expected_numpy = np.random.get_state()[1].copy()  # noqa: NPY002
    again = fit(name, data)
    assert first.fingerprint == again.fingerprint
    assert (torch.get_rng_state() == expected_torch).all(), "the caller's generator is left alone"
    assert (np.random.get_state()[1] == expected_numpy).all()  # noqa: NPY002


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_do_not_depend_on_threads(name: str):
    data, before = make_data(), torch.get_num_threads()
    try:
        found = set()
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.add(fit(name, data).fingerprint)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


@pytest.mark.parametrize("name", sorted(set(QUICK) - {"gradient_boosting", SOLVED}))
def test_another_seed_gives_another_model(name: str):
    data = make_data()
    assert fit(name, data).fingerprint != fit(name, data, seed=1).fingerprint


@pytest.mark.parametrize("name", sorted(QUICK))
def test_cached_equals_trained(name: str, tmp_path: Path):
    spec, data = SPECS[name], make_data()
    params = spec.bind(QUICK[name])
    trained = obtain(spec, params, data, seed=3, cache=tmp_path)
    cached = obtain(spec, params, data, seed=3, cache=tmp_path)
    assert cached.fingerprint == trained.fingerprint
    assert cached.accuracy == trained.accuracy
    assert cached.from_cache == (name in NETWORKS and name != SOLVED)
    assert not trained.from_cache
    if name in NETWORKS:
        x = torch.from_numpy(data.test_inputs)
        assert torch.equal(cached.model(x), trained.model(x))


@pytest.mark.parametrize("name", sorted(QUICK))
def test_what_a_model_provides_is_what_it_is(name: str):
    spec = SPECS[name]
    fitted = fit(name, make_data())
    assert fitted.provides == spec.provides
    assert ("module" in fitted.provides) == isinstance(fitted.model, nn.Module)
    assert fitted.returns == ("logit" if name in NETWORKS else "probability")


IMAGES = [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 9, 11)]


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in NETWORKS for shape in [*IMAGES, (30,)] if shape in IMAGES or not SPECS[name].features],
)
def test_networks_take_shapes(name: str, shape: tuple[int, ...]):
    data = make_data(shape, n=20)
    module = fit(name, data, **({"epochs": 1} if "epochs" in QUICK[name] else {})).model
    assert module(torch.from_numpy(data.test_inputs[:4])).shape == (4, 3)
    assert not module.training


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_use_modules_once_and_not_in_place(name: str):
    """Hook-based explainers need every ReLU and every pooling to be a module that runs once."""
    data = make_data(n=20)
    module = fit(name, data, **({"epochs": 1} if "epochs" in QUICK[name] else {})).model
    calls: dict[nn.Module, int] = {}
    leaves = [m for m in module.modules() if not any(True for _ in m.children())]
    for leaf in leaves:
        assert not getattr(leaf, "inplace", False)
        leaf.register_forward_hook(lambda m, _i, _o: calls.__setitem__(m, calls.get(m, 0) + 1))
    module(torch.from_numpy(data.test_inputs[:2]))
    assert all(calls.get(leaf, 0) == 1 for leaf in leaves)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(QUICK))
def test_the_floor_is_reached_on_digits(name: str):
    spec: ModelSpec = SPECS[name]
    data = get("dataset", "digits").function(seed=0)
    fitted = obtain(spec, spec.bind(SMALL_RADIUS.get(name, {})), data, seed=0)
    assert fitted.accuracy >= data.accuracy_floor
    shuffled = replace(data, test_targets=np.roll(data.test_targets, 1))
    assert obtain(spec, spec.bind(QUICK[name]), shuffled, seed=0).accuracy < 0.3, "accuracy is on the test targets"


def test_training_learns_what_least_squares_learns():
    """On separable Gaussian classes with equal covariance the best classifier is known: its accuracy is reached."""
    data = make_data((10,), n_classes=2, n=2000)
    means = np.stack([data.train_inputs[data.train_targets == c].mean(axis=0) for c in (0, 1)])
    distance = ((data.test_inputs[:, None] - means) ** 2).sum(axis=2)
    best = (distance.argmin(axis=1) == data.test_targets).mean()
    assert abs(fit("softmax_regression", data, epochs=15).accuracy - best) < 0.01
