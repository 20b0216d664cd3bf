from __future__ import annotations

import pytest
import torch
from helpers.builders import make_data
from torch import nn

from xaibench.core.errors import UsageError
from xaibench.models.training import Weights, known_weights, train


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Dropout(0.2))


def test_progress_is_told_after_every_epoch():
    told: list[tuple[int, int, str]] = []
    train(build, make_data(), seed=0, epochs=3, progress=lambda *a: told.append(a))
    assert [t[:2] for t in told] == [(1, 3), (2, 3), (3, 3)]
    losses = [float(t[2].removeprefix("loss ")) for t in told]
    assert losses[2] < losses[0]


def test_training_works_where_gradients_are_switched_off():
    with torch.no_grad():
        silent = train(build, make_data(), seed=0, epochs=1)
        assert not torch.is_grad_enabled()
    loud = train(build, make_data(), seed=0, epochs=1)
    assert torch.equal(silent[1].weight, loud[1].weight)


def test_known_weights_are_taken_once_and_only_if_they_fit():
    data = make_data()
    trained = train(build, data, seed=0, epochs=1)
    weights = Weights({name: t.clone() for name, t in trained.state_dict().items()})
    with known_weights(weights):
        taken = train(build, data, seed=5, epochs=1)
        other = train(build, data, seed=5, epochs=1)
    assert weights.used
    assert torch.equal(taken[1].weight, trained[1].weight)
    assert not torch.equal(other[1].weight, trained[1].weight)
    misfit = Weights({"1.weight": torch.zeros(3, 63), "1.bias": torch.zeros(3)})
    with known_weights(misfit):
        trained_anyway = train(build, data, seed=5, epochs=1)
    assert not misfit.used
    assert torch.equal(trained_anyway[1].weight, other[1].weight)


def test_no_epochs_is_a_usage_error():
    with pytest.raises(UsageError, match="epochs must be at least 1"):
        train(build, make_data(), seed=0, epochs=0)
