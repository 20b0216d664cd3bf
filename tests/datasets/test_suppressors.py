"""The closed forms of the suppressor problem, each against draws of the problem or against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.types import Array
from xaibench.datasets.suppressors import Theory, suppressor
from xaibench.models.adapters import as_predictor
from xaibench.models.logistic import bayes_linear, logistic_regression

N = 400_000
CASES = [Theory(0.0), Theory(0.4), Theory(0.8), Theory(0.6, s1=1.2, s2=2.0)]
cases = pytest.mark.parametrize("theory", CASES, ids=str)


def drawn(theory: Theory, n: int = N, seed: int = 7) -> tuple[Array, Array]:
    """Inputs (n, 2), float64, and signs of the labels (n,)."""
    inputs, labels, _ = theory.draw(n, np.random.default_rng(seed))
    return inputs.astype(float), 2 * labels - 1


def near(values: Array, expected: float) -> None:
    """The mean of independent values is within 4 standard errors."""
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - expected) <= 4 * error + 1e-12


@cases
def test_draws_have_the_moments_that_are_claimed(theory: Theory):
    inputs, signs = drawn(theory)
    noise = inputs - np.outer(signs, [1, 0])
    near(noise[:, 0] ** 2, theory.s1**2)
    near(noise[:, 1] ** 2, theory.s2**2)
    near(noise[:, 0] * noise[:, 1], theory.c * theory.s1 * theory.s2)
    near(signs * inputs[:, 1], 0.0)
    near(signs * inputs[:, 0], 1.0)


@cases
def test_weights_are_those_of_the_inverse_covariance_and_the_best_there_are(theory: Theory):
    cross = theory.c * theory.s1 * theory.s2
    found = np.linalg.solve([[theory.s1**2, cross], [cross, theory.s2**2]], [1.0, 0.0])
    np.testing.assert_allclose(theory.weights, found / np.linalg.norm(found), atol=1e-12)
    inputs, signs = drawn(theory)
    right = signs * (inputs @ theory.weights) > 0
    near(right, theory.accuracy)
    near(signs * inputs[:, 0] > 0, theory.accuracy_without)
    for turn in (-0.2, 0.2):
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ theory.weights
        assert (signs * (inputs @ turned) > 0).mean() < right.mean()


@cases
def test_pattern(theory: Theory):
    inputs, _ = drawn(theory)
    output = inputs @ theory.weights
    for column, expected in enumerate(theory.pattern):
        near(inputs[:, column] * output, expected)


@cases
def test_permutation_importance(theory: Theory):
    inputs, signs = drawn(theory)
    clean = signs * (inputs @ theory.weights) > 0
    for column, expected in enumerate(theory.permutation_importance):
        changed = inputs.copy()
        changed[:, column] = np.roll(changed[:, column], 1)
        near(clean.astype(float) - (signs * (changed @ theory.weights) > 0), expected)
    assert (theory.permutation_importance[1] > 0) == (theory.c > 0)


@cases
def test_conditional_means_by_strata(theory: Theory):
    """What is left of the output is on average 0 in every stratum of the column that is given."""
    inputs, _ = drawn(theory)
    left = (inputs @ theory.weights)[:, None] - theory.conditional_means(inputs)
    for column in (0, 1):
        for stratum in np.array_split(np.argsort(inputs[:, column]), 8):
            near(left[stratum, column], 0.0)
    stray = inputs[:, 1] - theory.expected_suppressor(inputs[:, 0])
    for stratum in np.array_split(np.argsort(inputs[:, 0]), 8):
        near(stray[stratum], 0.0)


def test_conditional_shapley_values_are_those_of_the_game():
    theory = CASES[2]
    x = np.array([[1.3, -0.4], [-0.2, 0.9]])
    both, (first, second) = x @ theory.weights, theory.conditional_means(x).T
    np.testing.assert_allclose(
        theory.conditional_shapley(x), np.stack([first + both - second, second + both - first], axis=1) / 2
    )
    # The published expression, with the exact mean in place of the linear predictor.
    alpha = theory.weights[0]
    suppressed = theory.c**2 * (x[:, 0] - np.tanh(x[:, 0] / theory.s1**2)) - theory.ratio * x[:, 1]
    np.testing.assert_allclose(theory.conditional_shapley(x)[:, 1], alpha / 2 * suppressed)


def test_numbers_that_were_worked_out_apart():
    """Numbers written down before the code was: s1 = .8, s2 = .5, c = .8."""
    theory = Theory(0.8)
    np.testing.assert_allclose(theory.weights, [0.6156, -0.7880], atol=5e-5)
    np.testing.assert_allclose(theory.pattern, [0.757, 0], atol=1e-3)
    np.testing.assert_allclose((theory.accuracy, theory.accuracy_without), (0.9814, 0.8944), atol=1e-4)
    np.testing.assert_allclose(theory.permutation_importance, [0.481, 0.145], atol=1.5e-3)
    inputs, _ = drawn(theory)
    np.testing.assert_allclose(abs(theory.contributions(inputs)).mean(axis=0), [0.665, 0.314], atol=2e-3)
    # The numbers .547 and .137 are those of the best linear predictor; the exact form gives others.
    alone = theory.weights[0] * inputs[:, 0] * (1 - 0.8**2 * 0.8**2 / (1 + 0.8**2))
    output = inputs @ theory.weights
    np.testing.assert_allclose([abs(output + s * alone).mean() / 2 for s in (1, -1)], [0.547, 0.137], atol=2e-3)
    np.testing.assert_allclose(abs(theory.conditional_shapley(inputs)).mean(axis=0), [0.567, 0.124], atol=2e-3)
    assert round(Theory(0.4).permutation_importance[1], 3) == 0.037


@cases
def test_mean_shares(theory: Theory):
    inputs, _ = drawn(theory)
    for maps in (theory.contributions, theory.conditional_shapley):
        sizes = abs(maps(inputs))
        near(sizes[:, 1] / sizes.sum(axis=1), theory.mean_share(maps))
    weights = abs(theory.weights)
    assert abs(theory.slope_share - weights[1] / weights.sum()) < 1e-12


@pytest.mark.parametrize("c", [0.0, 0.8])
@pytest.mark.parametrize("recipe", [bayes_linear, logistic_regression])
def test_gates_pass(recipe, c: float):
    data = suppressor(seed=3, c=c)
    model = as_predictor(recipe(data))
    right = (model.predict(torch.from_numpy(data.test_inputs)).argmax(dim=1).numpy() == data.test_targets).mean()
    gates = measure_gates(data, model, float(right)).gates
    assert [g.name for g in gates] == ["accuracy", "accuracy, signal flipped", "accuracy, signal removed (data)"]
    assert all(g.passed for g in gates), gates


def test_the_gate_finds_a_suppressor_that_tells_the_label():
    """A planted fault: the label shows in the noise of the test rows."""
    data = suppressor(seed=3)
    check = data.interventions[1]
    check.inputs[:, 1] -= 0.2 * (2 * data.test_targets - 1)
    model = as_predictor(bayes_linear(data))
    assert not all(g.passed for g in measure_gates(data, model, 1.0).gates)


def test_masks_and_distractors_are_the_two_columns():
    data = suppressor(seed=0, train=20, test=10)
    assert (data.test_mask == [True, False]).all()
    assert (data.test_distractors == [False, True]).all()
    assert data.truth_kind == "data"
    assert suppressor(seed=0, c=0.2, train=20, test=10).fingerprint != data.fingerprint


def test_bayes_logits_are_the_output_and_its_negative():
    data = suppressor(seed=0, train=20, test=10)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    model = bayes_linear(data)
    assert torch.equal(torch.get_rng_state(), state)
    output = data.test_inputs @ Theory(0.8).weights
    with torch.no_grad():
        np.testing.assert_allclose(model(torch.from_numpy(data.test_inputs)), np.stack([-output, output], 1), atol=1e-6)


def test_logistic_regression_is_scikit_learns_and_the_maximum_of_the_likelihood():
    from sklearn.linear_model import LogisticRegression

    data = suppressor(seed=1, c=0.4, train=2_000)
    model = logistic_regression(data)
    inputs = torch.from_numpy(data.test_inputs)
    # In float64: of float32 inputs scikit-learn's solver stops where rounding hides the slope, which is too early.
    theirs = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(
        data.train_inputs.astype(np.float64), data.train_targets
    )
    with torch.no_grad():
        ours = torch.softmax(model(inputs), dim=1)
    np.testing.assert_allclose(ours, theirs.predict_proba(data.test_inputs.astype(np.float64)), atol=1e-6)
    # Where the likelihood is largest, what is left of the labels is uncorrelated with every column.
    with torch.no_grad():
        left = data.train_targets - torch.softmax(model(torch.from_numpy(data.train_inputs)), dim=1)[:, 1].numpy()
    assert abs(data.train_inputs.T @ left).max() / len(left) < 1e-5


def test_logistic_regression_of_three_classes():
    rng = np.random.default_rng(0)
    inputs, labels = rng.standard_normal((300, 4)).astype(np.float32), rng.integers(3, size=300)
    model = logistic_regression(Data("table", inputs, labels, inputs, labels, class_names=("a", "b", "c")))
    with torch.no_grad():
        left = np.eye(3)[labels] - torch.softmax(model(torch.from_numpy(inputs)), dim=1).numpy()
    assert abs(inputs.T @ left).max() / 300 < 1e-5


def test_what_is_missing_is_said():
    inputs, labels = np.zeros((4, 2), dtype=np.float32), np.array([0, 1, 0, 1])
    with pytest.raises(UsageError, match="provides the best weights"):
        bayes_linear(Data("table", inputs, labels, inputs, labels))
    with pytest.raises(UsageError, match="1 of 2 classes"):
        logistic_regression(Data("table", inputs, labels * 0, inputs, labels, class_names=("a", "b")))
