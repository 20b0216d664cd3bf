"""Explainers of associations and effects: against closed forms, scikit-learn, and definitions spelled out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import RGB, TABLE, linear, make_inputs, make_view, mlp
from helpers.explainer_cases import run, view_of
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.types import Array
from xaibench.datasets.suppressors import Theory, suppressor
from xaibench.explainers.engines.local_regression import conditional_mean
from xaibench.models.logistic import bayes_linear

CORRELATIONS = (0.0, 0.4, 0.8)
SEEDS = range(100, 110)


def bayes_view(c: float, seed: int, n: int = 64, m: int = 10_000, *, targets: int = 1) -> ProblemView:
    """The best rule on fresh draws: n samples, all explained for one class, and m background rows with labels."""
    rng, theory = np.random.default_rng(seed), Theory(c)
    model = bayes_linear(suppressor(seed=0, c=c, train=8, test=8))
    inputs, background, labels = theory.draw(n, rng)[0], *theory.draw(m, rng)[:2]
    view = make_view(
        model,
        torch.from_numpy(inputs),
        targets=torch.full((n,), targets),
        background=torch.from_numpy(background),
        seed=seed,
    )
    return replace(view, background_labels=torch.from_numpy(labels))


def near(found: list[float] | Array, expected: float | Array, *, exact: float = 1e-6) -> None:
    """The mean over replicates (first axis) is within 4 standard errors of what is expected."""
    values = np.asarray(found, dtype=float)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert (abs(values.mean(axis=0) - expected) <= 4 * error + exact).all(), (values.mean(axis=0), expected, error)


@pytest.mark.parametrize("c", CORRELATIONS)
@pytest.mark.parametrize(
    ("name", "params"),
    [("gradient", {}), ("partial_dependence", {}), ("accumulated_local_effects", {})],
)
def test_slopes_are_the_weights(name: str, params: dict[str, float], c: float):
    for targets, sign in ((1, 1), (0, -1)):
        found = run(name, bayes_view(c, 1, m=500, targets=targets), **params)
        expected = torch.from_numpy(sign * Theory(c).weights).float().expand(64, 2)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("c", CORRELATIONS)
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("input_x_gradient", {}),
        ("integrated_gradients", {}),
        ("lrp", {"rule": "epsilon"}),
        ("shapley_sampling", {}),
        ("kernel_shap", {}),
        ("lime", {"ridge": 1e-9}),
    ],
)
def test_contributions_are_weights_times_inputs(name: str, params: dict[str, float], c: float):
    view = bayes_view(c, 2, m=100)
    expected = torch.from_numpy(Theory(c).contributions(view.inputs.numpy())).float()
    torch.testing.assert_close(run(name, view, **params), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_pattern_is_the_covariance_and_nothing_on_the_suppressor(c: float):
    near([run("pattern", bayes_view(c, s, n=1))[0].numpy() for s in SEEDS], Theory(c).pattern)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_m_plots_are_the_conditional_means_and_flat_on_the_suppressor(c: float):
    """At fixed points, as means, and as the slope that the values have in the column."""
    points = torch.tensor([[-2.0, -1.0], [-0.7, -0.2], [0.4, 0.3], [1.5, 0.8]])
    fixed, slopes = [], []
    for s in SEEDS:
        view = bayes_view(c, s, n=200)
        x2 = view.inputs[:, 1].numpy()
        slopes.append(np.polyfit(x2, run("m_plot", view)[:, 1].numpy(), 1)[0])
        fixed.append(run("m_plot", view.take(torch.arange(4), points)).numpy())
    near(np.stack(fixed), Theory(c).conditional_means(points.numpy()))
    near(slopes, 0.0)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_conditional_shapley_values_have_the_form_with_the_tanh(c: float):
    theory, points = Theory(c), torch.tensor([[-2.0, -1.0], [-0.7, 0.2], [0.4, 0.3], [1.5, -0.8]])
    fixed, overall = [], []
    for s in SEEDS:
        view = bayes_view(c, s, n=200)
        found = run("conditional_shapley", view).numpy()
        expected = theory.conditional_shapley(view.inputs.double().numpy())
        np.testing.assert_allclose(found.sum(axis=1), expected.sum(axis=1), atol=0.05)
        # The slope of what is found on what is known: a wrong form has another one.
        overall.append([np.polyfit(e, f, 1)[0] if e.any() else 1.0 for e, f in zip(expected.T, found.T, strict=True)])
        fixed.append(run("conditional_shapley", view.take(torch.arange(4), points)).numpy())
    near(np.stack(fixed), theory.conditional_shapley(points.double().numpy()))
    near(np.array(overall), 1.0)


def test_the_form_with_the_best_linear_predictor_is_told_apart():
    """So the check above is sharp enough to see what it is there for."""
    theory, points = Theory(0.8), torch.tensor([[-2.0, -1.0], [0.4, 0.3]])
    fixed = np.stack(
        [run("conditional_shapley", bayes_view(0.8, s, n=2).take(torch.arange(2), points)).numpy() for s in SEEDS]
    )
    x1, alpha = points[:, 0].double().numpy(), theory.weights[0]
    alone = alpha * x1 * (1 - 0.8**2 * 0.8**2 / (1 + 0.8**2))
    with pytest.raises(AssertionError):
        near(fixed[:, :, 0], (points.double().numpy() @ theory.weights + alone) / 2)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_permuting_the_suppressor_costs_what_is_known_and_nothing_without_correlation(c: float):
    found = np.stack([run("permutation_importance", bayes_view(c, s, n=1))[0].numpy() for s in SEEDS])
    near(found, Theory(c).permutation_importance)
    if c == 0:
        assert (found[:, 1] == 0).all()
    else:
        assert (found[:, 1] > 0).all()


@pytest.mark.parametrize("c", CORRELATIONS)
def test_firm_is_the_spread_of_the_conditional_mean(c: float):
    theory = Theory(c)
    sample = theory.draw(400_000, np.random.default_rng(5))[0].astype(float)
    expected = theory.conditional_means(sample).std(axis=0)
    found = np.stack([run("firm", bayes_view(c, s, n=1))[0].numpy() for s in SEEDS])
    near(found[:, 0], expected[0], exact=0.003)
    # Noise adds about its own standard error where the conditional mean is flat: 1.28 / sqrt(.8 k) at most.
    assert found[:, 1].mean() < 0.05


def quadratic(inputs: Array) -> Array:
    """A score of a square, a product and a step, for which slopes depend on the place."""
    flat = inputs.reshape(len(inputs), -1).astype(float)
    score = flat[:, 0] ** 2 + flat[:, 0] * flat[:, 1] + 2.0 * (flat[:, 2] > 0)
    return np.stack([-score, score], axis=1)


def callable_view(function, inputs: Tensor, background: Tensor) -> ProblemView:
    return make_view(function, inputs, targets=torch.ones(len(inputs), dtype=torch.int64), background=background)


def test_partial_dependence_is_scikit_learns():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.inspection import partial_dependence

    background = make_inputs(TABLE, 60, seed=3)
    labels = (background[:, 0] * background[:, 1] + background[:, 2] > 0).numpy()
    forest = RandomForestClassifier(20, random_state=0).fit(background.numpy(), labels)
    samples = make_inputs(TABLE, 5, seed=4)
    found = run("partial_dependence", callable_view(forest.predict_proba, samples, background), steps=6)
    for j in range(6):
        column = np.sort(background[:, j].numpy())
        edges = column[np.round(np.linspace(0, 59, 7)).astype(int)]
        curve = partial_dependence(
            forest, background.numpy(), [j], custom_values={j: edges}, response_method="predict_proba", method="brute"
        )["average"][0]
        cells = np.clip(np.searchsorted(edges, samples[:, j].numpy()) - 1, 0, 5)
        expected = (np.diff(curve) / np.diff(edges))[cells]
        np.testing.assert_allclose(found[:, j], expected, rtol=1e-3, atol=1e-4)


def test_accumulated_local_effects_spelled_out():
    background, samples = make_inputs((3,), 200, seed=3), make_inputs((3,), 5, seed=4)
    found = run("accumulated_local_effects", callable_view(quadratic, samples, background), steps=4)
    rows = background.numpy()
    for j in range(3):
        column = np.sort(rows[:, j])
        edges = column[np.round(np.linspace(0, 199, 5)).astype(int)]
        for i, sample in enumerate(samples.numpy()):
            cell = int(np.clip(np.sum(edges < sample[j]) - 1, 0, 3))
            inside = (rows[:, j] > edges[cell]) | ((cell == 0) & (rows[:, j] == edges[0]))
            inside &= rows[:, j] <= edges[cell + 1]
            low, high = rows[inside].copy(), rows[inside].copy()
            low[:, j], high[:, j] = edges[cell], edges[cell + 1]
            change = (quadratic(high) - quadratic(low))[:, 1].mean() / (edges[cell + 1] - edges[cell])
            assert abs(found[i, j].item() - change) < 1e-4 * max(1, abs(change))


def test_effects_differ_where_features_go_together():
    """Of a product of two equal columns, PDP sees nothing, ALE the other factor, M-plots the square."""
    one = torch.linspace(-1, 1, 401).unsqueeze(1)

    def product(inputs: Array) -> Array:
        return np.stack([np.zeros(len(inputs)), inputs[:, 0] * inputs[:, 1]], axis=1)

    view = callable_view(product, torch.tensor([[0.5, 0.5]]), one.expand(-1, 2).contiguous())
    # Over the background the second column averages 0, in the cell from .45 to .5 it is .48.
    assert abs(run("partial_dependence", view)[0, 0].item()) < 0.01
    assert abs(run("accumulated_local_effects", view, steps=40)[0, 0].item() - 0.48) < 0.01
    assert abs(run("m_plot", view)[0, 0].item() - (0.25 - 1 / 3)) < 0.02


def test_permutation_importance_is_scikit_learns_up_to_the_draws():
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LogisticRegression

    background = make_inputs((3,), 2000, seed=3)
    labels = (background @ torch.tensor([2.0, 1.0, 0.0]) + 0.3 * make_inputs((1,), 2000, seed=6)[:, 0] > 0).long()
    fitted = LogisticRegression().fit(background.numpy(), labels.numpy())
    view = replace(callable_view(fitted.predict_proba, background[:2], background), background_labels=labels)
    found = run("permutation_importance", view, n_samples=20)
    theirs = permutation_importance(fitted, background.numpy(), labels.numpy(), n_repeats=20, random_state=0)
    error = theirs.importances_std * np.sqrt(2 / 20)
    assert (abs(found[0].numpy() - theirs.importances_mean) < 4 * error + 1e-6).all()
    assert torch.equal(found[0], found[1])


def test_pattern_of_pixels_sums_the_covariances_of_their_channels():
    background = make_inputs(RGB, 50, seed=2)
    view = make_view(linear(RGB), make_inputs(RGB, 6), background=background)
    found = run("pattern", view)
    outputs = view.model.predict(background)
    for i, target in enumerate(view.targets):
        stacked = np.concatenate([background.flatten(1).numpy(), outputs[:, target : target + 1].numpy()], axis=1)
        expected = np.cov(stacked.T, bias=True)[-1, :-1].reshape(3, 8, 8).sum(axis=0)
        np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-5)


def test_a_feature_that_does_not_vary_gets_nothing():
    background = make_inputs(TABLE, 30, seed=3)
    background[:, 2] = 1.0
    view = replace(
        make_view(mlp(TABLE), make_inputs(TABLE, 4), background=background),
        background_labels=torch.arange(30) % 3,
    )
    for name in ("pattern", "m_plot", "firm", "partial_dependence", "accumulated_local_effects"):
        found = run(name, view)
        assert found[:, 2].abs().max() < 1e-6, name
        assert found[:, [0, 1, 3, 4, 5]].abs().max() > 1e-4, name
    assert (run("permutation_importance", view)[:, 2] == 0).all()


def test_conditional_means_of_binary_columns_are_group_means():
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.integers(0, 2, (200, 2)).astype(float))
    values = torch.from_numpy(rng.standard_normal((200, 3)))
    queries = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    found = conditional_mean(rows, values, queries)
    for i, query in enumerate(queries):
        torch.testing.assert_close(found[i], values[(rows == query).all(dim=1)].mean(dim=0))


def test_conditional_means_are_exact_for_linear_functions_and_flat_outside():
    rows = make_inputs((2,), 300, seed=1).double()
    values = (rows @ torch.tensor([[2.0], [-1.0]]).double()) + 3
    queries = make_inputs((2,), 20, seed=2).double().clamp(-1.5, 1.5)
    torch.testing.assert_close(
        conditional_mean(rows, values, queries), queries @ torch.tensor([[2.0], [-1.0]]).double() + 3,
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip
    outside = torch.tensor([[50.0, 0.0]])
    border = torch.tensor([[rows[:, 0].max(), 0.0]])
    torch.testing.assert_close(conditional_mean(rows, values, outside), conditional_mean(rows, values, border))


@pytest.mark.parametrize("m", [1, 2, 5])
def test_few_background_rows_are_enough(m: int):
    view = view_of("table", background=make_inputs(TABLE, m, seed=5))
    for name in ("pattern", "m_plot", "firm", "conditional_shapley", "partial_dependence", "permutation_importance"):
        assert torch.isfinite(run(name, view)).all(), name


def test_what_cannot_be_had_is_said():
    wide = make_inputs((9,), 3)
    with pytest.raises(UnsupportedError, match="conditional means"):
        run("conditional_shapley", make_view(mlp((9,)), wide, background=wide))
    view = replace(view_of("table"), background_labels=None)
    with pytest.raises(UnsupportedError, match="classes of the background"):
        run("permutation_importance", view)
    for name in ("pattern", "m_plot", "firm", "partial_dependence", "accumulated_local_effects"):
        with pytest.raises(UnsupportedError, match="background"):
            run(name, replace(view, background=None))


def test_models_without_gradients_are_served():
    class Opaque(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.stack([inputs[:, 0].round(), inputs[:, 1].round()], dim=1)

    view = make_view(Opaque(), make_inputs((2,), 5), background=make_inputs((2,), 50, seed=2))
    for name in ("pattern", "m_plot", "conditional_shapley", "partial_dependence"):
        assert run(name, view).abs().max() > 0
