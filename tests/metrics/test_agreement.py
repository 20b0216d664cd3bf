"""Agreement with true weights: literal definitions, expected values of chance, and the linear model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, TABLE, linear, make_evaluation, make_inputs, make_view
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.models.linear import truth_weights

AGREEMENTS = ["feature_agreement", "rank_agreement", "sign_agreement", "signed_rank_agreement"]
few = st.integers(-3, 3).map(float)  # many ties


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def weighted(
    maps: Tensor | np.ndarray | list[list[float]], weights: Tensor | np.ndarray | list[list[float]]
) -> Evaluation:
    maps, weights = (torch.as_tensor(t, dtype=torch.float32) for t in (maps, weights))
    shape = tuple(maps.shape[1:])
    view = make_view(linear(shape), make_inputs(shape, len(maps)))
    return make_evaluation(view, maps, truth=Truth("model", weights=weights))


def literal(name: str, a: np.ndarray, w: np.ndarray, k: int) -> float:
    """The definitions, one feature at a time."""
    top_a, top_w = (np.argsort(-np.abs(v))[:k].tolist() for v in (a, w))
    shared = {
        "feature_agreement": [f for f in top_w if f in top_a],
        "rank_agreement": [f for f, g in zip(top_w, top_a, strict=True) if f == g],
        "sign_agreement": [f for f in top_w if f in top_a and a[f] * w[f] > 0],
        "signed_rank_agreement": [f for f, g in zip(top_w, top_a, strict=True) if f == g and a[f] * w[f] > 0],
    }
    return len(shared[name]) / k


@pytest.mark.parametrize("name", AGREEMENTS)
@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_agreements_are_their_definitions(name: str, k: int) -> None:
    weights = make_inputs((9,), 60)
    maps = weights + 0.8 * make_inputs((9,), 60, seed=1)
    ev = weighted(maps, weights)
    pairs = list(zip(maps.numpy(), weights.numpy(), strict=True))
    np.testing.assert_allclose(run(name, ev, k=k), [literal(name, a, w, k) for a, w in pairs], rtol=1e-6)
    curves = np.array([[literal(name, a, w, j) for j in range(1, k + 1)] for a, w in pairs])
    area = np.trapezoid(curves, np.linspace(0, 1, k), axis=1) if k > 1 else curves[:, 0]
    np.testing.assert_allclose(run(name, ev, k=k, auc=True), area, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("feature_agreement", 5 / 20),
        ("rank_agreement", 1 / 20),
        ("sign_agreement", 5 / 40),
        ("signed_rank_agreement", 1 / 40),
        ("rank_correlation", 0),
        ("pairwise_rank_agreement", 1 / 2),
    ],
)
def test_independent_rankings_score_what_chance_scores(name: str, expected: float) -> None:
    values = run(name, weighted(make_inputs((20,), 4000), make_inputs((20,), 4000, seed=1))).double()
    assert values.mean().item() == pytest.approx(expected, abs=4 * values.std().item() / math.sqrt(4000))


@pytest.mark.parametrize("shape", [TABLE, IMAGE, RGB])
def test_gradients_of_a_linear_model_agree_and_their_products_with_inputs_do_not(shape: tuple[int, ...]) -> None:
    """Weights are slopes of the explained logit, so no sign needs turning, whatever the target."""
    module, inputs = linear(shape), make_inputs(shape, 40)
    view = make_view(module, inputs, targets=torch.arange(40) % 3)
    truth = Truth("model", weights=truth_weights(module, view.inputs, view.targets, view.layout))
    exact = make_evaluation(view, truth=truth)
    product = exact.with_attributions(view.layout.reduce(view.gradients(inputs) * inputs), "contribution")
    turned = exact.with_attributions(-exact.attributions, "slope")
    for name in [*AGREEMENTS, "rank_correlation", "pairwise_rank_agreement"]:
        np.testing.assert_allclose(run(name, exact), 1, rtol=1e-6)
        assert run(name, product).mean() < 0.9
        signed = name in ("sign_agreement", "signed_rank_agreement")
        np.testing.assert_allclose(run(name, turned), 0 if signed else 1, rtol=1e-6)
    for name in AGREEMENTS:
        np.testing.assert_allclose(run(name, exact, auc=True), 1, rtol=1e-6)


def test_features_without_weight_are_not_counted() -> None:
    weights = [[3.0, -2, 0, 0, 0, 0, 0, 0], [1.0, 2, 3, 4, 0, 0, 0, 0], [0.0] * 8]
    maps = [[1.0, 2, 0.5, 0.1, 0, 0, 0, 0], [1.0, 2, 3, 4, 9, 0, 0, 0], [1.0] * 8]
    ev = weighted(maps, weights)
    np.testing.assert_allclose(run("feature_agreement", ev, k=4), [2 / 2, 3 / 4, math.nan])
    np.testing.assert_allclose(run("rank_agreement", ev, k=4), [0, 0, math.nan])
    np.testing.assert_allclose(run("sign_agreement", ev, k=4), [1 / 2, 3 / 4, math.nan])
    np.testing.assert_allclose(
        run("feature_agreement", ev, k=4, auc=True),
        [(0 + 1) / 2, (0 / 2 + 1 / 2 + 2 / 3 + 3 / 8) / 3, math.nan],
        rtol=1e-6,
    )


def test_ties_are_the_same_for_weights_and_maps() -> None:
    weights = torch.tensor([[1.0, -1, 1, -1, 1, -1, 0, 0]]).repeat(20, 1)
    for name in AGREEMENTS:
        np.testing.assert_allclose(run(name, weighted(weights, weights), k=3), 1)
    chance = run("feature_agreement", weighted(torch.ones(20, 8), weights), k=3)
    assert chance.mean() < 1


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(2, 20).flatmap(lambda n: st.tuples(*[arrays(np.float32, (2, n), elements=few)] * 2)))
def test_pairs_and_correlations_with_ties(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, w = np.abs(pair[0]), np.abs(pair[1])
    ev = weighted(*pair)
    pairs, correlation = run("pairwise_rank_agreement", ev), run("rank_correlation", ev)
    upper = np.triu_indices(a.shape[1], 1)
    for row in range(2):
        order_a, order_w = (np.sign(v[row][:, None] - v[row])[upper] for v in (a, w))
        varies = [len(set(v[row])) > 1 for v in (a, w)]
        if varies[1]:
            assert pairs[row].item() == pytest.approx((order_a == order_w).mean(), abs=1e-6)
        else:
            assert bool(pairs[row].isnan())
        if all(varies):
            assert correlation[row].item() == pytest.approx(stats.spearmanr(a[row], w[row])[0], abs=1e-6)
        else:
            assert bool(correlation[row].isnan())


def test_pairs_are_counted_at_the_size_of_mnist() -> None:
    a, w = make_inputs((784,), 2), make_inputs((784,), 2, seed=1)
    expected = [(1 + stats.kendalltau(x, y)[0]) / 2 for x, y in zip(a.abs().numpy(), w.abs().numpy(), strict=True)]
    np.testing.assert_allclose(run("pairwise_rank_agreement", weighted(a, w)), expected, rtol=1e-6)


def test_a_single_feature_has_no_pairs() -> None:
    ev = weighted([[2.0], [-1.0]], [[1.0], [1.0]])
    assert bool(run("pairwise_rank_agreement", ev).isnan().all())
    assert run("sign_agreement", ev).tolist() == [1, 0]
