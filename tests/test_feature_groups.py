"""Groups of columns, such as one-hot blocks, are one feature each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.feature_groups import feature_groups, one_hot_features
from xaibench.core.features import FeatureLayout

pytestmark = pytest.mark.filterwarnings("ignore::xaibench.core.errors.UnusedBackgroundWarning")
RNG = np.random.default_rng(0)
N, M = 200, 5
JOB = RNG.integers(0, M, N)
AGE = RNG.normal(size=N)
X = np.c_[AGE, np.eye(M)[JOB]]
W = np.r_[1.5, RNG.normal(size=M)]
BLOCK = {"job": [1, 2, 3, 4, 5]}


def linear(a: Any) -> Any:
    return a @ W


def explain(name: str, **more: Any) -> np.ndarray:
    given = {"model": linear, "returns": "value", "inputs": X[:6], "background": X, "feature_groups": BLOCK}
    return np.asarray(xb.explain(name, **{**given, **more}))


def test_the_shapley_value_of_a_block_is_the_sum_of_its_columns() -> None:
    exact = (X[:6] - X.mean(axis=0)) * W
    found = explain("kernel_shap", references="rows", n_references=N)
    np.testing.assert_allclose(found, np.c_[exact[:, 0], exact[:, 1:].sum(axis=1)], atol=1e-6)


def test_two_synonyms_for_one_category_change_nothing_but_single_columns() -> None:
    # Category 0 is called by two names, at random; the model says the same for both.
    twin = np.where(RNG.random(N) < 0.5, M, JOB)
    job = np.where(JOB == 0, twin, JOB)
    split = np.c_[AGE, np.eye(M + 1)[job]]
    weights = np.r_[W, W[1]]
    references = {"references": "rows", "n_references": N}
    whole = explain("kernel_shap", **references)
    more = {"model": lambda a: a @ weights, "inputs": split[:6], "background": split}
    parted = explain("kernel_shap", **more, feature_groups={"job": range(1, M + 2)}, **references)
    np.testing.assert_allclose(parted, whole, atol=1e-6)
    alone = explain("kernel_shap", feature_groups=None, **references)
    apart = explain("kernel_shap", **more, feature_groups=None, **references)
    rows = JOB[:6] == 0
    assert rows.any()
    assert (np.abs(alone[rows, 1] - np.maximum(apart[rows, 1], apart[rows, -1])) > 0.01).all() or (
        np.abs(alone[rows, 1] - apart[rows, 1]) > 0.01
    ).all()


class Strict:
    """A function that takes one-hot rows only."""

    def __call__(self, a: np.ndarray) -> np.ndarray:
        assert (a[:, 1:].sum(axis=1) == 1).all()
        assert np.isin(a[:, 1:], (0, 1)).all()
        return a @ W


@pytest.mark.parametrize("masker", ["zero", "mean", "uniform", "marginal", "sample_min"])
@pytest.mark.parametrize("name", ["feature_ablation", "occlusion", "lime", "kernel_shap", "shapley_sampling", "rise"])
def test_no_masker_makes_half_a_category(masker: str, name: str) -> None:
    assert explain(name, model=Strict(), masker=masker).shape == (6, 2)


@pytest.mark.parametrize("metric", ["max_sensitivity", "infidelity", "relative_input_stability", "sensitivity_n"])
def test_metrics_leave_blocks_whole(metric: str) -> None:
    found = xb.score(
        metric,
        model=Strict(),
        returns="value",
        inputs=X[:6],
        background=X,
        explain="kernel_shap",
        feature_groups=BLOCK,
    )
    assert found.shape == (6,)
    assert np.isfinite(found).any()


def test_tabular_lime_draws_whole_blocks() -> None:
    found = explain("tabular_lime", model=Strict(), n_samples=4000)
    exact = (X[:6] - X.mean(axis=0)) * W
    np.testing.assert_allclose(found, np.c_[exact[:, 0], exact[:, 1:].sum(axis=1)], atol=0.05)


def test_uniform_draws_every_category_about_equally_often() -> None:
    from xaibench.core.draws import Draws
    from xaibench.core.masking.maskers import make_masker

    layout = FeatureLayout("table", (6,), groups=((0,), (1, 2, 3, 4, 5)), categorical=(1,))
    rare = torch.from_numpy(np.r_[X[:10], X[JOB == 1]])
    draws = Draws(0, "s", [str(i).encode() for i in range(2000)])
    fill = make_masker("uniform", rare[:1].expand(2000, -1), layout, rare, draws).fill
    share = fill[:, 1:].mean(dim=0)
    seen = rare[:, 1:].any(dim=0)
    assert torch.equal(share > 0, seen)
    assert (share[seen] - 1 / int(seen.sum())).abs().max() < 0.04


def test_gradient_explainers_sum_contributions_and_take_the_root_mean_square_of_slopes() -> None:
    net = torch.nn.Linear(6, 1, bias=False)
    net.weight.data = torch.tensor(W[None], dtype=torch.float32)
    given = {"model": net, "inputs": X[:6].astype(np.float32), "background": X.astype(np.float32)}
    exact = X[:6] * W
    whole = np.c_[exact[:, 0], exact[:, 1:].sum(axis=1)]
    for name in ("input_x_gradient", "lrp"):
        np.testing.assert_allclose(explain(name, **given), whole, atol=1e-5)
    for name in ("gradient", "smoothgrad", "guided_backprop", "saliency"):
        found = explain(name, **given)
        np.testing.assert_allclose(found[:, 0], 1.5, rtol=1e-5)
        np.testing.assert_allclose(found[:, 1], np.sqrt(np.mean(W[1:] ** 2)), rtol=1e-5)
    # The most frequent category stands for none of them.
    frequent = np.bincount(JOB).argmax()
    path = explain("integrated_gradients", **given)
    np.testing.assert_allclose(path[:, 1], exact[:, 1:].sum(axis=1) - W[1 + frequent], atol=1e-5)


def test_permutation_importance_permutes_blocks() -> None:
    logits = lambda a: np.c_[np.zeros(len(a)), 5 * (a[:, 1:] @ W[1:])]  # noqa: E731

    def strict(a: np.ndarray) -> np.ndarray:
        Strict()(a)
        return logits(a)

    labels = logits(X).argmax(axis=1)
    found = xb.Problem(
        strict, X[:4], returns="logit", background=X, background_labels=labels, labels=labels[:4], feature_groups=BLOCK
    ).explain("permutation_importance")
    assert found.shape == (4, 2)
    assert found[0, 0] == 0
    assert found[0, 1] > 0.2


def test_groups_of_quantities_move_together() -> None:
    x = RNG.normal(size=(5, 4))
    given = {"model": lambda a: a @ [1.0, 2.0, -3.0, 5.0], "returns": "value", "inputs": x}
    found = xb.explain("finite_difference", **given, feature_groups=[[0, 2], [1], [3]])
    np.testing.assert_allclose(found, np.tile([-2.0, 2.0, 5.0], (5, 1)), rtol=1e-4)
    found = xb.explain("feature_ablation", **given, feature_groups=[[1, 3], [0]])
    np.testing.assert_allclose(found, np.c_[x[:, 0], 2 * x[:, 1] + 5 * x[:, 3], -3 * x[:, 2]], rtol=1e-4)


def test_truth_and_controls_are_of_groups() -> None:
    problem = xb.Problem(
        linear, X[:6], returns="value", background=X, truth=np.tile([False, True], (6, 1)), feature_groups=BLOCK
    )
    assert problem.explain("oracle").tolist() == [[0.0, 1.0]] * 6
    assert problem.explain("random").shape == (6, 2)
    assert problem.score("auprc", np.tile([0.0, 1.0], (6, 1))).tolist() == [1.0] * 6
    with pytest.raises(UsageError, match=r"attributions have shape \(6, 6\), the features \(6, 2\)"):
        problem.score("auprc", np.zeros((6, 6)))


def test_nothing_changes_where_every_column_is_a_group() -> None:
    for name in ("kernel_shap", "lime", "shapley_sampling", "c_lime"):
        np.testing.assert_array_equal(
            explain(name, feature_groups=None), explain(name, feature_groups=[[j] for j in range(6)])
        )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"job": [1, 2], "b": [2, 3]}, "column 2 is in two groups"),
        ({"job": [1, 9]}, "the group 'job' names column 9, which the inputs do not have"),
        ([[1, "x"]], "group 0 names column 'x'"),
        ({"job": []}, "the group 'job' has no columns"),
        ("job", "feature_groups is a str"),
        ({"job": 3}, "the group 'job' is 3"),
    ],
)
def test_wrong_groups_are_said_in_a_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        explain("occlusion", feature_groups=given)


@pytest.mark.parametrize("background", [np.ones((5, 4)), np.ones((0, 6))])
def test_a_background_of_another_shape_is_said_before_groups_are_looked_for_in_it(background: Any) -> None:
    with pytest.raises(UsageError, match=r"background samples have shape|background has no samples"):
        explain("occlusion", background=background)


def test_completeness_has_no_marginal_baseline_where_removal_averages_over_rows() -> None:
    given: dict[str, Any] = {"model": linear, "returns": "value", "inputs": X[:6], "background": X}
    alone, blocks = xb.Problem(**given), xb.Problem(**given, feature_groups=BLOCK)
    exact = alone.score("completeness", alone.explain("kernel_shap", masker="marginal"), baseline="marginal")
    np.testing.assert_allclose(exact, 0, atol=1e-4)
    for masker in ("mean", "zero"):
        maps = blocks.explain("kernel_shap", masker=masker)
        np.testing.assert_allclose(blocks.score("completeness", maps, baseline=masker), 0, atol=1e-4)
    with pytest.raises(UnsupportedError, match="no one output that attributions have to sum to"):
        blocks.score("completeness", blocks.explain("kernel_shap", masker="marginal"), baseline="marginal")


@pytest.mark.parametrize("metric", ["infidelity", "slope_test", "recourse_test"])
def test_the_slope_of_a_group_is_a_size_and_claims_no_sign(metric: str) -> None:
    net = torch.nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -2.0, 0.5, -3.0]]))
    rows = RNG.normal(size=(12, 4)).astype(np.float32)
    given: dict[str, Any] = {"model": net, "returns": "value", "inputs": rows, "background": rows}
    alone, grouped = xb.Problem(**given), xb.Problem(**given, feature_groups=[[1, 3]])
    exact = alone.score(metric, alone.explain("gradient"))
    np.testing.assert_allclose(exact, 0 if metric == "infidelity" else 2, atol=1e-6)
    with pytest.raises(UnsupportedError, match="that of a group of columns is the size of those along them"):
        grouped.score(metric, grouped.explain("gradient"))
    assert np.isfinite(grouped.score(metric, grouped.explain("occlusion", masker="mean"))).all()


def test_noise_leaves_blocks_of_a_category_alone_so_that_their_slopes_claim_nothing() -> None:
    net = torch.nn.Linear(6, 1, bias=False)
    blocks = xb.Problem(net, X[:6], returns="value", background=X, feature_groups=BLOCK)
    np.testing.assert_allclose(blocks.score("infidelity", blocks.explain("gradient")), 0, atol=1e-6)


def test_groups_are_about_tables() -> None:
    with pytest.raises(UsageError, match="feature_groups and categorical_features are about tables"):
        xb.explain("occlusion", model=lambda a: a.sum((1, 2, 3)), inputs=np.ones((2, 1, 4, 4)), feature_groups=[[0]])


def test_names_and_order_of_groups() -> None:
    found = feature_groups({"job": ["b", "c"]}, 4, ["c", "age", "b", "sex"])
    assert found.members == ((2, 0), (1,), (3,))
    assert found.names == ("job", "age", "sex")


def test_one_hot_blocks_are_told_from_other_groups_scaled_or_not() -> None:
    block = np.eye(3)[[0, 1, 2, 1, 0]]
    scaled = (block - block.mean(axis=0)) / block.std(axis=0)
    without = np.vstack([block, np.zeros((2, 3))])
    members = [(0, 1, 2)]
    assert one_hot_features(members, block) == (0,)
    assert one_hot_features(members, scaled) == (0,)
    assert one_hot_features(members, without) == (0,)
    assert one_hot_features(members, np.array([[1.0, 1, 0], [0, 1, 0]])) == ()
    assert one_hot_features(members, RNG.normal(size=(5, 3))) == ()


def test_marginal_removal_of_a_block_averages_rows() -> None:
    found = [explain("feature_ablation", masker="marginal", seed=s) for s in range(200)]
    exact = (X[:6] - X.mean(axis=0)) * W
    whole = np.c_[exact[:, 0], exact[:, 1:].sum(axis=1)]
    np.testing.assert_allclose(np.mean(found, axis=0), whole, atol=0.06)
    # One row has the standard deviation of the column, the mean of 16 a quarter of it.
    deviation = (X @ np.diag(W))[:, 1:].sum(axis=1).std() / 4
    np.testing.assert_allclose(np.std(found, axis=0)[:, 1], deviation, rtol=0.25)
    for name in ("kernel_shap", "shapley_sampling"):
        np.testing.assert_allclose(
            explain(name, masker="marginal"), explain("feature_ablation", masker="marginal"), atol=1e-5
        )
