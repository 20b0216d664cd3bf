"""Information bottleneck attribution: the information itself, its limits, and a hand-written loop."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.builders import cnn, make_inputs, make_view
from helpers.cam_nets import build
from helpers.cam_transformers import ViT
from helpers.explainer_cases import run
from torch import nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import TorchPredictor
from xaibench.explainers.information_bottleneck import information

SHAPE = (3, 8, 8)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(64, 3),
    ).eval()  # fmt: skip


def view_of(n=3, model=None):
    return make_view(model or net(), 2 * make_inputs(SHAPE, n), background=2 * make_inputs(SHAPE, 20, seed=3))


def test_information_is_a_divergence_of_normal_numbers():
    r, share = torch.linspace(-3, 3, 7).double(), torch.tensor([0.0, 0.1, 0.5, 0.9, 0.99, 0.3, 0.7]).double()
    here = torch.distributions.Normal(share * r, 1 - share)
    expected = torch.distributions.kl_divergence(here, torch.distributions.Normal(torch.zeros(7).double(), 1))
    torch.testing.assert_close(information(r, share), expected)
    assert information(r, share)[0] == 0
    assert (information(torch.randn(1000), torch.rand(1000) * 0.999) >= -1e-6).all()


def smoothed(share):
    """A Gaussian of one cell, five cells to each side, edges replicated."""
    offsets = torch.arange(-4.0, 5.0)
    kernel = torch.exp(-(offsets**2) / 2)
    kernel = kernel / kernel.sum()
    n, k, h, w = share.shape
    flat = functional.pad(share.reshape(n * k, 1, h, w), (4, 4, 4, 4), mode="replicate")
    flat = functional.conv2d(functional.conv2d(flat, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return flat.view(n, k, h, w)


def test_one_step_by_hand():
    view = view_of(2)
    model = view.model.module
    features = model[:5](view.inputs).detach()
    other = model[:5](view.background).detach()
    mean, deviation = other.mean((0, 2, 3)).view(-1, 1, 1), other.std((0, 2, 3), correction=0).view(-1, 1, 1)
    noise = view.draws("explain").normal((10, 4, 4, 4))
    alpha = torch.full_like(features, 5.0).requires_grad_(True)
    share = smoothed(torch.sigmoid(alpha))
    mixed = share[:, None] * features[:, None] + (1 - share[:, None]) * (mean + deviation * noise)
    logits = model[5:](mixed.flatten(0, 1)).view(2, 10, 3)
    chance = logits.log_softmax(2).gather(2, view.targets[:, None, None].expand(2, 10, 1))
    r = (features - mean) / deviation
    kl = -torch.log(1 - share) + ((1 - share) ** 2 + (share * r) ** 2 - 1) / 2
    loss = -chance.mean((1, 2)) + 10 * kl.mean((1, 2, 3))
    (gradient,) = torch.autograd.grad(loss.sum(), alpha)
    moved = smoothed(torch.sigmoid(5.0 - gradient / (gradient.abs() + 1e-8)))
    kl = -torch.log(1 - moved) + ((1 - moved) ** 2 + (moved * r) ** 2 - 1) / 2
    bits = kl.sum(1, keepdim=True).detach() / math.log(2)
    expected = functional.interpolate(bits, (8, 8), mode="bilinear")[:, 0]
    torch.testing.assert_close(run("iba", view, steps=1), expected, rtol=1e-4, atol=1e-4)


def test_nothing_passes_where_information_is_dear():
    view = view_of()
    assert run("iba", view, beta=1e4, steps=200).max() < 1e-3
    assert run("iba", view, beta=0.0).max() > 1


def test_a_channel_that_is_constant_on_the_background_holds_no_information():
    model = net()
    with torch.no_grad():
        model[3].weight[1:] = 0
        model[3].bias[1:] = 1
    view = view_of(model=model)
    features = model[:5](view.inputs)[:, 0]
    found = run("iba", view, steps=3)
    assert torch.isfinite(found).all()
    assert features.abs().max() > 0


def test_samples_are_apart_and_tokens_have_maps():
    view = view_of(3)
    together = run("iba", view)
    torch.testing.assert_close(run("iba", view.take(slice(1, 2))), together[1:2], rtol=1e-4, atol=1e-4)
    inputs = make_inputs((3, 16, 16), 2)
    found = run("iba", make_view(build(ViT), inputs, background=make_inputs((3, 16, 16), 8, seed=1)), steps=2)
    assert found.shape == (2, 16, 16)
    assert (found > 0).any()


def test_values_have_no_class_and_a_background_is_needed():
    inputs = make_inputs(SHAPE, 2)
    with pytest.raises(UnsupportedError, match="probability"):
        run("iba", make_view(TorchPredictor(net(), "value"), inputs, background=inputs))
    with pytest.raises(UnsupportedError, match="background"):
        run("iba", make_view(cnn(SHAPE), inputs))
