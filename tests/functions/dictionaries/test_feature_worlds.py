"""Worlds of features: the forest, rates against closed forms and enumeration, directions, and gates."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.functions.dictionaries import generation
from xaibench.functions.dictionaries.generation import strongest_features, synth_sae
from xaibench.functions.dictionaries.worlds import FeatureWorld, feature_world, forest

SMALL = {"d": 32, "n": 256, "p_max": 0.4, "p_min": 0.0005}


@cache
def small_world() -> FeatureWorld:
    return feature_world(np.random.default_rng(11), **SMALL)  # type: ignore[arg-type]


@cache
def sampled() -> tuple[torch.Tensor, torch.Tensor]:
    return small_world().sample(40_000, np.random.default_rng(5))


def test_the_forest_has_whole_groups_of_siblings_generation_after_generation() -> None:
    parents = forest(256)
    assert (parents < 0).tolist() == [True] * 4 + [False] * 252
    assert [int((parents == i).sum()) for i in (0, 3, 4, 19, 20, 62, 63, 255)] == [4, 4, 4, 4, 4, 4, 0, 0]
    assert int((forest(512) >= 0).sum()) == 4 * (4 + 16 + 64)
    assert (forest(6) < 0).all()


def test_rates_fall_as_the_root_of_the_number() -> None:
    rates = small_world().rates
    assert (rates[0], rates[-1]) == pytest.approx((0.4, 0.0005))
    i = np.array([1.0, 4.0, 16.0])
    fall = (rates[0] - rates[i.astype(int) - 1]) / (rates[0] - rates[-1])
    np.testing.assert_allclose(fall, (1 - i**-0.5) / (1 - 256**-0.5), rtol=1e-12)


def test_measured_rates_are_those_of_the_specification() -> None:
    _, activations = sampled()
    rates = (activations > 0).double().mean(dim=0)
    assert float((activations > 0).double().sum(dim=1).mean()) == pytest.approx(3.75, abs=0.2)
    for feature, rate in ((0, 0.40), (32, 0.021), (64, 0.012), (255, 0.0005)):
        assert float(rates[feature]) == pytest.approx(rate, rel=0.25, abs=4e-4), feature


def test_rates_without_correlation_are_those_of_an_enumeration() -> None:
    """All outcomes of a root, its four children, and four children of the first of these."""
    world = replace(small_world(), loadings=np.zeros((256, 25)), deviations=np.zeros(256))
    drawn = world.drawn_rates()

    def kept(group: np.ndarray, of: int) -> float:
        """Probability that one sibling is left where all are drawn on their own and one of the drawn is kept."""
        found = 0.0
        for outcome in product((0, 1), repeat=len(group)):
            p = float(np.prod(np.where(outcome, drawn[group], 1 - drawn[group])))
            found += p * outcome[of] / max(sum(outcome), 1)
        return found

    children = np.flatnonzero(world.parents == 0)
    grandchildren = np.flatnonzero(world.parents == children[0])
    wanted = {0: drawn[0]}
    wanted |= {int(c): drawn[0] * kept(children, i) for i, c in enumerate(children)}
    wanted |= {int(c): wanted[int(children[0])] * kept(grandchildren, i) for i, c in enumerate(grandchildren)}
    n = 100_000
    _, activations = world.sample(n, np.random.default_rng(3))
    rates = (activations > 0).double().mean(dim=0).numpy()
    for feature, p in wanted.items():
        assert abs(rates[feature] - p) < 4 * np.sqrt(p * (1 - p) / n), (feature, rates[feature], p)


def test_children_need_their_parent_siblings_exclude_each_other_and_inputs_are_sums() -> None:
    x, activations = sampled()
    world = small_world()
    on = activations > 0
    for child in range(4, 256):
        assert not (on[:, child] & ~on[:, int(world.parents[child])]).any()
    for first in range(4, 256, 4):
        assert int(on[:, first : first + 4].sum(dim=1).max()) <= 1
    torch.testing.assert_close(x, activations @ world.directions)
    assert (activations >= 0).all()


def test_magnitudes_of_children_scale_with_their_parent() -> None:
    world = replace(small_world(), deviations=np.zeros(256))
    _, activations = world.sample(5000, np.random.default_rng(1))
    for feature in (0, 4, 20):
        found = activations[:, feature].numpy()
        assert np.unique(found[found > 0]).tolist() == pytest.approx([world.means[feature]], rel=1e-5)
    doubled = replace(world, means=np.where(np.arange(256) == 0, 2 * world.means, world.means))
    assert doubled.means[4] == world.means[4], "a child's own mean stays"


def test_directions_are_of_unit_length_and_farther_apart_than_random_ones() -> None:
    products = small_world().directions.double() @ small_world().directions.double().T
    torch.testing.assert_close(products.diagonal(), torch.ones(256, dtype=torch.float64), atol=1e-6, rtol=0)
    rms = float((products.fill_diagonal_(0).square().sum() / (256 * 255)).sqrt())
    assert rms == pytest.approx(0.165, abs=0.004)
    assert rms < 32**-0.5


def test_correlated_features_are_correlated_as_the_copula_says() -> None:
    loadings = np.zeros((256, 25))
    loadings[:2, 0] = 0.8
    world = replace(small_world(), loadings=loadings, rates=np.where(np.arange(256) < 2, 0.5, small_world().rates))
    _, activations = world.sample(40_000, np.random.default_rng(2))
    both = float(((activations[:, 0] > 0) & (activations[:, 1] > 0)).double().mean())
    assert both == pytest.approx(0.25 + np.arcsin(0.64) / (2 * np.pi), abs=0.01)


def test_the_truth_has_the_features_of_most_energy_with_their_codes() -> None:
    activations = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    assert strongest_features(activations, 2).tolist() == [0, 1]
    (case,) = synth_sae(seed=11, n=1)
    truth = case.truth
    assert isinstance(truth, xb.Dictionary)
    assert case.shape == (64, 32, 4000)
    torch.testing.assert_close(truth.codes @ truth.directions, truth.reconstruction)
    assert (case.given.m, case.given.k) == (64, 4)
    assert not case.failed_gates


def test_a_generator_with_other_rates_fails_its_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "N_TRAIN", 20_000)
    monkeypatch.setattr(FeatureWorld, "root_rates", lambda self: self.rates[:4] + 0.02)
    (case,) = synth_sae(seed=11, n=1)
    assert [gate.name for gate in case.failed_gates] == ["largest error of the rate of a root, in standard errors"]
