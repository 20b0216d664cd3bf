"""The hidden-state series: their distribution, and gates that tell a model that reads the right sensor from others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xaibench as xb
from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.core.gates import Gate
from xaibench.core.predictor import TorchPredictor
from xaibench.datasets.hmm_state import MEANS, active_sensor, hmm_state
from xaibench.models.step_networks import gru_own_step


@pytest.fixture(scope="module")
def data() -> Data:
    return hmm_state(seed=0, n_train=20, n_test=40)


def test_sensors_have_the_means_and_variances_of_their_state(data: Data) -> None:
    states, x = data.facts["test_states"], data.test_inputs
    for state in (0, 1):
        rows = x[states == state].astype(np.float64)
        np.testing.assert_allclose(rows.mean(axis=0), MEANS[state], atol=5 * np.sqrt(0.801 / len(rows)))
        np.testing.assert_allclose(rows.var(axis=0), 0.801, atol=0.06)


def test_states_stay_as_long_as_they_should(data: Data) -> None:
    """State 0 leaves with probability .05; state 1 with .05 and 1/500 more for every step since it began."""
    states = data.facts["test_states"]
    before, after = states[:, :-1], states[:, 1:]
    left = (before != after)[before == 0].mean()
    assert left == pytest.approx(0.05, abs=0.015)
    age = np.zeros(states.shape, dtype=int)
    for t in range(1, states.shape[1]):
        age[:, t] = np.where(states[:, t] == states[:, t - 1], age[:, t - 1] + 1, 0)
    ones = before == 1
    expected = 0.05 + age[:, :-1][ones] / 500
    assert (before != after)[ones].mean() == pytest.approx(expected.mean(), abs=0.02)


def test_the_truth_is_the_sensor_that_the_label_follows(data: Data) -> None:
    states, labels, x = data.facts["test_states"], data.facts["test_labels"], data.test_inputs
    assert data.test_mask is not None
    assert (data.test_mask.sum(axis=2) == 1).all()
    assert not data.test_mask[..., 0].any()
    np.testing.assert_array_equal(data.test_mask.argmax(axis=2), states + 1)
    followed = x[data.test_mask].reshape(labels.shape)
    probability = 1 / (1 + np.exp(-2 * followed.astype(np.float64)))
    for low in np.arange(0, 1, 0.2):
        inside = (probability >= low) & (probability < low + 0.2)
        assert labels[inside].mean() == pytest.approx(probability[inside].mean(), abs=0.06)
    assert np.array_equal(data.test_context["series"], x)


class Rule(nn.Module):
    """Decides every step by one sensor: that of the true state, or the first of the two."""

    def __init__(self, data: Data, *, knows: bool) -> None:
        super().__init__()
        states = data.facts["test_states"] if knows else np.zeros_like(data.facts["test_states"])
        self.register_buffer("sensor", torch.from_numpy(active_sensor(states)))
        self.register_buffer("known", torch.from_numpy(data.test_inputs[:, :, 0].copy()))

    def step_outputs(self, series: Tensor) -> Tensor:
        # Series are told apart by sensor 0 at the steps that were not exchanged.
        distance = (series[:, None, :, 0] != self.known[None]).sum(dim=2)
        sensor = self.sensor[distance.argmin(dim=1)]
        value = series.gather(2, sensor.unsqueeze(2)).squeeze(2)
        return torch.stack([-value, value], dim=2)

    def forward(self, inputs: Tensor, series: Tensor) -> Tensor:
        return self.step_outputs(inputs).amax(dim=2).sum(dim=1, keepdim=True)


def gates(data: Data, module: nn.Module) -> tuple[Gate, ...]:
    return measure_gates(data, TorchPredictor(module.eval(), "value"), 1.0).gates


def test_gates_pass_for_the_rule_that_knows_the_state_and_fail_for_a_single_sensor(data: Data) -> None:
    right, wrong = gates(data, Rule(data, knows=True)), gates(data, Rule(data, knows=False))
    assert [gate.passed for gate in right] == [True] * 3
    assert right[0].value == pytest.approx(0.909, abs=0.02)
    assert right[1].value == right[2].value == 1
    assert not any(gate.passed for gate in wrong)


@pytest.mark.slow
def test_a_trained_network_passes_and_its_maps_beat_the_input() -> None:
    data = hmm_state(seed=0)
    model = gru_own_step(data, seed=0)
    found = gates(data, model)
    assert all(gate.passed for gate in found), found
    x = data.test_inputs[:16]
    given = {"model": model, "inputs": x, "context": {"series": x}, "features": "series"}
    maps = xb.explain("own_step_shapley", **given)
    truth = data.test_mask[:16]  # type: ignore[index]
    score = xb.score("auprc", attributions=maps, truth=truth, sign="absolute", **given).mean()
    placebo = xb.score("auprc", attributions=np.abs(x), truth=truth, sign="absolute", **given).mean()
    assert score > placebo + 0.1


def test_data_without_labels_of_steps_are_refused(data: Data) -> None:
    plain = Data("series", data.train_inputs, data.train_targets, data.test_inputs, data.test_targets)
    with pytest.raises(xb.UsageError, match="no labels of steps"):
        gru_own_step(plain, seed=0)
