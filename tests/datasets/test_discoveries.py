"""Planted discoveries: the distributions, the functions, and gates that notice what breaks the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.predictor import TorchPredictor
from xaibench.datasets.discoveries import Replacement, interesting_features
from xaibench.datasets.images import digits
from xaibench.models.discoveries import exact_function, mlp_regressor

TASKS = ("nn", "disc")


def made(task: str, **params: int) -> Data:
    return interesting_features(seed=3, task=task, **{"n_train": 500, "n_test": 1500, **params})  # type: ignore[arg-type]


@pytest.mark.parametrize("task", TASKS)
def test_features_follow_the_two_distributions(task: str) -> None:
    data = made("nn")
    assert data.test_mask.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / data.test_mask.size))
    assert kstest(data.test_inputs[~data.test_mask], norm.cdf).pvalue > 0.001
    assert kstest(data.test_inputs[data.test_mask], norm(loc=4).cdf).pvalue > 0.001
    background = made(task).background
    assert kstest(background.ravel(), norm.cdf).pvalue > 0.001


def test_a_feature_of_a_pair_is_true_if_it_is_interesting_and_its_partner_active() -> None:
    data = made("disc", n_test=300)
    active = np.abs(data.test_inputs) >= 3
    loose = 0
    for row, mask, on in zip(data.test_inputs, data.test_mask, active, strict=True):
        for j in range(100):
            partner = (j + 50) % 100
            assert not (mask[j] and not on[partner])
            loose += bool(mask[j] and not on[j])
            if on[partner] and row[j] > 5:  # surely from N(4, 1)
                assert mask[j]
    assert loose / data.test_mask.sum() == pytest.approx(norm.cdf(-1), abs=0.03), "interesting and below 3"


@pytest.mark.parametrize("task", TASKS)
def test_the_exact_function_gives_the_values(task: str) -> None:
    data = made(task)
    x = data.test_inputs
    expected = np.abs(x).sum(axis=1)
    if task == "disc":
        w = data.facts["weights"]
        assert w.min() > 0.5
        expected = sum(w[j] * ((np.abs(x[:, j]) >= 3) & (np.abs(x[:, j + 50]) >= 3)) for j in range(50))
    np.testing.assert_allclose(data.test_values, expected, rtol=1e-5)
    leaf = torch.from_numpy(x).requires_grad_(True)
    out = exact_function(data)(leaf)
    np.testing.assert_allclose(out[:, 0].detach(), expected, rtol=1e-5)
    (slope,) = torch.autograd.grad(out.sum(), leaf)
    assert torch.equal(slope, leaf.detach().sign() if task == "nn" else torch.zeros_like(leaf))


def test_models_refuse_other_data() -> None:
    other = digits(seed=0)
    for recipe in (exact_function, mlp_regressor):
        with pytest.raises(UsageError):
            recipe(other, **({} if recipe is exact_function else {"seed": 0}))


@pytest.mark.slow
def test_the_network_learns_numbers_and_leaves_the_global_generator_alone() -> None:
    data = made("nn", n_train=10_000)
    before = torch.get_rng_state()
    net = mlp_regressor(data, seed=0, epochs=6)
    assert torch.equal(before, torch.get_rng_state())
    with torch.no_grad():
        error = net(torch.from_numpy(data.test_inputs))[:, 0].numpy() - data.test_values
    assert 1 - error.var() / data.test_values.var() > 0.8


class Changed(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "signless":
            return x.abs().sum(1, keepdim=True)
        return -x.abs().sum(1, keepdim=True) if self.kind == "inverted" else x[:, :5].abs().sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("kind", "passed"), [("signless", (True, True)), ("inverted", (False, True)), ("few", (False, True))]
)
def test_gates_notice_models_for_which_the_truth_is_none(kind: str, passed: tuple[bool, bool]) -> None:
    found = Replacement().measure(TorchPredictor(Changed(kind), "value"), made("nn"))
    assert tuple(g.passed for g in found.gates) == passed


def test_gates_notice_a_background_that_is_not_the_null() -> None:
    data = made("nn")
    data.background[:] += 1.5
    found = Replacement().measure(TorchPredictor(Changed("signless"), "value"), data)
    assert [g.passed for g in found.gates] == [True, False]
