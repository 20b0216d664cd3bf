"""The white-box series: exact maps in closed form, a truth that is all that matters, and metrics that prefer noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

import xaibench as xb
from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.core.predictor import TorchPredictor
from xaibench.datasets.splits import generator
from xaibench.datasets.white_box import white_box
from xaibench.models.sum_of_squares import SumOfSquares, sum_of_squares

SMALL = {"steps": 12, "sensors": 10, "n_train": 8, "n_test": 3}


def given(data: Data) -> dict[str, object]:
    return {"model": sum_of_squares(data), "inputs": data.test_inputs, "features": "series", "returns": "value"}


@pytest.mark.parametrize("rare", ["feature", "time"])
def test_the_truth_is_five_percent_in_the_published_places(rare: str) -> None:
    data = white_box(seed=3, rare=rare)
    assert data.test_mask is not None
    assert data.test_inputs.shape == (10, 50, 50)
    np.testing.assert_array_equal(data.test_mask, np.repeat(data.test_mask[:1], 10, axis=0))
    steps, sensors = np.nonzero(data.test_mask[0].any(axis=1))[0], np.nonzero(data.test_mask[0].any(axis=0))[0]
    assert data.test_mask[0].sum() == 125
    middle, five = (steps, sensors) if rare == "feature" else (sensors, steps)
    np.testing.assert_array_equal(middle, np.arange(12, 37))
    assert len(five) == 5
    if rare == "time":
        np.testing.assert_array_equal(np.diff(five), 1)
    assert not np.array_equal(data.test_mask[0], white_box(seed=4, rare=rare).test_mask[0])  # type: ignore[index]


def test_series_solve_their_filter() -> None:
    data = white_box(seed=0)
    x = data.test_inputs.astype(np.float64)
    padded = np.concatenate([np.zeros((10, 3, 50)), x], axis=1)
    noise = (2 * padded[:, 3:] + 0.5 * padded[:, 2:-1] + 0.2 * padded[:, 1:-2] + 0.1 * padded[:, :-3]) / 2
    np.testing.assert_allclose(lfilter([2], [2, 0.5, 0.2, 0.1], noise, axis=1), x, atol=1e-5)
    assert abs(noise.std() - 1) < 0.02
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("rare", ["feature", "time"])
def test_maps_are_their_closed_forms(rare: str) -> None:
    data = white_box(seed=1, rare=rare, **SMALL)
    x, mask = data.test_inputs.astype(np.float64), data.test_mask
    # The mean of each sensor over series and steps is what "mean" puts in the place of a cell.
    b = data.train_inputs.mean(axis=(0, 1), dtype=np.float64)
    np.testing.assert_allclose(xb.explain("integrated_gradients", **given(data)), x**2 * mask, atol=1e-5)
    lost = (x**2 - b**2) * mask
    np.testing.assert_allclose(
        xb.explain("feature_ablation", patch=1, masker="mean", background=data.train_inputs, **given(data)),
        lost,
        atol=2e-5,
    )
    np.testing.assert_allclose(
        xb.explain(
            "shapley_sampling", patch=1, n_samples=1, masker="mean", background=data.train_inputs, **given(data)
        ),
        lost,
        atol=1e-4,
    )


def test_the_gate_is_exact_and_notices_a_model_that_reads_more() -> None:
    data = white_box(seed=2, **SMALL)
    honest = measure_gates(data, TorchPredictor(sum_of_squares(data), "value"), 1.0).gates
    assert [(gate.name, gate.value, gate.passed) for gate in honest][1:] == [
        ("largest change of the output, other cells exchanged", 0.0, True)
    ]
    wider = data.facts["relevant"].copy()
    wider[0, 0] = True
    greedy = measure_gates(data, TorchPredictor(SumOfSquares(wider), "value"), 1.0).gates
    assert not greedy[-1].passed


def test_published_areas_prefer_noise_and_the_order_does_not() -> None:
    data = white_box(seed=5)
    found = {
        "ig": xb.explain("integrated_gradients", **given(data)),
        "root": xb.explain(
            "monotone_transform", base="integrated_gradients", transform="power", power=0.125, **given(data)
        ),
        "noise": xb.explain("monotone_transform", base="random", transform="ranks", **given(data)),
        "oracle": data.test_mask.astype(np.float32),  # type: ignore[union-attr]
    }

    def scored(metric: str, maps: object, **params: object) -> float:
        return float(xb.score(metric, attributions=maps, truth=data.test_mask, **params, **given(data)).mean())

    aur = {name: scored("aur", maps, estimator="published", pooled=True) for name, maps in found.items()}
    aup = {name: scored("aup", maps, estimator="published", pooled=True) for name, maps in found.items()}
    auprc = {name: scored("auprc", maps, sign="absolute") for name, maps in found.items()}
    assert auprc["ig"] == auprc["root"] == auprc["oracle"] == pytest.approx(1)
    assert aur["noise"] > 3 * aur["ig"]
    assert aur["root"] > aur["ig"] + 0.4
    assert aup["oracle"] == pytest.approx(0.525)
    assert aup["ig"] > 0.99
    assert auprc["noise"] < 0.1


def test_ranks_of_noise_are_evenly_spread_and_powers_change_no_order() -> None:
    data = white_box(seed=6, **SMALL)
    noise = np.asarray(xb.explain("monotone_transform", base="random", transform="ranks", **given(data)))
    n = noise[0].size
    np.testing.assert_allclose(
        np.sort(noise.reshape(3, -1), axis=1), np.tile((np.arange(n) + 0.5) / n, (3, 1)), atol=1e-6
    )
    ig = np.asarray(xb.explain("integrated_gradients", **given(data)))
    root = np.asarray(xb.explain("monotone_transform", base="integrated_gradients", power=0.25, **given(data)))
    np.testing.assert_allclose(root, np.abs(ig) ** 0.25, rtol=1e-5)
    tied = np.asarray(xb.explain("monotone_transform", base="constant", transform="ranks", **given(data)))
    np.testing.assert_allclose(tied, 0.5)


def test_what_a_transform_is_not_for_is_refused() -> None:
    data = white_box(seed=6, **SMALL)
    for name in ("oracle", "monotone_transform"):
        with pytest.raises(xb.UsageError, match=name):
            xb.explain("monotone_transform", base=name, **given(data))
    with pytest.raises(xb.UsageError, match="unknown explainer"):
        xb.explain("monotone_transform", base="integrated_gradient", **given(data))
    with pytest.raises(xb.UnsupportedError, match="takes built-in explainers"):
        xb.explain("monotone_transform", base="captum:Saliency", **given(data))
    box = {**given(data), "model": lambda x: x.reshape(len(x), -1)[:, :1]}
    with pytest.raises(xb.UnsupportedError, match="needs gradients"):
        xb.explain("monotone_transform", base="gradient", **box)
    with pytest.raises(xb.UnsupportedError, match="sensor 10"):
        xb.explain("fixed_sensors", sensors=[1, 10], **given(data))
    plain = Data("series", data.train_inputs, data.train_targets, data.test_inputs, data.test_targets)
    with pytest.raises(xb.UsageError, match="relevant cells"):
        sum_of_squares(plain)


def test_fixed_sensors_are_the_same_everywhere() -> None:
    data = white_box(seed=6, **SMALL)
    maps = np.asarray(xb.explain("fixed_sensors", sensors=[1, 4], **given(data)))
    expected = np.zeros_like(maps)
    expected[:, :, [1, 4]] = 1
    np.testing.assert_array_equal(maps, expected)


def test_draws_of_the_two_kinds_differ() -> None:
    first, second = (generator("draws", "white_box", rare, 0).standard_normal(3) for rare in ("feature", "time"))
    assert not np.array_equal(first, second)
    assert torch.is_tensor(SumOfSquares(np.ones((2, 2), dtype=bool))(torch.ones(1, 2, 2)))
