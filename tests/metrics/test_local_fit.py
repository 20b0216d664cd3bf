"""Neighbourhood fit: closed forms, and that every method is the minimum of its own loss."""

from __future__ import annotations

import functools
import math
from typing import get_args

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, TABLE, linear, make_evaluation, make_inputs, make_view, mlp
from torch import Tensor, nn

from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.explaining import explain, explain_function
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.metrics.faithfulness.neighbourhood_fit import OfContributions, OfSlopes

SLOPES, CONTRIBUTIONS = get_args(OfSlopes), get_args(OfContributions)
ALL = SLOPES + CONTRIBUTIONS
BEST = {
    "gaussian": ("c_lime", {"n_samples": 4000, "radius": 0.5}),
    "gaussian_gradient": ("smoothgrad", {"n_samples": 4000, "radius": 0.5}),
    "point": ("gradient", {}),
    "uniform_path": ("integrated_gradients", {"steps": 256}),
    "point_path": ("input_x_gradient", {}),
    "binary_lime": ("lime", {"n_samples": 64, "ridge": 1e-9}),
    "binary_shapley": ("kernel_shap", {"n_samples": 64}),
    "one_hot": ("feature_ablation", {}),
}


def smooth(shape: tuple[int, ...] = TABLE) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 24), nn.Tanh(), nn.Linear(24, 3)).eval()


def fit(view: ProblemView, maps: Tensor, kind: str, **params: object) -> Tensor:
    spec = get("metric", "neighbourhood_fit")
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind({"radius": 0.5, **params}), make_evaluation(view, maps, kind=kind)).values


@functools.cache
def view() -> ProblemView:
    return make_view(smooth(), 1.5 * make_inputs(TABLE, 12, seed=3))


@functools.cache
def explained(name: str, params: tuple[tuple[str, object], ...] = ()) -> tuple[Tensor, str]:
    spec = get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    maps = explain(explain_function(spec, spec.bind(dict(params))), view(), "explain")
    return maps, str(spec.attribution_kind)


def best(neighbourhood: str) -> tuple[Tensor, str]:
    name, params = BEST[neighbourhood]
    return explained(name, tuple(params.items()))


