"""Metrics of one map: hand-made masks, known entropies, sensitivity and completeness in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, SHAPES, TABLE, linear, make_evaluation, make_inputs, make_view, mlp
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth


def run(name: str, ev, **params) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def on_table(maps: list[list[float]], mask: list[list[int]] | None = None):
    view = make_view(mlp(TABLE), make_inputs(TABLE, len(maps)))
    truth = None if mask is None else Truth("model", torch.tensor(mask, dtype=torch.bool))
    return make_evaluation(view, torch.tensor(maps), kind="contribution", truth=truth)


def test_relevance_by_hand() -> None:
    a = [0.5, -3.0, 2.0, 0.1, 0.0, -0.4]
    ev = on_table([a] * 5, [[0, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0] * 6, [1] * 6])
    nan = math.nan
    np.testing.assert_allclose(run("relevance_rank", ev), [0.5, 1, 1 / 3, nan, nan])
    np.testing.assert_allclose(run("relevance_rank", ev, sign="absolute"), [1, 0.5, 0, nan, nan])
    np.testing.assert_allclose(run("relevance_mass", ev), [2 / 2.6, 2.5 / 2.6, 0.1 / 2.6, nan, nan], rtol=1e-6)
    np.testing.assert_allclose(
        run("relevance_mass", ev, sign="absolute"), [5 / 6, 2.5 / 6, 0.5 / 6, nan, nan], rtol=1e-6
    )


def test_relevance_without_anything_positive_is_undefined() -> None:
    ev = on_table([[-1.0] * 6, [0.0] * 6], [[1, 0, 0, 0, 0, 0]] * 2)
    assert bool(torch.isnan(run("relevance_mass", ev)).all())
    assert torch.isnan(run("relevance_mass", ev, sign="absolute")).tolist() == [False, True]


def test_ties_in_a_ranking_score_the_area_of_the_mask_on_average() -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 300))
    mask = torch.zeros(300, 8, 8, dtype=torch.bool)
    mask[:, :4, :4] = True
    ev = make_evaluation(view, torch.zeros(300, 8, 8), truth=Truth("model", mask))
    assert run("relevance_rank", ev).mean().item() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("name", ["relevance_rank", "relevance_mass"])
def test_the_oracle_beats_noise(name: str) -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 50))
    truth = Truth("model", make_inputs((8, 8), 50, seed=4) > 1)
    oracle = run(name, make_evaluation(view, truth.mask.float(), truth=truth))  # type: ignore[union-attr]
    noise = run(name, make_evaluation(view, make_inputs((8, 8), 50, seed=5), truth=truth))
    np.testing.assert_allclose(oracle, 1)
    assert noise.max() < 0.7


def test_sparseness_and_complexity_by_hand() -> None:
    ev = on_table([[1.0] * 6, [0, 0, -4, 0, 0, 0], [1, -1, 0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5, -0.6]])
    np.testing.assert_allclose(run("sparseness", ev), [0, 5 / 6, 4 / 6, 5 / 18], atol=1e-6)
    p = np.arange(1, 7) / 21
    np.testing.assert_allclose(
        run("complexity", ev), [math.log(6), 0, math.log(2), -(p * np.log(p)).sum()], rtol=1e-6, atol=1e-6
    )


def test_gini_is_the_mean_absolute_difference() -> None:
    """``G = sum_ij |a_i - a_j| / (2 n^2 mean(a))``, its other definition."""
    maps = make_inputs(TABLE, 20)
    a = maps.abs().double()
    gini = (a.unsqueeze(1) - a.unsqueeze(2)).abs().sum(dim=(1, 2)) / (2 * 36 * a.mean(dim=1))
    np.testing.assert_allclose(run("sparseness", on_table(maps.tolist())), gini, rtol=1e-5)


@pytest.mark.parametrize("baseline", ["zero", "mean", "blur"])
def test_integrated_gradients_are_complete_and_gradients_are_not(baseline: str) -> None:
    for shape in (IMAGE, RGB):
        view = make_view(mlp(shape), make_inputs(shape, 6))
        start = view.baseline(baseline)
        steps = (torch.arange(200) + 0.5) / 200
        path = [view.gradients(start + t * (view.inputs - start)) for t in steps]
        ig = view.layout.reduce((view.inputs - start) * torch.stack(path).mean(dim=0))
        complete = run("completeness", make_evaluation(view, ig, kind="contribution"), baseline=baseline)
        assert complete.nanmedian() < 0.02
        plain = run("completeness", make_evaluation(view), baseline=baseline)
        assert plain.nanmedian() > 0.2
        empty = run("completeness", make_evaluation(view, torch.zeros_like(ig)), baseline=baseline)
        np.testing.assert_allclose(empty[~empty.isnan()], 1)


def test_completeness_is_exact_for_a_linear_model_and_undefined_at_the_baseline() -> None:
    module, inputs = linear(TABLE), make_inputs(TABLE, 4)
    inputs[3] = 0
    view = make_view(module, inputs)
    w = module[1].weight.detach()[view.targets]  # type: ignore[index]
    values = run("completeness", make_evaluation(view, w * inputs, kind="contribution"))
    assert values[:3].max() < 1e-4
    assert torch.isnan(values[3])
    off = run("completeness", make_evaluation(view, 1.5 * w * inputs, kind="contribution"))
    np.testing.assert_allclose(off[:3], 0.5, rtol=1e-4)


def test_sensitivity_of_a_linear_explanation_is_the_size_of_its_noise() -> None:
    """An explainer that returns the input changes by the noise itself."""

    def identity(view: ProblemView, stream: str) -> Tensor:
        return view.layout.reduce(view.inputs)

    view = make_view(linear(TABLE), make_inputs(TABLE, 400))
    ev = make_evaluation(view, function=identity)
    one = run("max_sensitivity", ev, n_samples=1, radius=0.3)
    noise = one * view.inputs.norm(dim=1)
    # E|d|^2 = 6 r^2 / 3, and no draw is longer than sqrt(6) r.
    assert noise.square().mean().item() == pytest.approx(6 * 0.09 / 3, rel=0.06)
    assert noise.max() <= 0.3 * math.sqrt(6)
    assert bool((run("max_sensitivity", ev, n_samples=20, radius=0.3) >= run("max_sensitivity", ev, radius=0.3)).all())


def test_sensitivity_noise_is_symmetric() -> None:
    seen: list[Tensor] = []

    def spy(view: ProblemView, stream: str) -> Tensor:
        seen.append(view.inputs)
        return view.layout.reduce(view.inputs)

    view = make_view(linear(IMAGE), make_inputs(IMAGE, 5))
    run("max_sensitivity", make_evaluation(view, function=spy), n_samples=200)
    noise = seen[-1].view(5, 200, *IMAGE) - view.inputs.unsqueeze(1)
    assert noise.abs().max() <= 0.2 + 1e-6
    assert abs(noise.mean().item()) < 3 * 0.2 / math.sqrt(3 * noise.numel())
    assert len(seen) == 2


def test_gradients_of_a_linear_model_are_perfectly_stable() -> None:
    ev = make_evaluation(make_view(linear(TABLE), make_inputs(TABLE, 4)))
    np.testing.assert_allclose(run("max_sensitivity", ev), 0)


def test_copies_are_explained_with_the_draws_of_their_sample() -> None:
    def noisy(view: ProblemView, stream: str) -> Tensor:
        return view.draws(stream).normal(view.layout.feature_shape)

    ev = make_evaluation(make_view(linear(TABLE), make_inputs(TABLE, 4)), function=noisy)
    np.testing.assert_allclose(run("max_sensitivity", ev), 0)


def on_a_network(kind: str) -> Evaluation:
    shape = SHAPES[kind]
    view = make_view(mlp(shape), 3 * make_inputs(shape, 7, seed=5), background=make_inputs(shape, 20, seed=1))
    return make_evaluation(view, kind="contribution" if view.layout.channels else "slope")


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", ["input_invariance", "non_sensitivity", "rerun_stability"])
def test_the_gradient_has_no_draws_knows_no_zero_and_is_nowhere_0_without_cause(name: str, kind: str) -> None:
    assert float(run(name, on_a_network(kind)).abs().max()) < 1e-5


@pytest.mark.parametrize("kind", ["table", "series"])
@pytest.mark.parametrize("name", ["slope_test", "recourse_test"])
def test_the_gradient_answers_questions_about_short_steps(name: str, kind: str) -> None:
    """Read as a contribution, it is about a coin."""
    assert float(run(name, on_a_network(kind)).min()) > 1.5
