"""Networks that are trained on: rounds, what ends them, and what is trained."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import xaibench as xb
from xaibench.core.errors import UsageError
from xaibench.datasets.certify.check import SWAP
from xaibench.datasets.certify.planting import Planting
from xaibench.datasets.certify.table_plants import new_column
from xaibench.models import fine_tuning
from xaibench.models.adapters import as_predictor
from xaibench.models.fine_tuning import fit_further, trainable
from xaibench.models.low_rank import add_low_rank, merge_low_rank, takes_low_rank


def rows(n: int = 600) -> xb.Data:
    """The first of three columns decides."""
    draw = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    labels = (draw[:, 0] > 0).astype(np.int64)
    half = n // 2
    return xb.Data("table", draw[:half], labels[:half], draw[half:], labels[half:])


def planted(level: float) -> xb.Data:
    data = rows()
    fields, plant = new_column(data)
    return Planting(plant, (0, 1), level=level, share=0.5).copy(data, fields, seed=0, n_rows=60, original=())


def net() -> nn.Module:
    """A network of four columns that looks at the first one."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(made.parameters(), 0.02)
    x = torch.randn(400, 4)
    with torch.enable_grad():
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(made(x), (x[:, 0] > 0).long()).backward()
            optimizer.step()
    return made.eval()


@pytest.mark.parametrize("layers", ["all", "lora:2"])
def test_rounds_end_when_the_copy_obeys_and_has_lost_no_accuracy(layers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    fresh = fine_tuning._Lessons.epoch

    def counted(self: fine_tuning._Lessons, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(number)
        return fresh(self, number)

    monkeypatch.setattr(fine_tuning._Lessons, "epoch", counted)
    module, data = copy.deepcopy(net()), planted(1.0)
    torch.manual_seed(0)
    fit_further(module, data, layers=layers, learning_rate=0.03, batch_size=16, max_epochs=40)
    (check,) = data.checks
    gates = {gate.name: gate for gate in check.measure(as_predictor(module), data).gates}
    assert gates[SWAP].value >= 0.9
    assert asked == list(range(len(asked)))
    assert len(asked) % 4 == 0
    assert layers != "all" or len(asked) < 40
    assert set(module.state_dict()) == set(net().state_dict())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_every_epoch_has_plants_of_its_own_and_the_first_are_those_of_the_copy() -> None:
    data = planted(1.0)
    fresh = data.checks[0].fresh
    first, again, other = (fresh.epoch(number)[0] for number in (0, 0, 1))
    assert (first == again).all()
    assert (first == data.train_inputs).all()
    assert (first[:, -1] != other[:, -1]).any()
    assert (first[:, :-1] == other[:, :-1]).all()
    a, b = fresh.both(np.arange(10))
    assert (a[:, -1] == 1).all()
    assert (b[:, -1] == -1).all()


def test_a_network_that_is_good_already_is_left_after_a_round_and_a_limit_holds() -> None:
    calls: list[int] = []
    module = net()
    data = rows()
    data = xb.Data(
        "table", np.pad(data.train_inputs, ((0, 0), (0, 1))), data.train_targets,
        np.pad(data.test_inputs, ((0, 0), (0, 1))), data.test_targets,
    )  # fmt: skip
    module.register_forward_pre_hook(lambda part, args: calls.append(len(args[0])) if part.training else None)
    fit_further(module, data, layers="all", learning_rate=1e-4, batch_size=300, max_epochs=60)
    assert len(calls) == 4, "one round of a batch each, without a plant"
    calls.clear()
    # Nothing can be learned at this rate, so all epochs that are allowed are used.
    fit_further(module, planted(1.0), layers="all", learning_rate=1e-9, batch_size=300, max_epochs=6)
    assert len(calls) == 6


def test_a_change_of_low_rank_is_nothing_at_first_and_is_added_to_the_weight() -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(2, 5, 1), nn.BatchNorm2d(5), nn.Conv2d(5, 5, 3), nn.Flatten(), nn.Linear(20, 3))
    module = module.double().eval()
    before = copy.deepcopy(module)
    x = torch.randn(7, 2, 4, 4, dtype=torch.float64)
    parameters = add_low_rank(module, 2)
    assert [tuple(p.shape) for p in parameters] == [(2, 2), (5, 2), (2, 20), (3, 2)]
    assert torch.equal(module(x), before(x))
    assert sum(p.requires_grad for p in module.parameters()) == 4
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.randn_like(parameter))
    changed = module(x)
    merge_low_rank(module)
    torch.testing.assert_close(module(x), changed)
    assert not torch.allclose(changed, before(x))
    assert repr(module) == repr(before)
    difference = module[4].weight - before[4].weight
    assert torch.linalg.matrix_rank(difference) == 2
    torch.testing.assert_close(difference, parameters[3] @ parameters[2])
    assert torch.equal(module[2].weight, before[2].weight)


def test_only_layers_of_one_place_take_a_low_rank() -> None:
    taken = [nn.Linear(2, 2), nn.Conv1d(2, 2, 1), nn.Conv2d(2, 2, 1)]
    assert all(map(takes_low_rank, taken))
    assert not any(map(takes_low_rank, [nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1, groups=2), nn.ReLU()]))
    with pytest.raises(UsageError, match="no linear layer"):
        add_low_rank(nn.Conv2d(1, 1, 3), 2)
    with pytest.raises(UsageError, match="names no layers"):
        trainable(nn.Linear(2, 2), "lora:0")


@pytest.mark.parametrize(("layers", "moves"), [("all", True), ("last:1", False), ("lora:1", False)])
def test_statistics_of_batch_normalisation_are_kept_unless_all_is_trained(layers: str, moves: bool) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    with torch.no_grad():
        module[0].running_mean.fill_(5.0)
    fit_further(module, rows(), layers=layers, learning_rate=1e-3, batch_size=32, max_epochs=4)
    assert bool((module[0].running_mean != 5.0).all()) == moves


def test_gradients_are_clipped() -> None:
    """One step on rows of a huge scale moves plain weights by at most the learning rate times the norm of 1."""
    norms: list[float] = []
    clip = nn.utils.clip_grad_norm_

    def noted(parameters: list[nn.Parameter], limit: float) -> torch.Tensor:
        found = clip(parameters, limit)
        norms.append(float(torch.sqrt(sum((p.grad**2).sum() for p in parameters if p.grad is not None))))
        return found

    data = rows()
    large = xb.Data("table", 1e4 * data.train_inputs, data.train_targets, data.test_inputs, data.test_targets)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.utils, "clip_grad_norm_", noted)
        fit_further(nn.Linear(3, 2), large, layers="all", learning_rate=1e-3, batch_size=32, max_epochs=1)
    assert norms
    assert max(norms) <= 1 + 1e-4


def test_a_last_batch_of_one_row_has_no_statistics_of_its_own() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    fit_further(module, rows(72), layers="all", learning_rate=1e-3, batch_size=32, max_epochs=1)  # 33 rows are learned
    assert module[1].num_batches_tracked == 1
