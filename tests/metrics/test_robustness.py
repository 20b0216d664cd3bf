"""Sensitivity, Lipschitz estimates and repeated runs, against closed forms and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, TABLE, cnn, gradient, linear, make_evaluation, make_inputs, make_view, mlp
from helpers.robustness_cases import N_SAMPLES, itself, noise_of, registered, run, times_gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView

NOISY = ["max_sensitivity", "avg_sensitivity", "local_lipschitz"]


class Quadratic(nn.Module):
    """``x A x / 2`` with a symmetric A, whose gradient is ``A x``."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * ((x @ self.matrix) * x).sum(dim=1, keepdim=True)


@pytest.mark.parametrize("name", [*NOISY, "rerun_stability", "continuity"])
def test_the_gradient_of_a_linear_model_never_moves(name: str) -> None:
    view = make_view(linear(IMAGE), make_inputs(IMAGE, 5))
    np.testing.assert_array_equal(run(name, make_evaluation(view)), 0)


@pytest.mark.parametrize("shape", [TABLE, IMAGE, RGB])
def test_input_times_gradient_of_a_linear_model_in_closed_form(shape: tuple[int, ...]) -> None:
    """It moves by ``w d``: everything is known once the noise is."""
    module = linear(shape)
    view = make_view(module, make_inputs(shape, 6))
    w = module[1].weight.detach()[view.targets].view(6, 1, *shape)  # type: ignore[index]
    d = noise_of(view).double()
    moved = view.layout.reduce(w * d).flatten(2).norm(dim=2)
    size = view.layout.reduce(w[:, 0] * view.inputs).flatten(1).norm(dim=1, keepdim=True)
    ev = make_evaluation(view, kind="contribution", function=times_gradient)
    np.testing.assert_allclose(run("max_sensitivity", ev), (moved / size).amax(dim=1), rtol=1e-5)
    np.testing.assert_allclose(run("avg_sensitivity", ev), (moved / size).mean(dim=1), rtol=1e-5)
    ratio = moved / d.flatten(2).norm(dim=2)
    np.testing.assert_allclose(run("local_lipschitz", ev), ratio.amax(dim=1), rtol=1e-5)
    normalised = (ratio / size).amax(dim=1)
    np.testing.assert_allclose(run("local_lipschitz", ev, normalise=True), normalised, rtol=1e-5)


def test_a_plain_loop_says_the_same() -> None:
    """Every copy explained on its own, on a model whose gradient moves."""
    view = make_view(cnn(), make_inputs(IMAGE, 4))
    maps, d = gradient(view), noise_of(view, 5, 0.3)
    found: dict[str, list[float]] = {name: [] for name in NOISY}
    for i in range(4):
        shares, ratios = [], []
        for k in range(5):
            copy = view.take(torch.tensor([i]), view.inputs[i : i + 1] + d[i, k])
            moved = float((gradient(copy)[0] - maps[i]).norm())
            shares.append(moved / float(maps[i].norm()))
            ratios.append(moved / float(d[i, k].norm()))
        for name, value in zip(NOISY, (max(shares), sum(shares) / 5, max(ratios)), strict=True):
            found[name].append(value)
    ev = make_evaluation(view)
    for name in NOISY:
        np.testing.assert_allclose(run(name, ev, n_samples=5, radius=0.3), found[name], rtol=1e-4)
    assert min(found["max_sensitivity"]) > 0


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), gain=st.floats(0.01, 100))
def test_the_lipschitz_estimate_never_exceeds_the_spectral_norm(seed: int, gain: float) -> None:
    a = torch.from_numpy(np.random.default_rng(seed).standard_normal((6, 6))).float() * gain
    matrix = a + a.T
    view = make_view(TorchPredictor(Quadratic(matrix), "value"), make_inputs(TABLE, 3, seed=seed))
    values = run("local_lipschitz", make_evaluation(view), n_samples=40)
    bound = float(torch.linalg.matrix_norm(matrix, 2))
    least = float(torch.linalg.svdvals(matrix).min())
    assert float(values.max()) <= bound * (1 + 1e-4)
    assert float(values.min()) >= least * (1 - 1e-4)


def test_the_lipschitz_estimate_meets_the_spectral_norm_where_all_directions_are_alike() -> None:
    rotation = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).standard_normal((6, 6))))[0]
    reflection = rotation @ torch.diag(torch.tensor([1.0, 1, -1, 1, -1, 1]).double()) @ rotation.T
    view = make_view(TorchPredictor(Quadratic(3 * reflection.float()), "value"), make_inputs(TABLE, 5))
    np.testing.assert_allclose(run("local_lipschitz", make_evaluation(view), n_samples=1), 3, rtol=1e-5)


