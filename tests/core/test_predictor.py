"""Predictors batch without changing numbers, and outputs are picked as they say."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, TABLE, cnn, linear, make_inputs, make_view
from torch import Tensor, nn

from xaibench.core.batch_rule import RECURRENT_BATCH, STATE_BUDGET
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.outputs import select_output
from xaibench.core.predictor import CallablePredictor, TorchPredictor, activation_bytes


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_change_nothing_beyond_rounding(batch_size: int) -> None:
    net, x = cnn(), make_inputs(IMAGE, 10)
    with torch.no_grad():
        expected = net(x)
    torch.testing.assert_close(TorchPredictor(net, batch_size=batch_size).predict(x), expected, rtol=1e-4, atol=1e-5)


def test_evaluations_are_counted() -> None:
    predictor = TorchPredictor(linear(TABLE))
    predictor.predict(make_inputs(TABLE, 7))
    predictor.forward(make_inputs(TABLE, 2))
    assert predictor.n_evaluations == 9


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_in_float64_the_batch_does_not_show(shift: float) -> None:
    net, x = cnn(), make_inputs(IMAGE, 10)
    predictor = TorchPredictor(net).shifted(shift) if shift else TorchPredictor(net)
    exact = predictor.in_float64(x)
    with torch.no_grad():
        expected = copy.deepcopy(net).double()(x.double() - shift)
    assert exact.predict(x).dtype == torch.float64
    for size in (1, 3, 10):
        found = torch.cat([exact.predict(part) for part in torch.split(x, size)])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    assert all(p.dtype == torch.float32 for p in net.parameters())
    assert not net._forward_pre_hooks
    assert 1 <= exact.batch_size(x) <= predictor.batch_size(x)
    assert predictor.predict(x).dtype == torch.float32


class Insists(nn.Module):
    """Computes in float32 at the end, somewhere in between, or with a constant that stays float32."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where, self.linear, self.constant = where, nn.Linear(6, 3), torch.ones(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        if self.where == "between":
            x = torch.tanh(x.float()).to(x.dtype)
        if self.where == "constant":
            x = x @ self.constant
        out: Tensor = self.linear(x)
        return out.float() if self.where == "end" else out


@pytest.mark.parametrize("where", ["end", "between", "constant"])
def test_models_that_insist_on_float32_stay_as_they_are(where: str) -> None:
    predictor = TorchPredictor(Insists(where).eval())
    assert predictor.in_float64(make_inputs(TABLE)) is predictor


def test_black_boxes_stay_as_they_are() -> None:
    box = CallablePredictor(lambda x: x.astype(float), "value")
    assert box.in_float64(make_inputs(TABLE)) is box


def test_activation_bytes_of_a_known_network() -> None:
    # The input (6), Flatten (6) and the logits (3), four bytes each.
    assert activation_bytes(linear(TABLE), make_inputs(TABLE, 1)) == 4 * (6 + 6 + 3)


def test_the_batch_rule_gives_a_power_of_two_and_fewer_samples_to_larger_models() -> None:
    small = TorchPredictor(linear(TABLE)).batch_size(make_inputs(TABLE))
    large = TorchPredictor(cnn((3, 64, 64))).batch_size(make_inputs((3, 64, 64)))
    assert small > large >= 1
    assert small & (small - 1) == 0


class Recurrent(nn.Module):
    def __init__(self, units: int, kind: type[nn.GRU] | type[nn.LSTM] | type[nn.RNN]) -> None:
        super().__init__()
        self.cell, self.head = kind(3, units, num_layers=2, batch_first=True), nn.Linear(units, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize(("steps", "units", "batch"), [(20, 4, 4096), (20, 128, 4096), (20, 256, 2048), (300, 64, 512)])
def test_batches_of_recurrent_networks_are_large_and_their_states_fit(
    kind: type[nn.GRU] | type[nn.LSTM] | type[nn.RNN], steps: int, units: int, batch: int
) -> None:
    found = TorchPredictor(Recurrent(units, kind).eval()).batch_size(torch.zeros(1, steps, 3))
    assert found == batch
    states = 2 * steps * units * 4
    assert found == RECURRENT_BATCH or STATE_BUDGET / 2 < found * states <= STATE_BUDGET


def test_outputs() -> None:
    raw, y = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([2])
    assert select_output(raw, y, "logit", "logit").item() == 2
    assert select_output(raw, y, "margin", "logit").item() == -1
    expected = np.exp(2) / np.exp([1, 3, 2]).sum()
    assert select_output(raw, y, "probability", "logit").item() == pytest.approx(expected)
    assert select_output(raw[:, :1], torch.tensor([0]), "value", "value").item() == 1
    with pytest.raises(UnsupportedError, match="output 'logit' is unavailable"):
        select_output(raw, y, "logit", "probability")


def test_gradients_of_a_linear_model_are_its_weights() -> None:
    net = linear(TABLE)
    view = make_view(net, make_inputs(TABLE, 5), batch_size=2)
    torch.testing.assert_close(view.gradients(view.inputs), net[1].weight[view.targets])  # type: ignore[index]


def test_callables_are_checked() -> None:
    with pytest.raises(UsageError, match="1 rows for 4 inputs"):
        CallablePredictor(lambda x: np.zeros((1, 2)), "probability").predict(make_inputs(TABLE, 4))
    with pytest.raises(UsageError, match=r"returned shape \(4, 2, 2\)"):
        CallablePredictor(lambda x: np.zeros((len(x), 2, 2)), "probability").predict(make_inputs(TABLE, 4))
    with pytest.raises(UsageError, match="at least 1"):
        TorchPredictor(linear(TABLE), batch_size=0)


def test_a_module_in_training_mode_is_copied_and_stays_as_it_is() -> None:
    net, x = cnn().train(), make_inputs(IMAGE, 10)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    predicted = TorchPredictor(net).predict(x)
    assert all(m.training for m in net.modules())
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items()), "batch norm must not have moved"
    with torch.no_grad():
        torch.testing.assert_close(predicted, net.eval()(x))
    assert TorchPredictor(net).module is net


def test_a_single_logit_is_refused_because_its_softmax_says_nothing() -> None:
    view = make_view(linear(TABLE, 1), make_inputs(TABLE))
    with pytest.raises(UsageError, match="a single logit per sample"):
        view.scores(view.inputs)


def test_models_that_change_their_inputs_in_place_do_no_harm() -> None:
    def shifts(x: np.ndarray) -> np.ndarray:
        x -= 1
        return np.stack([x.sum(axis=1), -x.sum(axis=1)], axis=1)

    x = make_inputs(TABLE, 10)
    before = x.clone()
    predictor = CallablePredictor(shifts, "logit", batch_size=4)
    for _ in range(2):
        torch.testing.assert_close(predictor.predict(x)[:, 0], before.sum(dim=1) - 6)
    assert torch.equal(x, before)
