"""Agreement between explainers: closed forms, simulation of chance, and the metrics of the same name."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations, product

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_evaluation, make_inputs, make_view

from xaibench.analysis.explainer_agreement import (
    AGREEMENT_COLUMNS,
    AGREEMENT_MEASURES,
    Explanations,
    explainer_agreement,
    size_of_top,
)
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth

N, F = 40, 12


def explanations(*maps: np.ndarray, signed: bool | list[bool] = True) -> Explanations:
    stacked = np.stack(maps).astype(np.float64)
    return Explanations(
        ("digits", "cnn", "first"),
        [(f"e{i}", "{}") for i in range(len(maps))],
        stacked,
        np.broadcast_to(signed, len(maps)),
        [f"s{i}" for i in range(stacked.shape[1])],
    )


def by_measure(*maps: np.ndarray, k=0.25, **more):
    found = explainer_agreement([explanations(*maps, **more)], suite="mine", k=k)
    assert list(found.columns) == AGREEMENT_COLUMNS
    return found.set_index("measure")


def test_equal_and_opposite_maps():
    a = np.random.default_rng(0).standard_normal((N, F))
    assert (by_measure(a, a)["value"] == 1).all()
    assert (by_measure(a, 3 * a)["value"] == 1).all(), "magnitudes of the whole map play no role"
    turned = by_measure(a, -a)["value"]
    assert (turned["feature"], turned["rank"], turned["sign"], turned["signed_rank"]) == (1, 1, 0, 0)


def test_a_map_by_hand():
    a, b = np.array([[4.0, -3, 2, 1]]), np.array([[3.0, 4, 0, 1]])
    found = by_measure(a, b, k=2)["value"]
    assert (found["feature"], found["rank"], found["sign"], found["signed_rank"]) == (1, 0, 0.5, 0)
    found = by_measure(a, b, k=1)["value"]
    assert (found == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_chance_is_what_independent_rankings_have(share):
    """Magnitudes in random order, signs positive with some probability: the closed form meets the simulation."""
    rng = np.random.default_rng(1)
    n, k = 20_000, 4

    def random_maps():
        return rng.standard_exponential((n, F)) * np.where(rng.random((n, F)) < share, 1, -1)

    found = by_measure(random_maps(), random_maps(), k=k)
    same_sign = share**2 + (1 - share) ** 2
    wanted = {"feature": k / F, "rank": 1 / F, "sign": k / F * same_sign, "signed_rank": same_sign / F}
    for measure in AGREEMENT_MEASURES:
        assert found.loc[measure, "expected"] == pytest.approx(wanted[measure], abs=0.003)
        assert found.loc[measure, "value"] == pytest.approx(found.loc[measure, "expected"], abs=0.004)


@pytest.mark.slow
def test_chance_given_the_maps_at_hand():
    """Features of one fixed map are shuffled, its signs with them: the mean is the expected value, sign by sign."""
    rng = np.random.default_rng(2)
    a = np.tile(np.array([5.0, 4, 3, -2, 1, 0.5, 0, 0]), (20_000, 1))
    b = rng.permuted(np.tile(np.array([-9.0, -8, 7, 6, 1, 1, 1, 1]), (20_000, 1)), axis=1)
    found = by_measure(a, b, k=4)
    assert found.loc["sign", "expected"] == pytest.approx((3 * 2 + 1 * 2) / (4 * 8))
    assert found.loc["signed_rank", "expected"] == pytest.approx(1 / (4 * 8)), "only the third ones share a sign"
    for measure in AGREEMENT_MEASURES:
        assert found.loc[measure, "value"] == pytest.approx(found.loc[measure, "expected"], abs=0.006)


@pytest.mark.parametrize("k", [3, 0.25, 6])
def test_they_are_the_metrics_of_the_same_name(k):
    """An explainer against true weights, none of which is 0 and no two of which tie."""
    inputs = make_inputs((F,), N)
    weights = torch.from_numpy(np.random.default_rng(3).standard_normal((N, F)).astype(np.float32))
    maps = weights + torch.from_numpy(np.random.default_rng(4).standard_normal((N, F)).astype(np.float32))
    view = make_view(linear((F,)), inputs, truth=Truth("model", weights=weights))
    found = by_measure(maps.numpy(), weights.numpy(), k=k)
    for measure in AGREEMENT_MEASURES:
        spec = get("metric", f"{measure}_agreement")
        wanted = score(spec, spec.bind({"k": k}), make_evaluation(view, maps, kind="slope")).values
        assert found.loc[measure, "value"] == pytest.approx(wanted.mean().item(), abs=1e-6)


def orders_of(row):
    """Every order of the features by magnitude that ties leave open."""
    size = np.abs(row)
    return [p for p in permutations(range(len(row))) if all(size[i] >= size[j] for i, j in pairwise(p))]


def by_enumeration(a, b, k):
    """Definitions, averaged over every order of both maps."""
    found = dict.fromkeys(AGREEMENT_MEASURES, 0.0)
    chance = dict.fromkeys(AGREEMENT_MEASURES, 0.0)
    orders = list(product(orders_of(a), orders_of(b)))
    s, t = np.sign(a), np.sign(b)
    for p, q in orders:
        p, q = p[:k], q[:k]
        found["feature"] += len(set(p) & set(q))
        found["sign"] += sum(s[i] == t[i] for i in set(p) & set(q))
        found["rank"] += sum(i == j for i, j in zip(p, q, strict=True))
        found["signed_rank"] += sum(i == j and s[i] == t[i] for i, j in zip(p, q, strict=True))
        chance["feature"] += k * k
        chance["rank"] += k
        chance["sign"] += sum(s[i] == t[j] for i in p for j in q)
        chance["signed_rank"] += sum(s[i] == t[j] for i, j in zip(p, q, strict=True))
    return (
        {m: v / (k * len(orders)) for m, v in found.items()},
        {m: v / (k * len(a) * len(orders)) for m, v in chance.items()},
    )


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        ([5, 0, 0, 0, 0], [5, 0, 0, 0, 0]),
        ([5, 0, 0, 0, 0], [0, 0, 3, 0, 0]),
        ([1, -1, 1, -1, 0], [-1, -1, 2, 0, 0]),
        ([3, 2, 2, -2, 1], [1, 1, -1, 4, 4]),
        ([1, 2, 3, 4, 5], [2, 2, 2, 2, 2]),
        ([1, 2, 3, 4, 5], [1, -2, 3, -4, 5]),
    ],
)
def test_ties_are_every_order_that_they_allow(a, b, k):
    value, expected = by_enumeration(np.array(a, float), np.array(b, float), k)
    found = by_measure(np.array([a], float), np.array([b], float), k=k)
    for measure in AGREEMENT_MEASURES:
        assert found.loc[measure, "value"] == pytest.approx(value[measure], abs=1e-12)
        assert found.loc[measure, "expected"] == pytest.approx(expected[measure], abs=1e-12)


def test_maps_that_say_nothing_agree_as_chance_does():
    """Two zero maps, and two that show the same feature only: before, all of the rest agreed, as by one draw."""
    flat = np.ones((4, F))
    assert by_measure(flat, flat)["value"]["feature"] == pytest.approx(0.25)
    assert by_measure(flat, flat)["expected"]["feature"] == pytest.approx(0.25)
    sparse = np.zeros((4, F))
    sparse[:, 2] = 1
    assert by_measure(sparse, sparse)["value"]["feature"] == pytest.approx((1 + 2 * 2 / 11) / 3)
    a = np.random.default_rng(5).standard_exponential((400, F))
    assert by_measure(np.ones((400, F)), a)["value"]["feature"] == pytest.approx(0.25)


def test_unsigned_maps_have_no_signs_to_agree_in():
    a = np.random.default_rng(6).standard_exponential((N, F))
    found = by_measure(a, -a, a, signed=[True, True, False])
    assert len(found.loc[["feature"]]) == len(found.loc[["rank"]]) == 3
    assert len(found.loc[["sign"]]) == len(found.loc[["signed_rank"]]) == 1


def test_a_missing_map_is_counted():
    a = np.random.default_rng(7).standard_normal((N, F))
    b = a.copy()
    b[:10] = np.nan
    found = by_measure(a, b)
    assert (found["value"] == 1).all()
    assert (found["n"] == N - 10).all()
    assert (found["n_undefined"] == 10).all()


def test_sizes():
    assert size_of_top(0.25, 10) == 3
    assert size_of_top(0.07, 100) == 7
    assert size_of_top(50, 10) == 10
    assert size_of_top(0.001, 10) == 1


def test_samples_of_different_sizes_agree_as_each_of_them_alone():
    """Texts: what lies behind the words of a short one is no feature, and k is a share of its own words."""
    rng = np.random.default_rng(3)
    long, short = rng.standard_normal((2, 6, 12)), rng.integers(-2, 3, (2, 4, 5)).astype(float)
    both = np.concatenate([long, np.pad(short, ((0, 0), (0, 0), (0, 7)))], axis=1)
    one = replace(explanations(*both), sizes=np.repeat([12, 5], [6, 4]))
    found = explainer_agreement([one], suite="mine").set_index("measure")
    apart = [by_measure(*part) for part in (long, short)]
    for column in ("value", "expected"):
        expected = (6 * apart[0][column] + 4 * apart[1][column]) / 10
        np.testing.assert_allclose(found[column], expected, atol=1e-12)
    assert (found.loc["feature", ["k", "features", "n"]] == [3, 12, 10]).all()
