"""Metrics that retrain, given a function and training data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import xaibench as xb

RNG = np.random.default_rng(0)
X = RNG.standard_normal((160, 6))
Y = (X[:, 2] > 0).astype(int)
TRAIN, TEST = (X[:100], Y[:100]), (X[100:], Y[100:])
SMALL: dict[str, Any] = {"shares": (0.2,), "n_retrainings": 2}


def net(inputs: np.ndarray, targets: np.ndarray, seed: int) -> nn.Module:
    """Softmax regression, drawn from the global generator."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].size, 2))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(inputs)), torch.from_numpy(targets)).backward()
        optimizer.step()
    return module


def given(**changes: Any) -> dict[str, Any]:
    model = net(TRAIN[0].astype(np.float32), TRAIN[1], 0)
    return {
        "model": model, "inputs": TEST[0], "targets": TEST[1], "explain": "gradient", "retrain": net, "train": TRAIN,
        **changes,
    }  # fmt: skip


@pytest.mark.slow
def test_one_number_per_repeat_the_same_every_time() -> None:
    arguments = given()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    removed = xb.score("roar", **arguments, **SMALL)
    assert removed.shape == (2,)
    assert removed.dtype == np.float32
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert np.array_equal(removed, xb.score("roar", **arguments, **SMALL))
    kept = xb.score("kar", **arguments, **SMALL)
    assert kept.min() > 0.85
    assert removed.max() < 0.7


@pytest.mark.slow
def test_every_metric_that_retrains_takes_a_function_and_a_black_box_will_do() -> None:
    def forest(inputs: np.ndarray, targets: np.ndarray, seed: int) -> Any:
        return LogisticRegression(random_state=seed, max_iter=200).fit(inputs.reshape(len(inputs), -1), targets)

    arguments = given(model=forest(*TRAIN, 0), retrain=forest, explain="feature_ablation")
    table = xb.components("metric")
    names = table[table["needs"].map(lambda needs: "retrain" in needs)]["name"].tolist()
    # Of images: tests/metrics/test_cue_reliance.py and test_gap_training.py; of texts: test_usable_information.py.
    names = [name for name in names if name not in {"repair_accuracy", "idsds", "pvi_kept", "pvi_removed"}]
    assert set(names) == {
        "roar",
        "kar",
        "mask_leakage",
        "diffroar",
        "mege",
        "reco",
        "label_randomisation",
        "mask_transfer",
        "f_fidelity_plus",
        "f_fidelity_minus",
    }
    for name in names:
        small = {
            k: v
            for k, v in {**SMALL, "n_repeats": 2, "min_accuracy": 0, "min_kept": 0, "max_lost": 1}.items()
            if k in parameters(name)
        }
        found = xb.score(name, **arguments, **small)
        of_samples = name in {"label_randomisation", "mask_transfer", "f_fidelity_plus", "f_fidelity_minus"}
        assert found.shape == ((60,) if of_samples else (2,))
        assert name == "reco" or np.isfinite(found).all()


def parameters(name: str) -> dict[str, Any]:
    table = xb.components("metric").set_index("name")
    return table.loc[name, "parameters"]  # type: ignore[no-any-return]


def test_the_functions_arrays_are_its_own_and_its_targets_are_labels() -> None:
    def spoils(inputs: np.ndarray, targets: np.ndarray, seed: int) -> nn.Module:
        assert inputs.dtype == np.float32
        assert targets.dtype == np.int64
        assert 0 <= seed < 2**31
        model = net(inputs, targets, seed)
        inputs[:], targets[:] = 0, 0
        return model

    assert np.array_equal(xb.score("roar", **given(retrain=spoils), **SMALL), xb.score("roar", **given(), **SMALL))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"retrain": None, "train": None}, xb.UnsupportedError, "'roar' needs retrain"),
        ({"train": None}, xb.UsageError, "both retrain= and train="),
        ({"retrain": None}, xb.UsageError, "both retrain= and train="),
        ({"targets": None}, xb.UsageError, "labels of the inputs"),
        ({"train": (X[:, :5], Y)}, xb.UsageError, r"inputs of shape \(160, 5\)"),
        ({"train": (X, Y[:9])}, xb.UsageError, r"targets of shape \(9,\)"),
        ({"train": (TRAIN[0], TRAIN[1] - 1)}, xb.UsageError, "train labels go from -1 to"),
        ({"train": (TRAIN[0], TRAIN[1] + 0.5)}, xb.UsageError, "train labels are not whole numbers"),
        ({"recipe": "mlp"}, xb.UnsupportedError, "recipe 'mlp' cannot be combined with retrain="),
        ({"explain": None, "attributions": np.ones((60, 6))}, xb.UnsupportedError, "needs reexplain"),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        xb.score("roar", **given(**changes), **SMALL)
    assert "Evaluation" not in str(caught.value)


def test_a_class_that_lost_its_column_is_noticed() -> None:
    """Columns of scikit-learn estimators are the classes they saw: the third would be taken for the second."""

    def forest(inputs: np.ndarray, targets: np.ndarray, seed: int) -> Any:
        return LogisticRegression(max_iter=200).fit(inputs.reshape(len(inputs), -1), targets)

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 6)).astype(np.float32), np.arange(90) % 3
    arguments = given(model=forest(x, y, 0), inputs=x[:9], targets=y[:9], retrain=forest, explain="feature_ablation")
    assert np.isfinite(xb.score("roar", **{**arguments, "train": (x, y)}, **SMALL)).all()
    with pytest.raises(xb.UsageError, match="has 2 outputs, the one that is explained 3"):
        xb.score("roar", **{**arguments, "train": (x[y != 1], y[y != 1])}, **SMALL)


def test_truth_is_kept_from_explainers_that_do_not_declare_it() -> None:
    """Otherwise metrics that explain other samples would ask for their truth."""
    mask = np.tile(np.arange(6) == 2, (60, 1))
    assert np.isfinite(xb.score("roar", **given(truth=mask), **SMALL)).all()
    with pytest.raises(xb.UnsupportedError, match="is given the truth"):
        xb.score("roar", **given(truth=mask, explain="oracle"), **SMALL)
