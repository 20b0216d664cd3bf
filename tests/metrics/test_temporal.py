"""Metrics of time and sensors, against numbers known by hand and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

import xaibench as xb

T, D, N = 12, 4, 6
RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(N, T, D)).astype(np.float32)
TRUTH = np.zeros((N, T, D), bool)
for i in range(N):
    TRUTH[i, 2 + i : 5 + i, : 1 + i % 3] = True
X = RNG.normal(size=(N, T, D)).astype(np.float32)


def score(name: str, maps: np.ndarray, truth: np.ndarray = TRUTH, **params: object) -> np.ndarray:
    model = lambda a: a.reshape(len(a), -1)[:, :1]  # noqa: E731
    given = {"model": model, "returns": "value", "inputs": X[: len(maps)], "features": "series"}
    return xb.score(name, attributions=maps, truth=truth, **given, **params)  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", ["signed", "absolute"])
def test_steps_and_sensors_have_the_average_precision_of_scikit_learn(sign: str) -> None:
    values = np.abs(MAPS) if sign == "absolute" else MAPS
    for name, axis in (("step_auprc", 2), ("sensor_auprc", 1)):
        expected = [
            average_precision_score(truth.any(axis=axis - 1), own.sum(axis=axis - 1))
            for truth, own in zip(TRUTH, values, strict=True)
        ]
        np.testing.assert_allclose(score(name, MAPS, sign=sign), expected, rtol=1e-5)


def test_cells_add_up_before_they_are_compared() -> None:
    """The right step has the largest sum, and no cell of it is the largest."""
    maps = np.zeros((1, T, D), np.float32)
    maps[0, 3] = 0.4
    maps[0, 8, 0] = 1.0
    truth = np.zeros((1, T, D), bool)
    truth[0, 3] = True
    assert score("step_auprc", maps, truth) == pytest.approx([1.0])
    assert score("auprc", maps, truth)[0] < 1
    assert np.isnan(score("sensor_auprc", maps, truth)[0])


@pytest.mark.parametrize(
    ("mass", "error"),
    [
        ({3: 1.0}, 0),
        ({3: 0.6, 4: 1.0}, 0),
        ({3: 0.4, 4: 1.0}, 1),
        ({0: 0.5, 4: 1.0}, 3),
        ({11: -2.0, 3: 0.1}, 8),
    ],
)
def test_the_onset_is_the_first_step_with_half_the_largest_mass(mass: dict[int, float], error: int) -> None:
    maps, truth = np.zeros((1, T, D), np.float32), np.zeros((1, T, D), bool)
    truth[0, 3:6, 1] = True
    for step, value in mass.items():
        maps[0, step, :2] = value / 2
    assert score("onset_error", maps, truth).tolist() == [error]


def test_what_has_no_onset_has_no_error() -> None:
    truth = np.zeros((2, T, D), bool)
    truth[0, :, 1] = True
    truth[1, 4:6] = True
    assert np.isnan(score("onset_error", MAPS[:2], truth)).tolist() == [True, False]
    assert np.isnan(score("onset_error", np.zeros((1, T, D), np.float32), truth[1:])).all()
    assert np.isnan(score("onset_error", np.ones((1, T, D), np.float32), truth[1:])).all()


def test_a_series_of_one_sensor_has_steps_and_no_sensors_to_find() -> None:
    given = {"model": lambda a: a[:, :1], "returns": "value", "inputs": X[:, :, 0], "features": "series"}
    maps, truth = MAPS[:, :, 0], TRUTH[:, :, 0]
    steps = xb.score("step_auprc", attributions=maps, truth=truth, **given)
    np.testing.assert_allclose(steps, xb.score("auprc", attributions=maps, truth=truth, sign="absolute", **given))
    assert np.isnan(xb.score("sensor_auprc", attributions=maps, truth=truth, **given)).all()


def test_sensors_first_is_the_same_series() -> None:
    turned = {"model": lambda a: a.reshape(len(a), -1)[:, :1], "returns": "value", "features": "series", "axes": "NCT"}
    for name in ("onset_error", "step_auprc", "sensor_auprc"):
        given = {"inputs": np.swapaxes(X, 1, 2), "attributions": np.swapaxes(MAPS, 1, 2), **turned}
        found = xb.score(name, truth=np.swapaxes(TRUTH, 1, 2), **given)
        np.testing.assert_allclose(found, score(name, MAPS), equal_nan=True)


def test_other_data_are_refused() -> None:
    x = torch.zeros(2, 5)
    with pytest.raises(xb.UnsupportedError, match="series"):
        xb.score("onset_error", model=lambda a: a[:, :1], inputs=x, attributions=x, truth=x > 0, returns="value")
