"""Agreement with true weights: literal definitions, expected values of chance, and the linear model."""

from __future__ import annotations

import math
from itertools import pairwise, permutations

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


def orders(values: np.ndarray) -> list[tuple[int, ...]]:
    """Every order of the features by falling value: all that ties allow."""
    return [o for o in permutations(range(len(values))) if all(values[a] >= values[b] for a, b in pairwise(o))]


def enumerated(name: str, a: np.ndarray, w: np.ndarray, k: int) -> float:
    """Mean over every order of the attributions of the best over every order of the weights."""
    k = min(k, np.count_nonzero(w))
    same = a * w > 0 if "sign" in name else np.ones(len(a), dtype=bool)

    def shared(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int:
        if "rank" in name:
            return sum(f == g and bool(same[f]) for f, g in zip(ours, theirs, strict=True))
        return sum(f in theirs and bool(same[f]) for f in ours)

    true_tops = {o[:k] for o in orders(np.abs(w))}
    return float(np.mean([max(shared(o[:k], t) for t in true_tops) for o in orders(np.abs(a))])) / k


TIED = [
    ("equal weights, constant map", [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]),
    ("equal weights, zero map", [1, -1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]),
    ("equal weights, oracle", [1, -1, 1, 0, 0, 0], [1, -1, 1, 0, 0, 0]),
    ("equal weights, almost the oracle", [1, 1, 1, 0, 0, 0], [1.02, 1.01, 1, 0, 0, 0]),
    ("equal weights, half of the oracle", [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]),
    ("equal weights, turned round", [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]),
    ("all weights equal", [1, -1, 1, -1, 1, -1], [3, 2, 2, 1, 1, 0]),
    ("one large, ties below", [3, 1, 1, 1, 0, 0], [0, 2, 2, 0, 2, 0]),
    ("ties above, one small", [2, 2, 2, 1, 0, 0], [1, 1, 0, 1, 0, 0]),
    ("two levels against two others", [2, 2, 1, 1, 1, 0], [1, 2, 1, 2, 1, 1]),
    ("no ties of weights, constant map", [6, 5, 4, 3, 2, 1], [1, 1, 1, 1, 1, 1]),
    ("no ties of weights, a mask", [6, -5, 4, 3, 2, 1], [1, 1, 1, 0, 0, 0]),
    ("signs differ within a tie", [1, -1, 1, -1, 0, 0], [1, 1, 1, 1, 1, 1]),
    ("more zeros than k", [5, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", AGREEMENTS)
@pytest.mark.parametrize(("weights", "maps"), [c[1:] for c in TIED], ids=[c[0] for c in TIED])
def test_ties_are_every_order_that_they_allow(name: str, weights: list[float], maps: list[float]) -> None:
    a, w = np.array(maps, dtype=float), np.array(weights, dtype=float)
    ev = weighted([maps], [weights])
    expected = [enumerated(name, a, w, k) for k in range(1, 7)]
    np.testing.assert_allclose([run(name, ev, k=k).item() for k in range(1, 7)], expected, rtol=1e-6, atol=1e-7)
    largest = np.count_nonzero(w)
    for k in range(2, 7):
        curve = [enumerated(name, a, w, j) for j in range(1, min(k, largest) + 1)]
        area = np.trapezoid(curve, np.linspace(0, 1, len(curve))) if len(curve) > 1 else curve[0]
        assert run(name, ev, k=k, auc=True).item() == pytest.approx(area, rel=1e-6, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", AGREEMENTS)
@settings(max_examples=80)
@given(st.integers(2, 6).flatmap(lambda n: st.tuples(*[arrays(np.float32, (n,), elements=few)] * 2, st.integers(1, n))))
def test_drawn_ties_are_every_order_that_they_allow(name: str, case: tuple[np.ndarray, np.ndarray, int]) -> None:
    a, w, k = case
    found = run(name, weighted(a[None], w[None]), k=k).item()
    assert math.isnan(found) if not w.any() else found == pytest.approx(enumerated(name, a, w, k), rel=1e-6, abs=1e-7)


def level_weights(level: str, rng: np.random.Generator, d: int) -> np.ndarray:
    """Weights of d features in an order of their own, with signs, as models with ties have them."""
    made = {
        "halves": np.arange(d) < d // 2,
        "three levels": np.repeat([2, 1, 0], [d // 3, d // 3, d - 2 * (d // 3)]),
        "all equal": np.ones(d),
        "pairs": (np.arange(d) + 2) // 2,
        "one": np.arange(d) == 0,
        "one of many": np.where(np.arange(d) == 0, 2, 1),
        "no ties": 1 + np.arange(d),
    }
    return rng.permutation(made[level].astype(float)) * rng.choice([-1, 1], d)


LEVELS = ["halves", "three levels", "all equal", "pairs", "one", "one of many", "no ties"]


@pytest.mark.slow
@pytest.mark.parametrize("auc", [False, True])
@pytest.mark.parametrize("k", [1, 2, 5, 9])
@pytest.mark.parametrize("level", LEVELS)
def test_maps_that_say_nothing_score_what_random_ones_do_and_the_oracle_one(level: str, k: int, auc: bool) -> None:
    rng, d, n = np.random.default_rng(k), 10, 1500
    weights = np.stack([level_weights(level, rng, d) for _ in range(n)])
    noise, signs = rng.standard_normal((n, d)), rng.choice([-1, 1], (n, d))
    for name in AGREEMENTS:
        random = run(name, weighted(noise, weights), k=k, auc=auc).double()
        # Signs are no matter of order: they are drawn for the map of which all places are equal.
        flat = run(name, weighted(signs, weights), k=k, auc=auc).double()
        error = math.sqrt((random.var().item() + flat.var().item()) / n)
        assert abs(flat.mean().item() - random.mean().item()) <= 4 * error + 1e-9, name
        zero = run(name, weighted(np.zeros((n, d)), weights), k=k, auc=auc)
        np.testing.assert_allclose(zero, 0 if "sign" in name else flat, atol=1e-6)
        np.testing.assert_allclose(run(name, weighted(weights, weights), k=k, auc=auc), 1, rtol=1e-6)
        shaken = weights * (1 + 1e-6 * rng.standard_normal((n, d)))
        np.testing.assert_allclose(run(name, weighted(shaken, weights), k=k, auc=auc), 1, rtol=1e-6)
    if level == "no ties":
        for name, chance in (("feature_agreement", k / d), ("rank_agreement", 1 / d)):
            if not auc:
                np.testing.assert_allclose(run(name, weighted(np.ones((n, d)), weights), k=k), chance, rtol=1e-6)


def test_a_constant_map_of_tied_weights_has_no_advantage() -> None:
    """Five equal weights of ten: a shuffle that both sides shared gave .53 and .39, more than a random map has."""
    weights = torch.tensor([1.0, -1, 1, -1, 1, 0, 0, 0, 0, 0]).repeat(400, 1)
    maps = {"random": make_inputs((10,), 400), "constant": torch.ones(400, 10), "zero": torch.zeros(400, 10)}
    for name, chance in (("feature_agreement", 0.5), ("rank_agreement", 0.5), ("sign_agreement", 0.25)):
        found = {key: run(name, weighted(m, weights), k=2) for key, m in maps.items()}
        assert found["random"].mean().item() == pytest.approx(chance, abs=0.06)
        # Three of the five weights that tie are positive.
        np.testing.assert_allclose(found["constant"], 0.3 if name == "sign_agreement" else chance, rtol=1e-6)
        np.testing.assert_allclose(found["zero"], 0 if name == "sign_agreement" else chance, rtol=1e-6)
        np.testing.assert_allclose(run(name, weighted(weights, weights), k=2), 1, rtol=1e-6)


def test_shared_top_of_many_ties_is_the_mean_of_shuffled_ones() -> None:
    """At the size of MNIST, where all orders cannot be enumerated."""
    rng, d, k = np.random.default_rng(0), 784, 196
    weights, maps = rng.integers(0, 6, d).astype(float), rng.integers(0, 4, d).astype(float)
    shaken = maps + 1e-3 * rng.random((1000, d))
    for name in ("feature_agreement", "rank_agreement"):
        exact = run(name, weighted(maps[None], weights[None]), k=k).item()
        drawn = run(name, weighted(shaken, np.tile(weights, (1000, 1))), k=k).double()
        assert exact == pytest.approx(drawn.mean().item(), abs=4 * drawn.std().item() / math.sqrt(1000))


@pytest.mark.slow
@settings(max_examples=60)
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
            share = (1 + order_a * order_w)[order_w != 0].mean() / 2
            assert pairs[row].item() == pytest.approx(share, abs=1e-6)
        else:
            assert bool(pairs[row].isnan())
        if all(varies):
            assert correlation[row].item() == pytest.approx(stats.spearmanr(a[row], w[row])[0], abs=1e-6)
        else:
            assert bool(correlation[row].isnan())


@pytest.mark.slow
@pytest.mark.parametrize("level", [level for level in LEVELS if level != "all equal"])
def test_pairs_of_a_constant_map_are_a_coin(level: str) -> None:
    rng, d, n = np.random.default_rng(1), 10, 3000
    weights = np.stack([level_weights(level, rng, d) for _ in range(n)])
    for maps in (np.ones((n, d)), np.zeros((n, d))):
        np.testing.assert_allclose(run("pairwise_rank_agreement", weighted(maps, weights)), 0.5, rtol=1e-6)
    random = run("pairwise_rank_agreement", weighted(rng.standard_normal((n, d)), weights)).double()
    assert random.mean().item() == pytest.approx(0.5, abs=4 * random.std().item() / math.sqrt(n))
    np.testing.assert_allclose(run("pairwise_rank_agreement", weighted(weights, weights)), 1, rtol=1e-6)


def test_pairs_are_counted_at_the_size_of_mnist() -> None:
    a, w = make_inputs((784,), 2), make_inputs((784,), 2, seed=1)
    expected = [(1 + stats.kendalltau(x, y)[0]) / 2 for x, y in zip(a.abs().numpy(), w.abs().numpy(), strict=True)]
    np.testing.assert_allclose(run("pairwise_rank_agreement", weighted(a, w)), expected, rtol=1e-6)


def test_a_single_feature_has_no_pairs() -> None:
    ev = weighted([[2.0], [-1.0]], [[1.0], [1.0]])
    assert bool(run("pairwise_rank_agreement", ev).isnan().all())
    assert run("sign_agreement", ev).tolist() == [1, 0]
