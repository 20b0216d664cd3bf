from __future__ import annotations

import captum.attr
import pytest
import torch
from helpers.builders import IMAGE, RGB, SERIES, TABLE, linear, make_inputs, make_view, mlp
from helpers.explainer_cases import plain_cnn, run, view_of

from xaibench.core.errors import UsageError

CLOSE = {"rtol": 1e-4, "atol": 1e-6}
MODELS = {"image": (plain_cnn(), IMAGE), "rgb": (plain_cnn(3), RGB), "table": (mlp(TABLE), TABLE)}


def weights_of(model: torch.nn.Module, view) -> torch.Tensor:
    """Slopes of a linear model's target output (N, *input_shape)."""
    return model[1].weight[view.targets].detach().view_as(view.inputs)


@pytest.mark.parametrize("shape", [IMAGE, RGB, TABLE, SERIES])
def test_closed_forms_on_a_linear_model(shape):
    model, background = linear(shape), make_inputs(shape, 50, seed=2)
    view = make_view(model, make_inputs(shape), background=background)
    w, x = weights_of(model, view), view.inputs
    reduce = view.layout.reduce
    torch.testing.assert_close(run("gradient", view), reduce(w), **CLOSE)
    torch.testing.assert_close(run("saliency", view), reduce(w.abs()), **CLOSE)
    torch.testing.assert_close(run("smoothgrad", view), reduce(w), **CLOSE)
    torch.testing.assert_close(run("vargrad", view), torch.zeros_like(reduce(w)), **CLOSE)
    torch.testing.assert_close(run("input_x_gradient", view), reduce(w * x), **CLOSE)
    torch.testing.assert_close(run("integrated_gradients", view, steps=2), reduce(w * x), **CLOSE)
    mean = view.baseline("mean")
    found = run("integrated_gradients", view, steps=2, baseline="mean")
    torch.testing.assert_close(found, reduce(w * (x - mean)), **CLOSE)


def test_gradient_shap_of_a_linear_model_is_the_mean_over_the_drawn_rows():
    model, background = linear(TABLE), make_inputs(TABLE, 50, seed=2)
    view = make_view(model, make_inputs(TABLE), background=background)
    drawn = background[view.draws("explain").integers(50, (32,))].mean(dim=1)
    expected = weights_of(model, view) * (view.inputs - drawn)
    torch.testing.assert_close(run("gradient_shap", view), expected, **CLOSE)
    many = run("gradient_shap", view, n_samples=5000)
    limit = weights_of(model, view) * (view.inputs - background.mean(dim=0))
    assert (many - limit).abs().max() < 0.02


def test_gradient_shap_falls_back_on_the_baseline():
    model = linear(TABLE)
    view = make_view(model, make_inputs(TABLE))
    torch.testing.assert_close(run("gradient_shap", view), weights_of(model, view) * view.inputs, **CLOSE)


@pytest.mark.parametrize("data", MODELS)
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_integrated_gradients_are_complete(data, output):
    model, shape = MODELS[data]
    view = make_view(model, make_inputs(shape), output=output)
    for baseline in ("zero", "mean"):
        gap = view.scores(view.inputs) - view.scores(view.baseline(baseline))
        total = run("integrated_gradients", view, steps=256, baseline=baseline).flatten(1).sum(dim=1)
        torch.testing.assert_close(total, gap, rtol=0.01, atol=2e-3)


@pytest.mark.parametrize("data", MODELS)
def test_captum_agrees(data):
    model, shape = MODELS[data]
    view = make_view(model, make_inputs(shape))
    x, y, reduce = view.inputs, view.targets, view.layout.reduce
    leaf = x.clone().requires_grad_(True)
    theirs = captum.attr.Saliency(model).attribute(leaf, target=y, abs=True)
    torch.testing.assert_close(run("saliency", view), reduce(theirs), **CLOSE)
    theirs = captum.attr.Saliency(model).attribute(leaf, target=y, abs=False)
    torch.testing.assert_close(run("gradient", view), reduce(theirs), **CLOSE)
    theirs = captum.attr.InputXGradient(model).attribute(leaf, target=y).detach()
    torch.testing.assert_close(run("input_x_gradient", view), reduce(theirs), **CLOSE)
    ig = captum.attr.IntegratedGradients(model)
    theirs = ig.attribute(x, target=y, n_steps=32, method="riemann_middle")
    torch.testing.assert_close(run("integrated_gradients", view), reduce(theirs).float(), **CLOSE)


@pytest.mark.parametrize("n_samples", [1, 13])
def test_captum_agrees_under_the_same_noise(n_samples, monkeypatch):
    """Captum draws from torch.normal; with our numbers in its place both must give the same map."""
    model, shape = MODELS["rgb"]
    view = make_view(model, make_inputs(shape))
    noise = 0.3 * view.draws("explain").normal((n_samples, *shape))
    monkeypatch.setattr(torch, "normal", lambda mean, std: noise.flatten(0, 1))
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
    options = {"target": view.targets, "nt_samples": n_samples, "stdevs": 0.3, "abs": False}
    for name, kind in (("smoothgrad", "smoothgrad"), ("vargrad", "vargrad")):
        theirs = tunnel.attribute(view.inputs.clone(), nt_type=kind, **options)
        ours = run(name, view, n_samples=n_samples, radius=0.3)
        torch.testing.assert_close(ours, view.layout.reduce(theirs), rtol=1e-3, atol=1e-6)


def test_many_chunks_of_noise_give_the_moments_of_all(monkeypatch):
    view = view_of("table", 3)
    monkeypatch.setattr("xaibench.explainers.engines.perturbed_copies.COPIES_BLOCK_BYTES", 4 * 6 * 5)
    draws = view.draws("explain")
    noise = torch.cat([draws.normal((k, 6)) for k in (5, 5, 2)], dim=1)
    points = view.inputs.unsqueeze(1) + 0.5 * noise
    rows = torch.arange(3).repeat_interleave(12)
    found = view.gradients(points.flatten(0, 1), rows).view(3, 12, 6)
    torch.testing.assert_close(run("smoothgrad", view, n_samples=12, radius=0.5), found.mean(1), **CLOSE)
    expected = found.var(dim=1, correction=0)
    torch.testing.assert_close(run("vargrad", view, n_samples=12, radius=0.5), expected, **CLOSE)


def test_counts_must_be_positive():
    for name in ("smoothgrad", "gradient_shap"):
        with pytest.raises(UsageError, match="n_samples"):
            run(name, view_of("table"), n_samples=0)
    with pytest.raises(UsageError, match="steps"):
        run("integrated_gradients", view_of("table"), steps=0)
