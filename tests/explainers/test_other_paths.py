"""Gradients along other paths, squared and divided by probabilities; full gradients: closed forms and completeness."""

from __future__ import annotations

import pytest
import torch
from helpers.architectures import SEQUENCE, relu_networks
from helpers.builders import IMAGE, RGB, TABLE, cnn, linear, make_inputs, make_view, mlp
from helpers.explainer_cases import plain_cnn, run
from torch import nn
from torch.nn import functional

import xaibench as xb
from xaibench.cli.listing import show_component
from xaibench.core import registry
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.masking.maskers import gaussian_blur
from xaibench.core.predictor import TorchPredictor
from xaibench.suite.references import ComponentRef

CLOSE = {"rtol": 1e-4, "atol": 1e-6}
RELU = relu_networks()
SMOOTH = nn.Sequential(nn.Flatten(), nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)).eval()


def weights_of(model, view):
    return model[1].weight[view.targets].detach().view_as(view.inputs)


# Expected gradients have two names.


def test_expected_gradients_are_gradient_shap():
    assert registry.get("explainer", "expected_gradients") is registry.get("explainer", "gradient_shap")
    assert ComponentRef.of("explainer", "expected_gradients", {}) == ComponentRef.of("explainer", "gradient_shap", {})
    given = {"model": mlp(TABLE), "inputs": make_inputs(TABLE), "background": make_inputs(TABLE, 20, seed=1), "seed": 3}
    one, two = (xb.explain(name, **given) for name in ("expected_gradients", "gradient_shap"))
    assert (one == two).all()
    assert "expected_gradients" not in set(xb.components("explainer")["name"])


def test_the_second_name_can_be_shown(capsys):
    show_component("expected_gradients", plugins=None)
    assert capsys.readouterr().out.startswith("explainer gradient_shap")


# SmoothGrad-squared.


def test_smoothgrad_squared_is_the_variance_plus_the_squared_mean():
    view = make_view(plain_cnn(), make_inputs(IMAGE))
    params = {"n_samples": 13, "radius": 0.4}
    expected = run("vargrad", view, **params) + run("smoothgrad", view, **params).square()
    torch.testing.assert_close(run("smoothgrad_squared", view, **params), expected, rtol=1e-5, atol=1e-8)
    draws = view.draws("explain")
    noise = draws.normal((13, *IMAGE))
    each = [view.gradients(view.inputs + 0.4 * noise[:, k]).square() for k in range(13)]
    torch.testing.assert_close(run("smoothgrad_squared", view, **params), torch.stack(each).mean(0).sum(1), **CLOSE)


def test_smoothgrad_squared_of_a_linear_model():
    model = linear(RGB)
    view = make_view(model, make_inputs(RGB))
    torch.testing.assert_close(run("smoothgrad_squared", view), weights_of(model, view).square().sum(1), **CLOSE)


# Blur IG.


def test_blur_ig_of_a_linear_model():
    model = linear(RGB)
    view = make_view(model, make_inputs(RGB))
    way = view.inputs - gaussian_blur(view.inputs, view.layout, sigma=2.0)
    torch.testing.assert_close(run("blur_ig", view, steps=3), (weights_of(model, view) * way).sum(1), **CLOSE)
    way = view.inputs - gaussian_blur(view.inputs, view.layout, sigma=5.0)
    torch.testing.assert_close(
        run("blur_ig", view, steps=3, max_sigma=5.0), (weights_of(model, view) * way).sum(1), **CLOSE
    )


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_blur_ig_is_complete(output):
    view = make_view(cnn(RGB), make_inputs(RGB), output=output)
    gap = view.scores(view.inputs) - view.scores(gaussian_blur(view.inputs, view.layout, sigma=2.0))
    total = run("blur_ig", view, steps=128).flatten(1).sum(1)
    assert ((total - gap).abs() < 0.02 * gap.abs() + 1e-3).all()


def test_blur_ig_needs_an_image_and_a_width():
    with pytest.raises(UsageError, match="max_sigma"):
        run("blur_ig", make_view(cnn(RGB), make_inputs(RGB)), max_sigma=-1.0)
    with pytest.raises(UnsupportedError, match="image"):
        xb.explain("blur_ig", model=mlp(TABLE), inputs=make_inputs(TABLE))


# Guided IG.


