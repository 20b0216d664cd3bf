"""Meaningful perturbation: the patches that carry an additive output are the ones that are removed."""

from __future__ import annotations

import pytest
import torch
from helpers.builders import cnn, make_inputs, make_view
from helpers.explainer_cases import run
from torch import nn

from xaibench.core.predictor import TorchPredictor


class Patches(nn.Module):
    """The value of an image of ones: weighted means of its 4x4 patches."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x):
        return (nn.functional.avg_pool2d(x, 4) * self.weights).sum((1, 2, 3))[:, None]


def of_patches(weights, n=2):
    net = Patches(torch.tensor(weights)).eval()
    zero = torch.zeros(n, dtype=torch.int64)
    return make_view(TorchPredictor(net, "value"), torch.ones(n, 1, 16, 16), targets=zero)


@pytest.mark.slow
def test_the_patches_that_carry_the_output_are_removed():
    weights = torch.zeros(4, 4)
    weights[0, 1] = weights[2, 2] = 1.0
    found = run("meaningful_perturbation", of_patches(weights.tolist()), masker="zero", smoothness=0.05)
    means = nn.functional.avg_pool2d(found[:, None], 4)[0, 0]
    # A patch of 4 of 64 cells is worth 1 and costs 4 / 64 to remove; one that carries nothing only costs.
    assert set(means.flatten().topk(2).indices.tolist()) == {1, 10}
    assert means[0, 1] > 0.8
    assert means[2, 2] > 0.8
    assert means[3, 0] < 0.1


def test_a_constant_output_has_a_flat_map():
    found = run("meaningful_perturbation", of_patches([[0.0] * 4] * 4), masker="zero", steps=5)
    assert found.abs().max() == 0


def test_prices_decide_what_is_removed():
    view = of_patches([[1.0] * 4] * 4)
    assert run("meaningful_perturbation", view, masker="zero", steps=30, area=100.0).max() < 0.01
    assert run("meaningful_perturbation", view, masker="zero", steps=30, area=0.0).min() > 0.95


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_a_sample_alone_has_its_map_and_probabilities_are_measured(output):
    inputs = make_inputs((3, 24, 20), 3)
    view = make_view(cnn((3, 24, 20)), inputs, output=output)
    together = run("meaningful_perturbation", view, steps=4)
    assert together.shape == (3, 24, 20)
    torch.testing.assert_close(
        run("meaningful_perturbation", view.take(slice(1, 2)), steps=4), together[1:2], rtol=1e-4, atol=1e-4
    )
    other = make_view(cnn((3, 24, 20)), inputs)
    torch.testing.assert_close(run("meaningful_perturbation", other, steps=4), together, rtol=1e-4, atol=1e-4)
