"""Finite differences and C-LIME against closed forms, loops and SmoothGrad."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, SERIES, TABLE, linear, make_inputs, make_view
from helpers.explainer_cases import run, view_of
from torch import Tensor, nn

from xaibench.core.problem import ProblemView


class Cubic(nn.Module):
    """f(x) = sum of a x + b x^2 + c x^3 per feature, and nothing for a second class."""

    def forward(self, x: Tensor) -> Tensor:
        j = torch.arange(1, x.shape[1] + 1)
        f = (j * x - 0.5 * x**2 + 0.1 * j * x**3).sum(dim=1)
        return torch.stack([f, torch.zeros_like(f)], dim=1)


def cubic_view(n: int = 5) -> ProblemView:
    return make_view(Cubic(), make_inputs(TABLE, n), targets=torch.zeros(n, dtype=torch.int64))


@pytest.mark.parametrize("name", ["finite_difference", "c_lime"])
@pytest.mark.parametrize("shape", [IMAGE, RGB, TABLE, SERIES])
@pytest.mark.parametrize("radius", [0.1, 2.0])
def test_slopes_of_a_linear_model_are_exact(name: str, shape: tuple[int, ...], radius: float) -> None:
    view = make_view(linear(shape), make_inputs(shape, 4))
    torch.testing.assert_close(run(name, view, radius=radius), run("gradient", view), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 6])
def test_the_slope_is_that_of_a_line_through_the_queries(steps: int) -> None:
    view, radius = cubic_view(), 0.8
    found = run("finite_difference", view, steps=steps, radius=radius)
    offsets = np.linspace(-radius, radius, steps) if steps > 1 else np.array([0, radius])
    for row in range(len(view)):
        for feature in range(6):
            moved = view.inputs[row].double().repeat(len(offsets), 1)
            moved[:, feature] += torch.from_numpy(offsets)
            line = np.polyfit(offsets, Cubic()(moved)[:, 0].numpy(), 1)
            assert float(found[row, feature]) == pytest.approx(line[0], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("steps", "queries"), [(1, 7), (2, 12), (5, 30)])
def test_queries_are_as_many_as_asked_for(steps: int, queries: int) -> None:
    view = cubic_view(4)
    before = view.model.n_evaluations
    run("finite_difference", view, steps=steps)
    assert view.model.n_evaluations - before == 4 * queries


def test_c_lime_is_the_regression_on_its_draws() -> None:
    """Least squares with an intercept by numpy, on the same copies with both signs."""
    view = cubic_view(3)
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach().clone())
            return Cubic()(x)

    spied = make_view(Spy(), view.inputs, targets=view.targets, batch_size=4096)
    seen.clear()
    found = run("c_lime", spied, n_samples=40, radius=0.5)
    copies = torch.cat(seen).view(2, 3, 20, 6)
    for row in range(3):
        x = copies[:, row].reshape(40, 6).double()
        steps = (x - view.inputs[row]).numpy()
        assert steps.sum(axis=0) == pytest.approx(0, abs=1e-4)
        design = np.column_stack([steps, np.ones(40)])
        fitted = np.linalg.lstsq(design, Cubic()(x)[:, 0].numpy(), rcond=None)[0]
        np.testing.assert_allclose(found[row], fitted[:6], rtol=1e-4, atol=1e-4)


def test_c_lime_has_a_closed_form_on_polynomials() -> None:
    """E f' under the noise (Stein): a + 2 b x + 3 c (x^2 + radius^2)."""
    view, radius = cubic_view(), 0.7
    j = torch.arange(1, 7)
    x = view.inputs
    expected = j - x + 0.3 * j * (x**2 + radius**2)
    found = run("c_lime", view, n_samples=20000, radius=radius)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.05)


@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_smoothgrad_and_c_lime_agree_on_a_smooth_function(radius: float) -> None:
    """Agarwal et al. 2021: equal in expectation, for the same radius."""
    torch.manual_seed(0)
    smooth = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).eval()
    view = view_of("table", model=smooth)
    ours = run("c_lime", view, n_samples=2000, radius=radius)
    theirs = run("smoothgrad", view, n_samples=2000, radius=radius)
    assert float(nn.functional.cosine_similarity(ours, theirs).min()) > 0.99
    assert not torch.allclose(ours, theirs, rtol=1e-4)


def test_few_draws_are_raised_to_four_per_feature() -> None:
    view = make_view(linear(IMAGE), make_inputs(IMAGE, 2))
    before = view.model.n_evaluations
    run("c_lime", view, n_samples=3)
    assert view.model.n_evaluations - before == 2 * 4 * 64
