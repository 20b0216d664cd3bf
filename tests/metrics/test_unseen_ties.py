"""Ties give no credit, by enumeration: what a map with ties scores is the mean over all orders that it allows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import xaibench as xb

WEIGHTS: dict[str, list[float]] = {
    "no ties": [5, -4, 3, 2, -1],
    "two at the top": [3, -3, 2, 1, 0.5],
    "tied at the edge": [4, 2, -2, 2, 1],
    "three of one size, no others": [1, -1, 1, 0, 0],
    "two sizes": [2, 2, 1, -1, 1],
}
MAPS: dict[str, list[float]] = {
    "constant": [1, 1, 1, 1, 1],
    "half a mask": [1, 1, 0, 0, 0],
}


def score(metric: str, maps: np.ndarray, truth: np.ndarray, **params: object) -> np.ndarray:
    inputs = np.random.default_rng(0).normal(size=maps.shape).astype(np.float32)
    model = lambda a: np.full((len(a), 2), 0.5)  # noqa: E731
    found: np.ndarray = xb.score(
        metric, model=model, inputs=inputs, targets=np.zeros(len(maps), int), attributions=maps.astype(np.float32),
        truth=truth, **params,
    )  # fmt: skip
    return found


def orders(values: list[float]) -> np.ndarray:
    """Maps (M, d) without ties in all orders that the sizes of ``values`` allow, with their signs."""
    size, d = np.abs(values), len(values)
    found = []
    for order in itertools.permutations(range(d)):
        if all(size[a] >= size[b] for a, b in itertools.pairwise(order)):
            ranked = np.empty(d)
            ranked[list(order)] = np.arange(d, 0, -1)
            found.append(ranked * np.where(np.asarray(values) < 0, -1, 1))
    return np.array(found)


@pytest.mark.parametrize(
    ("metric", "maps"),
    [
        *itertools.product(["feature_agreement", "rank_agreement"], MAPS),
        # The zeros of a mask have no sign, which maps without ties would not know.
        ("sign_agreement", "constant"),
        ("signed_rank_agreement", "constant"),
    ],
)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_tied_maps_score_the_mean_over_their_orders(metric: str, maps: str, weights: str) -> None:
    truth = np.array(WEIGHTS[weights], np.float32)
    each = orders(MAPS[maps])
    expected = score(metric, each, np.tile(truth, (len(each), 1)), k=2).mean()
    found = score(metric, np.array([MAPS[maps]]), truth[None], k=2)
    assert found == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_perfect_map_has_everything(weights: str) -> None:
    truth = np.array([WEIGHTS[weights]], np.float32)
    for metric in ("feature_agreement", "rank_agreement", "sign_agreement", "signed_rank_agreement"):
        assert score(metric, truth, truth, k=2) == pytest.approx([1.0]), metric


MASK = np.array([True, True, False, False, False])
BY_DRAW = ["relevance_rank", "top_k_intersection", "pointing_game", "gea"]
BY_FORMULA = {"localisation_auc": 0.5, "auprc": 0.4, "relevance_mass": 0.4}


@pytest.mark.parametrize("metric", BY_DRAW)
@pytest.mark.parametrize("values", [[1, 1, 1, 1, 1], [1, 0, 1, 0, 0]])
def test_drawn_ties_score_the_mean_over_their_orders(metric: str, values: list[float]) -> None:
    """Over 3,000 samples a drawn order is the mean over all orders, within four standard errors."""
    params = {"k": 2} if metric == "top_k_intersection" else {}
    each = orders(values)
    expected = score(metric, each, np.tile(MASK, (len(each), 1)), **params).mean()
    found = score(metric, np.tile(np.array(values, float), (3000, 1)), np.tile(MASK, (3000, 1)), **params)
    assert abs(found.mean() - expected) <= 4 * found.std() / 3000**0.5 + 1e-6


@pytest.mark.parametrize("metric", BY_FORMULA)
def test_constant_maps_have_the_area_of_the_mask(metric: str) -> None:
    assert score(metric, np.ones((1, 5)), MASK[None]) == pytest.approx([BY_FORMULA[metric]])