@pytest.mark.parametrize("shape", [TABLE, RGB])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 1.0])
def test_guided_ig_of_a_linear_model(shape, fraction):
    model = linear(shape)
    view = make_view(model, make_inputs(shape), background=make_inputs(shape, 9, seed=2))
    for baseline in ("zero", "mean"):
        expected = view.layout.reduce(weights_of(model, view) * (view.inputs - view.baseline(baseline)))
        found = run("guided_ig", view, steps=7, fraction=fraction, baseline=baseline)
        torch.testing.assert_close(found, expected, **CLOSE)


def test_guided_ig_on_the_straight_line_is_ig_with_the_gradients_at_the_start():
    view = make_view(SMOOTH, make_inputs(TABLE))
    points = [view.gradients(view.inputs * k / 16) for k in range(16)]
    expected = view.inputs * torch.stack(points).mean(0)
    torch.testing.assert_close(run("guided_ig", view, steps=16, max_dist=0.0), expected, **CLOSE)


@pytest.mark.parametrize(("net", "shape"), [(SMOOTH, TABLE), (cnn(RGB), RGB)])
def test_guided_ig_is_complete(net, shape):
    view = make_view(net, make_inputs(shape))
    gap = view.scores(view.inputs) - view.scores(torch.zeros_like(view.inputs))
    total = run("guided_ig", view, max_dist=0.1).flatten(1).sum(1)
    assert ((total - gap).abs() < 0.05 * gap.abs() + 0.02).all()


def one_guided_path(slope, start, end, steps, fraction, max_dist):
    """The algorithm for one sample, written from the paper, one input at a time."""
    x, total = start.clone(), torch.zeros_like(start)
    whole = (end - start).abs().sum()
    for t in range(1, steps + 1):
        g = slope(x)
        low = start + (end - start) * max(t / steps - max_dist, 0)
        high = start + (end - start) * min(t / steps + max_dist, 1)
        target = whole * (1 - t / steps)
        before = x.clone()
        while True:
            for j in range(len(x)):
                if (x[j] - start[j]).abs() < (low[j] - start[j]).abs():
                    x[j] = low[j]
            remaining = (end - x).abs().sum()
            if remaining - target <= 1e-9 * whole:
                break
            free = [j for j in range(len(x)) if (high[j] - x[j]).abs() > 1e-12]
            sizes = sorted(float(g[j].abs()) if j in free else float("inf") for j in range(len(x)))
            limit = sizes[int(fraction * (len(x) - 1))]
            chosen = [j for j in free if float(g[j].abs()) <= limit]
            room = sum((high[j] - x[j]).abs() for j in chosen)
            gamma = (remaining - target) / room
            for j in chosen:
                x[j] = high[j] if gamma > 1 else x[j] + gamma * (high[j] - x[j])
            if gamma <= 1:
                break
        total += (x - before) * g
    return total


@pytest.mark.parametrize(("fraction", "max_dist"), [(0.25, 0.02), (0.4, 0.3), (0.1, 1.0)])
def test_guided_ig_input_by_input(fraction, max_dist):
    net = SMOOTH.double()
    inputs = make_inputs(TABLE, 4).double()
    view = make_view(net, inputs)
    found = run("guided_ig", view, steps=10, fraction=fraction, max_dist=max_dist)
    for row in range(4):

        def slope(x, row=row):
            leaf = x.clone().requires_grad_(True)
            (g,) = torch.autograd.grad(net(leaf[None])[0, view.targets[row]], leaf)
            return g

        expected = one_guided_path(slope, torch.zeros(6).double(), inputs[row], 10, fraction, max_dist)
        torch.testing.assert_close(found[row], expected.float(), rtol=1e-5, atol=1e-6)
    net.float()


# Functional information.