@pytest.mark.parametrize("neighbourhood", ALL)
@pytest.mark.parametrize("kind", ["slope", "contribution"])
def test_a_linear_model_is_fitted_perfectly_and_zeros_score_one(neighbourhood: str, kind: str) -> None:
    module = linear(TABLE)
    flat = make_view(module, make_inputs(TABLE, 5))
    weights = module[1].weight.detach()[flat.targets]  # type: ignore[index]
    truth = weights if kind == "slope" else weights * flat.inputs
    np.testing.assert_allclose(fit(flat, truth, kind, neighbourhood=neighbourhood), 0, atol=1e-8)
    zeros = fit(flat, torch.zeros_like(truth), kind, neighbourhood=neighbourhood)
    np.testing.assert_allclose(zeros, 1, rtol=1e-6)
    # Half of the truth leaves half of every change, and a quarter of its square: with what it lacks shared
    # equally, too.
    np.testing.assert_allclose(fit(flat, truth / 2, kind, neighbourhood=neighbourhood), 0.25, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("neighbourhood", ALL)
def test_no_method_beats_the_diagonal(neighbourhood: str) -> None:
    n_samples = 3000
    own = fit(view(), *best(neighbourhood), neighbourhood=neighbourhood, n_samples=n_samples)
    for other in ALL:
        found = fit(view(), *best(other), neighbourhood=neighbourhood, n_samples=n_samples)
        assert float((own - found).mean()) <= 0.001, other
    ties = {"gaussian": "gaussian_gradient", "gaussian_gradient": "gaussian", "point": "point_path"}
    ties["point_path"] = "point"
    apart = [o for o in ALL if o not in (neighbourhood, ties.get(neighbourhood))]
    margins = [fit(view(), *best(o), neighbourhood=neighbourhood, n_samples=n_samples) - own for o in apart]
    assert min(float(m.mean()) for m in margins) > 0.003


@pytest.mark.parametrize("neighbourhood", ALL)
def test_the_diagonal_is_a_minimum_in_every_direction(neighbourhood: str) -> None:
    maps, kind = best(neighbourhood)
    own = fit(view(), maps, kind, neighbourhood=neighbourhood, n_samples=3000)
    for seed in range(4):
        direction = make_inputs(TABLE, 12, seed=10 + seed)
        direction *= 0.2 * maps.norm(dim=1, keepdim=True) / direction.norm(dim=1, keepdim=True)
        for moved in (maps + direction, maps - direction):
            found = fit(view(), moved, kind, neighbourhood=neighbourhood, n_samples=3000)
            assert float((found - own).min()) > 0


def test_the_binary_losses_are_those_of_all_coalitions() -> None:
    """Enumerated in numpy, with kernels from their definitions."""
    v, maps = view().take(slice(4)), make_inputs(TABLE, 12, seed=8)[:4]
    kept = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype(np.float64)
    size = kept.sum(axis=1)
    values = np.stack([v.scores(v.inputs * torch.from_numpy(z).float()).numpy() for z in kept], axis=1)
    lime = np.exp(-(((1 - np.sqrt(size / 6)) / 0.25) ** 2))
    inner = (size > 0) & (size < 6)
    shap = np.where(inner, 5 / (np.array([math.comb(6, int(s)) for s in size]) * (size * (6 - size)).clip(1)), 0)
    for row in range(4):
        y, g = values[row].astype(np.float64), maps[row].double().numpy()

        def variance(u: np.ndarray) -> float:
            return float(np.average((u - np.average(u, weights=lime)) ** 2, weights=lime))

        full = g + (y[63] - y[0] - g.sum()) / 6
        even = np.full(6, (y[63] - y[0]) / 6)
        losses = [np.average((y - y[0] - kept @ m) ** 2, weights=shap) for m in (full, even)]
        expected = {"binary_lime": variance(y - kept @ g) / variance(y), "binary_shapley": losses[0] / losses[1]}
        for name, value in expected.items():
            found = fit(v, maps, "contribution", neighbourhood=name, n_samples=10000)[row]
            assert float(found) == pytest.approx(value, rel=0.1)


def test_lime_with_the_shapley_kernel_is_kernel_shap() -> None:
    """The weighted regression that the loss is about, solved by numpy with heavy ends, gives the Shapley values."""
    v, (shapley, _) = view(), best("binary_shapley")
    kept = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype(np.float64)
    size = kept.sum(axis=1)
    inner = (size > 0) & (size < 6)
    weights = np.where(inner, 5 / (np.array([math.comb(6, int(s)) for s in size]) * (size * (6 - size)).clip(1)), 1e7)
    values = np.stack([v.scores(v.inputs * torch.from_numpy(z).float()).numpy() for z in kept], axis=1)
    design = np.column_stack([kept, np.ones(64)]) * np.sqrt(weights)[:, None]
    for row in range(12):
        fitted = np.linalg.lstsq(design, values[row] * np.sqrt(weights), rcond=None)[0]
        np.testing.assert_allclose(fitted[:6], shapley[row], rtol=1e-3, atol=1e-4)


def test_one_hot_and_point_by_hand() -> None:
    v = view()
    maps = make_inputs(TABLE, 12, seed=9)
    drops = torch.stack([v.scores(v.inputs) - v.scores(v.inputs * (torch.arange(6) != j)) for j in range(6)], dim=1)
    expected = (drops - maps).square().sum(dim=1) / drops.square().sum(dim=1)
    torch.testing.assert_close(fit(v, maps, "contribution", neighbourhood="one_hot"), expected, rtol=1e-4, atol=1e-5)
    gradient = v.gradients(v.inputs)
    expected = (gradient - maps).square().sum(dim=1) / gradient.square().sum(dim=1)
    torch.testing.assert_close(fit(v, maps, "slope", neighbourhood="point"), expected, rtol=1e-4, atol=1e-5)


def test_a_quadratic_has_known_losses_under_noise() -> None:
    """f = x^2 / 2 in one of two features, the other flat: slopes x + e, so 1 - R^2 is radius^2 / (2 x^2 + radius^2)."""

    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            f = x[:, 0] ** 2 / 2 + 0 * x[:, 1]
            return torch.stack([f, -f], dim=1)

    x, r = 1.5, 0.5
    v = make_view(Half(), torch.tensor([[x, 1.0]]), targets=torch.zeros(1, dtype=torch.int64))
    slope = torch.tensor([[x, 0.0]])
    values = float(fit(v, slope, "slope", neighbourhood="gaussian", n_samples=40000))
    assert values == pytest.approx(r**2 / (2 * x**2 + r**2), rel=0.05)
    matched = float(fit(v, slope, "slope", neighbourhood="gaussian_gradient", n_samples=40000))
    assert matched == pytest.approx(r**2 / (x**2 + r**2), rel=0.05)
    # On the way from 0, a x with a uniform: the variance of a is 1/12, its mean square 1/3.
    halfway = torch.tensor([[x**2 / 2, 0.0]])
    path = float(fit(v, halfway, "contribution", neighbourhood="uniform_path", n_samples=40000))
    assert path == pytest.approx(1 / 4, rel=0.05)


def test_slopes_and_contributions_are_two_names_of_one_function() -> None:
    slopes = make_inputs(TABLE, 12, seed=4)
    for neighbourhood in ALL:
        one = fit(view(), slopes, "slope", neighbourhood=neighbourhood)
        two = fit(view(), slopes * view().inputs, "contribution", neighbourhood=neighbourhood)
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_a_contribution_at_the_baseline_says_nothing_about_the_slope() -> None:
    inputs = make_inputs(TABLE, 3)
    inputs[:, 2] = 0
    v = make_view(smooth(), inputs)
    maps = make_inputs(TABLE, 3, seed=5)
    other = maps.clone()
    other[:, 2] = 7
    for neighbourhood in SLOPES:
        one, two = (fit(v, m, "contribution", neighbourhood=neighbourhood) for m in (maps, other))
        assert torch.isfinite(one).all()
        assert torch.equal(one, two)


@pytest.mark.parametrize("neighbourhood", ALL)
def test_alone_or_in_any_batch(neighbourhood: str) -> None:
    maps = make_inputs(TABLE, 12, seed=6)
    together = fit(view(), maps, "slope", neighbourhood=neighbourhood)
    order = torch.tensor([5, 0, 11, 3])
    some = fit(view().take(order), maps[order], "slope", neighbourhood=neighbourhood)
    torch.testing.assert_close(some, together[order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("neighbourhood", ALL)
def test_images_and_their_channels(neighbourhood: str) -> None:
    v = make_view(mlp(IMAGE), make_inputs(IMAGE, 2))
    assert torch.isfinite(fit(v, make_inputs((8, 8), 2), "contribution", neighbourhood=neighbourhood)).all()
    v = make_view(mlp(RGB), make_inputs(RGB, 2))
    own, other = ("slope", "contribution") if neighbourhood in SLOPES else ("contribution", "slope")
    assert torch.isfinite(fit(v, make_inputs((8, 8), 2), own, neighbourhood=neighbourhood)).all()
    with pytest.raises(UnsupportedError):
        fit(v, make_inputs((8, 8), 2), other, neighbourhood=neighbourhood)


def test_all_channels_of_a_pixel_move_together() -> None:
    module = linear(RGB)
    v = make_view(module, make_inputs(RGB, 2))
    slopes = v.layout.reduce(v.gradients(v.inputs))
    for neighbourhood in SLOPES:
        np.testing.assert_allclose(fit(v, slopes, "slope", neighbourhood=neighbourhood), 0, atol=1e-6)


def test_what_does_not_vary_is_undefined() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([0 * x.sum(dim=1) + 1, 0 * x.sum(dim=1)], dim=1)

    v = make_view(Constant(), make_inputs(TABLE, 2))
    for neighbourhood in ALL:
        assert torch.isnan(fit(v, make_inputs(TABLE, 2), "slope", neighbourhood=neighbourhood)).all()
