"""Sparse autoencoders: activations against their definitions, gradients, training on worlds that can be recovered."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.functions.dictionaries.activation_rules import (
    JumpReLU,
    StepFunction,
    largest_of_batch,
    largest_of_rows,
    matching_pursuit,
)
from xaibench.functions.dictionaries.generation import FeatureInputs
from xaibench.functions.dictionaries.matching import absolute_cosines, firing, firing_f1, mean_cosine
from xaibench.functions.dictionaries.placebos import within_cosine
from xaibench.functions.dictionaries.sparse_autoencoder import Architecture, SparseAutoencoder, train_sparse_autoencoder

ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
K, M, D = 2, 12, 16


def world(n: int = 4000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, activations and orthogonal directions: two of twelve features at once, of sizes from 4 to 6."""
    rng = np.random.default_rng(0)
    directions = torch.from_numpy(np.linalg.qr(rng.standard_normal((D, D)))[0][:M].copy()).float()
    chosen = rng.permuted(np.tile(np.arange(M), (n, 1)), axis=1)[:, :K]
    activations = torch.zeros(n, M)
    activations[torch.arange(n)[:, None], torch.from_numpy(chosen)] = torch.from_numpy(
        rng.uniform(4, 6, (n, K))
    ).float()
    return activations @ directions, activations, directions


def dictionary_case(test: int = 500) -> xb.Case:
    x, activations, directions = world()
    truth = xb.Dictionary(directions, activations[:test], x[:test])
    hidden = {"directions": directions, "activations": activations[:test]}
    return xb.Case("easy", "dictionary", FeatureInputs(x, x[:test], M, K), truth, hidden)


def test_the_k_largest_are_kept() -> None:
    z = torch.tensor([[1.0, 5, 3, 4], [9, 8, 0, 0.5]])
    assert largest_of_rows(z, 2).tolist() == [[0, 5, 0, 4], [9, 8, 0, 0]]
    kept, smallest = largest_of_batch(z, 2)
    assert kept.tolist() == [[0, 5, 0, 4], [9, 8, 0, 0]]
    assert smallest == 4
    assert largest_of_batch(z, 1)[0].tolist() == [[0, 0, 0, 0], [9, 8, 0, 0]]


def test_matching_pursuit_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((9, 5))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    x = rng.standard_normal((20, 5))
    wanted = np.zeros((20, 9))
    for row, codes in zip(x, wanted, strict=True):
        left = row.copy()
        for _ in range(3):
            products = directions @ left
            best = products.argmax()
            codes[best] += max(products[best], 0)
            left = left - max(products[best], 0) * directions[best]
    found = matching_pursuit(torch.from_numpy(x), torch.from_numpy(directions), 3)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_matching_pursuit_recovers_orthogonal_features() -> None:
    x, activations, directions = world(200)
    torch.testing.assert_close(matching_pursuit(x, directions, K), activations, atol=1e-4, rtol=1e-4)