class Exponential(nn.Module):
    """Two probabilities: exp(w z) and the rest."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -0.25, 0.1, 0.0, 0.3, -0.2]))

    def forward(self, x):
        p = torch.exp(x @ self.weight - 3)
        return torch.stack([p, 1 - p], dim=1)


def test_functional_information_of_an_exponential():
    net = Exponential().eval()
    view = make_view(TorchPredictor(net, "probability"), make_inputs(TABLE), targets=torch.zeros(8, dtype=torch.int64))
    noise = view.draws("explain").normal((64, 6))
    chance = torch.exp((view.inputs[:, None] + 0.3 * noise) @ net.weight.detach() - 3).mean(1)
    expected = net.weight.detach().square() * chance[:, None]
    torch.testing.assert_close(run("functional_information", view, n_samples=64, radius=0.3), expected, **CLOSE)


def test_functional_information_is_of_the_probability_whatever_is_explained():
    inputs = make_inputs(TABLE)
    maps = [run("functional_information", make_view(mlp(TABLE), inputs, output=o)) for o in ("logit", "margin")]
    assert torch.equal(*maps)
    assert maps[0].max() > 0
    with pytest.raises(UnsupportedError, match="probability"):
        run("functional_information", make_view(TorchPredictor(mlp(TABLE), "value"), inputs))


# Full gradients.


@pytest.mark.parametrize("name", RELU)
def test_full_gradients_add_up_to_the_output(name):
    net, shape = RELU[name]
    view = make_view(net, make_inputs(shape, 5).double(), features="series" if shape == SEQUENCE else None)
    total = run("full_grad", view).double().flatten(1).sum(1)
    torch.testing.assert_close(total, view.scores(view.inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", [nn.ReLU6(), nn.LeakyReLU(0.2), nn.Hardtanh()])
def test_full_gradients_of_other_pieces(activation):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 9), activation, nn.Linear(9, 3)).double().eval()
    view = make_view(net, 5 * make_inputs(TABLE, 6).double())
    torch.testing.assert_close(run("full_grad", view).double().sum(1), view.scores(view.inputs), rtol=1e-4, atol=1e-5)


def test_full_gradients_put_biases_where_they_act():
    """No gradient at x = 0 but for the bias: a map of shares b G, twice as fine as the maps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 2, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2, bias=False)).eval()
    with torch.no_grad():
        net[0].bias.copy_(torch.tensor([1.0, 0.5]))
    view = make_view(net, torch.zeros(1, 1, 8, 8))
    gradient = net[3].weight[view.targets[0]].detach().view(2, 4, 4)
    shares = (torch.tensor([1.0, 0.5])[:, None, None] * gradient).sum(0)
    leaf = torch.zeros(1, 1, 4, 4, requires_grad=True)
    enlarged = functional.interpolate(leaf, (8, 8), mode="bilinear")
    (columns,) = torch.autograd.grad(enlarged.sum(), leaf)
    expected = functional.interpolate(shares[None, None] / columns, (8, 8), mode="bilinear")[0, 0]
    torch.testing.assert_close(run("full_grad", view)[0], expected, **CLOSE)
    torch.testing.assert_close(run("full_grad", view).sum(), shares.sum(), **CLOSE)


def test_full_grad_saliency_by_hand():
    net = plain_cnn(3)
    view = make_view(net, make_inputs(RGB, 3))
    leaf, outs, hidden = view.inputs.clone().requires_grad_(True), [], view.inputs
    hidden = leaf
    for layer in net:
        hidden = layer(hidden)
        if isinstance(layer, nn.Conv2d):
            outs.append((hidden, layer.bias.detach()))
    picked = hidden.gather(1, view.targets[:, None]).sum()
    slopes = torch.autograd.grad(picked, [leaf, *[o for o, _ in outs]])

    def scaled(t):
        t = t.abs()
        low, high = t.flatten(1).amin(1).view(-1, 1, 1, 1), t.flatten(1).amax(1).view(-1, 1, 1, 1)
        return (t - low) / (high - low)

    expected = scaled(leaf.detach() * slopes[0]).sum(1)
    for (_, bias), g in zip(outs, slopes[1:], strict=True):
        expected = expected + functional.interpolate(scaled(bias.view(1, -1, 1, 1) * g), (8, 8), mode="bilinear").sum(1)
    torch.testing.assert_close(run("full_grad_saliency", view), expected, **CLOSE)


@pytest.mark.parametrize("activation", [nn.GELU(), nn.Tanh(), nn.SiLU(), nn.Softplus(), nn.Hardswish()])
@pytest.mark.parametrize("name", ["full_grad", "full_grad_saliency"])
def test_full_gradients_are_refused_for_curved_activations(name, activation):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.Flatten(), nn.Linear(144, 3)).eval()
    with pytest.raises(UnsupportedError, match="full-gradient has no rule"):
        run(name, make_view(net, make_inputs(RGB)))