@pytest.mark.parametrize("shape", [TABLE, IMAGE])
def test_the_input_as_explanation_has_the_constant_one(shape: tuple[int, ...]) -> None:
    ev = make_evaluation(make_view(mlp(shape), make_inputs(shape, 5)), kind="contribution", function=itself)
    np.testing.assert_array_equal(run("local_lipschitz", ev), 1)


def test_the_estimate_has_the_units_of_the_explanation_unless_normalised() -> None:
    view = make_view(mlp(TABLE), 3 * make_inputs(TABLE, 6))
    one, large = (make_evaluation(view, function=lambda v, _s, k=k: k * times_gradient(v)) for k in (1, 1000))
    np.testing.assert_allclose(run("local_lipschitz", large), 1000 * run("local_lipschitz", one), rtol=1e-5)
    first, second = (run("local_lipschitz", ev, normalise=True) for ev in (one, large))
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_noise_that_rounding_swallows_is_undefined() -> None:
    view = make_view(mlp(TABLE), torch.full((2, 6), 1e9), targets=torch.zeros(2, dtype=torch.int64))
    assert bool(torch.isnan(run("local_lipschitz", make_evaluation(view))).all())


def test_the_last_bits_of_an_explanation_are_no_change() -> None:
    """An explainer whose result jitters by a rounding error from one copy to the next: the ratio is exactly 0."""

    def jittery(view: ProblemView, stream: str = "") -> Tensor:
        own = gradient(view)
        return own * (1 + 1e-7 * torch.sign(view.inputs - view.inputs.mean(dim=1, keepdim=True)))

    view = make_view(linear(TABLE), make_inputs(TABLE, 6))
    ev = make_evaluation(view, function=jittery)
    assert float(run("max_sensitivity", ev, radius=3.0).max()) > 0
    for name in ("local_lipschitz", "relative_input_stability", "relative_output_stability"):
        np.testing.assert_array_equal(run(name, ev, radius=3.0), 0)


def test_the_copies_are_explained_once_for_the_whole_family() -> None:
    explained: list[int] = []

    def spy(view: ProblemView, stream: str = "") -> Tensor:
        explained.append(len(view))
        return gradient(view)

    view = make_view(mlp(TABLE), make_inputs(TABLE, 4))
    ev = make_evaluation(view, function=spy)
    relative = [f"relative_{what}_stability" for what in ("input", "output", "representation")]
    for name in (*NOISY, *relative):
        run(name, ev)
    assert sum(explained) == 4 + 4 * N_SAMPLES
    run("max_sensitivity", ev, radius=0.1)
    assert sum(explained) == 4 + 2 * 4 * N_SAMPLES


def test_runs_without_draws_agree_exactly_and_noise_does_not() -> None:
    view = make_view(cnn(), make_inputs(IMAGE, 30))
    for name in ("gradient", "integrated_gradients", "occlusion"):
        ev = make_evaluation(view, function=registered(name))
        np.testing.assert_array_equal(run("rerun_stability", ev, n_samples=3), 0)
    values = run("rerun_stability", make_evaluation(view, function=registered("random")))
    assert float(values.min()) > 1
    assert values.mean().item() == pytest.approx(math.sqrt(2), rel=0.02)


def test_reruns_shrink_with_the_explainers_own_samples() -> None:
    view = make_view(cnn(), make_inputs(IMAGE, 10))
    few, many = (
        run("rerun_stability", make_evaluation(view, function=registered("smoothgrad", n_samples=k)), n_samples=4)
        for k in (8, 128)
    )
    assert few.mean().item() / many.mean().item() == pytest.approx(4, rel=0.2)


def test_reruns_are_fresh_and_belong_to_the_sample() -> None:
    """The mean over runs k of the distance of two keyed draws, by hand."""
    view = make_view(mlp(TABLE), make_inputs(TABLE, 5))
    own = view.draws("explain").normal((6,))
    others = [view.draws(f"explain#{k}").normal((6,)) for k in (1, 2, 3)]
    expected = torch.stack([(other - own).norm(dim=1) for other in others]).mean(dim=0) / own.norm(dim=1)
    found = run("rerun_stability", make_evaluation(view, function=registered("random")), n_samples=3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