def test_thresholds_get_the_gradient_of_a_rectangle() -> None:
    z = torch.tensor([[0.5, 1.02], [1.2, 0.97]], requires_grad=True)
    threshold = torch.tensor([1.0, 1.0], requires_grad=True)
    out = JumpReLU.apply(z, threshold, 0.1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(out, torch.tensor([[0, 1.02], [1.2, 0]]))
    (3 * out).sum().backward()
    assert threshold.grad is not None
    assert z.grad is not None
    assert threshold.grad.tolist() == pytest.approx([0.0, -3 * 2 / 0.1])
    assert z.grad.tolist() == [[0, 3], [3, 0]]
    threshold.grad = None
    StepFunction.apply(z, threshold, 0.1).sum().backward()  # type: ignore[no-untyped-call]
    assert threshold.grad is not None
    assert threshold.grad.tolist() == pytest.approx([0.0, -2 / 0.1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_that_can_be_found_are_found(architecture: Architecture) -> None:
    """Twice as many directions as features: each feature has one."""
    case = dictionary_case()
    roomy = replace(case, given=replace(case.given, m=2 * M))
    answer = xb.explain_case("sparse_autoencoder", roomy, architecture=architecture, steps=1000)
    assert isinstance(answer, xb.Dictionary)
    torch.testing.assert_close(answer.directions.norm(dim=1), torch.ones(2 * M))
    nearest = absolute_cosines(answer.directions, case.hidden["directions"]).max(axis=0)
    assert nearest.mean() > (0.75 if architecture == "l1" else 0.9)
    density = float(firing(answer.codes).double().sum(dim=1).mean())
    assert density == pytest.approx(K, rel=0.25)


def test_a_true_decoder_with_greedy_codes_is_exact_where_directions_are_orthogonal() -> None:
    case = dictionary_case()
    answer = xb.explain_case("true_decoder", case)
    assert isinstance(answer, xb.Dictionary)
    assert firing_f1(answer, case.hidden["directions"], case.hidden["activations"]) == pytest.approx(1)


def test_the_same_draws_make_the_same_dictionary_and_others_another() -> None:
    case = dictionary_case()
    made = [xb.explain_case("sparse_autoencoder", case, seed=seed, steps=50) for seed in (0, 0, 1)]
    assert all(isinstance(a, xb.Dictionary) for a in made)
    first, again, other = (a.tensors["directions"] for a in made)
    assert first.equal(again)
    assert not first.equal(other)


@pytest.mark.parametrize(("placebo", "cosine"), [("frozen_decoder", 1.0), ("soft_frozen_decoder", 0.8)])
def test_a_bound_decoder_stays_where_it_started(placebo: str, cosine: float) -> None:
    """A training of one step has the start that a longer one has."""
    case = dictionary_case()
    start, end = (xb.explain_case(placebo, case, steps=steps).tensors["directions"] for steps in (1, 400))
    along = (start * end).sum(dim=1)
    assert float(along.min()) > cosine - 0.02
    if cosine < 1:
        assert float(along.min()) < 0.95, "it did learn"


def test_directions_are_turned_back_to_the_bound_and_no_farther() -> None:
    start = torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    given = torch.tensor([[0.6, 0.8], [0.9, (1 - 0.81) ** 0.5], [-1, 0.1], [2.0, 0]])
    found = within_cosine(given, start, 0.8)
    torch.testing.assert_close(found[0], torch.tensor([0.8, 0.6]))
    torch.testing.assert_close(found[1], given[1])
    torch.testing.assert_close(found[2], torch.tensor([0.8, 0.6]))
    torch.testing.assert_close(found[3], start[3])
    torch.testing.assert_close(within_cosine(given, start, 1.0), start)


def test_codes_at_test_do_not_depend_on_the_other_inputs() -> None:
    x, _, directions = world()
    for architecture in ARCHITECTURES:
        model = SparseAutoencoder.of(architecture, K, directions, x.mean(dim=0))
        train_sparse_autoencoder(model, x, np.random.default_rng(0), steps=20)
        torch.testing.assert_close(model.codes(x[:5]), model.codes(x[:50])[:5])


@pytest.mark.parametrize("placebo", ["random_directions", "principal_components", "data_points"])
def test_placebos_have_k_codes_and_no_features(placebo: str) -> None:
    case = dictionary_case()
    answer = xb.explain_case(placebo, case)
    assert isinstance(answer, xb.Dictionary)
    assert int(firing(answer.codes).sum(dim=1).max()) <= K
    assert mean_cosine(answer.directions, case.hidden["directions"]) < 0.9


def test_principal_components_explain_what_scikit_learn_says() -> None:
    from sklearn.decomposition import PCA

    case = dictionary_case()
    axes = PCA(D).fit(case.given.train.numpy()).components_
    found = xb.explain_case("principal_components", case).tensors["directions"].numpy()
    np.testing.assert_allclose(np.abs((found * axes[:M]).sum(axis=1)), 1, atol=1e-2)
