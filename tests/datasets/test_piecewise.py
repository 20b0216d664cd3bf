"""The generated functions have the contributions, the slopes and the bump that they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xaibench.core.errors import UsageError
from xaibench.core.predictor import TorchPredictor
from xaibench.datasets.piecewise import BEYOND, JITTER, knots, piecewise
from xaibench.models.analytic import PiecewiseLinear, clusterwise, piecewise_linear
from xaibench.models.networks import softmax_regression


def by_hand(slopes: np.ndarray, starts: np.ndarray, x: float) -> float:
    """One function at one point: the slopes, integrated from 0, cell by cell."""
    if x <= 0:
        return float(slopes[0] * x)
    ends = [*starts[1:], np.inf]
    return float(sum(s * (min(x, e) - b) for s, b, e in zip(slopes, starts, ends, strict=True) if x > b))


def test_the_model_is_the_sum_of_the_integrated_slopes() -> None:
    data = piecewise(seed=3, cells=4, features=5, functions=3)
    slopes, starts = data.facts["slopes"].astype(float), data.facts["knots"].astype(float)
    rng = np.random.default_rng(0)
    inputs = np.concatenate([rng.uniform(-3, 20, (40, 5)), np.tile(starts[:, None], 5), data.test_inputs])
    inputs = inputs.astype(np.float32)
    expected = [[sum(by_hand(slopes[c, j], starts, x[j]) for j in range(5)) for c in range(3)] for x in inputs]
    found = TorchPredictor(piecewise_linear(data)).predict(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_slopes_are_the_gradient() -> None:
    data = piecewise(seed=1, cells=6, features=8, functions=4)
    module = piecewise_linear(data)
    assert isinstance(module, PiecewiseLinear)
    inputs = torch.from_numpy(data.test_inputs).requires_grad_(True)
    targets = torch.from_numpy(data.test_targets)
    module(inputs).gather(1, targets.unsqueeze(1)).sum().backward()
    np.testing.assert_allclose(inputs.grad, module.slopes(inputs, targets), rtol=1e-6)
    own = data.facts["slopes"][data.test_targets, :, 5]
    np.testing.assert_array_equal(module.slopes(inputs, targets), own)


@pytest.mark.parametrize("cells", [1, 2, 10])
def test_samples_lie_in_the_middle_of_their_last_cell(cells: int) -> None:
    data = piecewise(seed=0, cells=cells, features=6, functions=3)
    assert abs(data.test_inputs - cells).max() <= JITTER * 1.001
    starts = knots(cells)
    assert len(starts) == cells + BEYOND
    assert starts[cells - 1] == cells - 1
    assert starts[cells] == cells + 1


def test_bump_makes_contributions_equal_and_local_slopes_opposite() -> None:
    data = piecewise(seed=2, cells=5, features=10, functions=6, bump=True)
    slopes, starts = data.facts["slopes"].astype(float), data.facts["knots"].astype(float)
    row_of = np.argsort(data.test_targets)
    for c in range(6):
        sample = data.test_inputs[row_of[c]].astype(float)
        assert [by_hand(slopes[c, j], starts, sample[j]) for j in range(10)] == pytest.approx([1] * 10, abs=1e-5)
        assert (slopes[c, :, 4] > 0).sum() == 5
    np.testing.assert_array_equal(slopes[::2, :, 4], -slopes[1::2, :, 4])
    # Only one cell strictly between makes up for it: everything else is the same in a pair.
    changed = (slopes[::2] != slopes[1::2]).any(axis=(0, 1))
    assert set(np.flatnonzero(changed)) == {2, 4}
    assert 0 < starts[2] < starts[3] < 5 - JITTER


def test_flat_features_are_flat_in_the_last_cell_only() -> None:
    slopes = piecewise(seed=2, cells=5, features=200, functions=10, flat=0.5).facts["slopes"]
    assert np.mean(slopes[..., 4] == 0) == pytest.approx(0.5, abs=0.05)
    assert (np.delete(slopes, 4, axis=2) != 0).all()


@pytest.mark.parametrize("wrong", [{"cells": 2}, {"features": 5}, {"functions": 3}, {"flat": 0.1}])
def test_no_room_for_a_bump(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="bump needs"):
        piecewise(**{"seed": 0, "cells": 5, "features": 4, "functions": 4, "bump": True, **wrong})


def test_models_made_of_facts_refuse_data_without_them() -> None:
    data = piecewise(seed=0, cells=2, features=4, functions=2)
    with pytest.raises(UsageError, match="centres, weights, threshold"):
        clusterwise(data)
    assert softmax_regression(data, seed=0, epochs=1) is not None
