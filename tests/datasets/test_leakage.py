"""Data of the theory of feature leakage: what they hold, and that trained networks leak where they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.datasets.leakage import leakage_blocks, leakage_onehot
from xaibench.models.adapters import as_predictor
from xaibench.models.robust import one_hidden, robust_one_hidden


def gradient(net: torch.nn.Module, data: Data) -> np.ndarray:
    """Magnitudes of the margin's gradient for the true class."""
    inputs = torch.from_numpy(data.test_inputs).requires_grad_()
    sign = 2 * torch.from_numpy(data.test_targets) - 1
    raw = net(inputs)
    (found,) = torch.autograd.grad((sign * (raw[:, 1] - raw[:, 0])).sum(), inputs)
    return found.abs().numpy()


def gates(net: torch.nn.Module, data: Data) -> dict[str, bool]:
    predictor = as_predictor(net, returns="logit")
    predicted = predictor.predict(torch.from_numpy(data.test_inputs)).argmax(dim=1).numpy()
    return {g.name: g.passed for g in measure_gates(data, predictor, (predicted == data.test_targets).mean()).gates}


def test_one_hot_inputs_are_signed_unit_vectors_each_once() -> None:
    data = leakage_onehot(seed=0)
    assert data.test_inputs.shape == (20, 10)
    assert len(np.unique(data.test_inputs, axis=0)) == 20
    assert (abs(data.test_inputs).sum(axis=1) == 1).all()
    assert (data.test_inputs.sum(axis=1) == 2 * data.test_targets - 1).all()
    assert (data.test_mask == (data.test_inputs != 0)).all()
    assert (data.test_distractors == ~data.test_mask).all()
    _, counts = np.unique(data.train_inputs, axis=0, return_counts=True)
    assert counts.tolist() == [20] * 20


@pytest.mark.parametrize("position", ["random", "fixed"])
def test_a_block_holds_the_class_and_others_hold_noise(position: str) -> None:
    data = leakage_blocks(seed=3, position=position, n_train=600, n_test=400, noise=0.01)
    rows, places = np.nonzero(data.test_mask.all(axis=2))
    assert rows.tolist() == list(range(400))
    assert set(places) == (set(range(5)) if position == "random" else {0})
    sign = 2.0 * data.test_targets - 1
    signal = data.test_inputs[rows, places] * sign[:, None]
    u = signal.mean(axis=0)
    assert np.linalg.norm(u) == pytest.approx(1, abs=0.01)
    outside = data.test_inputs[~data.test_mask]
    assert (signal - u).std() == pytest.approx(0.01, rel=0.1)
    assert outside.std() == pytest.approx(0.01, rel=0.1)
    assert abs(outside).max() < 0.06
    assert (np.nonzero(data.train_mask.all(axis=2))[1] < 5).all()


def test_distractors_are_the_other_blocks_that_could_hold_the_class() -> None:
    data = leakage_blocks(seed=0, n_test=100)
    assert not (data.test_distractors & data.test_mask).any()
    assert (data.test_distractors | data.test_mask)[:, :5].all()
    assert not (data.test_distractors | data.test_mask)[:, 5:].any()


def test_interventions_change_what_they_say() -> None:
    data = leakage_blocks(seed=0, n_test=100)
    redrawn, flipped, erased = data.interventions
    inside = data.test_mask
    assert (redrawn.inputs[inside] == data.test_inputs[inside]).all()
    assert (redrawn.inputs[~inside] != data.test_inputs[~inside]).mean() > 0.99
    assert (erased.inputs[~inside] == data.test_inputs[~inside]).all()
    assert abs(erased.inputs).max() < 0.3
    np.testing.assert_allclose(erased.inputs * 2, data.test_inputs + flipped.inputs, atol=1e-6)
    assert (flipped.targets == 1 - data.test_targets).all()
    (moved,) = leakage_onehot(seed=0).interventions
    assert (moved.inputs.sum(axis=1) == 2 * moved.targets - 1).all()
    assert ((moved.inputs != 0) == leakage_onehot(seed=0).test_mask).all()
    assert not np.signbit(np.where(moved.inputs == 0, moved.inputs, 1)).any(), "zeros tell the sign"


def test_seeds_share_the_one_hot_inputs_and_not_their_draws() -> None:
    """Draws are keyed by the rows: the random control of one seed must not be that of another."""
    rows = [leakage_onehot(seed=s).test_rows for s in range(3)]
    assert len({row.tobytes() for seed in rows for row in seed}) == 60
    inputs = [np.unique(leakage_onehot(seed=s).test_inputs, axis=0) for s in range(3)]
    assert (inputs[0] == inputs[1]).all()
    assert (inputs[0] == inputs[2]).all()


@pytest.mark.slow
@pytest.mark.parametrize(("make", "low", "high"), [(one_hidden, 0, 0.1), (robust_one_hidden, 0.95, 1)])
def test_only_a_robust_network_points_at_the_one_hot_signal(make: object, low: float, high: float) -> None:
    data = leakage_onehot(seed=5)
    net = make(data, seed=5)  # type: ignore[operator]
    passed = gates(net, data)
    assert len(passed) == 2
    assert all(passed.values()), passed
    largest = gradient(net, data).argmax(axis=1)
    assert low <= data.test_mask[np.arange(20), largest].mean() <= high


@pytest.mark.slow
def test_gradients_leak_into_blocks_that_could_hold_the_class_only() -> None:
    for position, low, high in (("random", 0.9, 1.1), ("fixed", 0, 0.2)):
        data = leakage_blocks(seed=4, position=position)
        net = one_hidden(data, seed=4)
        passed = gates(net, data)
        assert len(passed) == 4
        assert all(passed.values()), passed
        norms = np.linalg.norm(gradient(net, data), axis=2)
        place = data.test_mask[:, :, 0]
        others = np.sqrt((norms**2 * data.test_distractors[:, :, 0]).sum(axis=1) / 4)
        assert low <= np.median(others / norms[place]) <= high
        assert np.median(norms[:, 5:].mean(axis=1) / norms[place]) < 0.25, "noise blocks"
