"""Interaction indices against the closed forms of polynomials, their axioms, and shapiq."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xaibench as xb
from xaibench.explainers.engines.coalitions import all_coalitions
from xaibench.explainers.engines.interactions import INDICES, dividends

D = 6


def polynomial(seed: int) -> tuple[Tensor, Tensor]:
    """Dividends (2^d,) of a random game and its values: sums over the subsets of a coalition."""
    rng = np.random.default_rng(seed)
    coefficients = torch.from_numpy(rng.normal(size=1 << D))
    inside = all_coalitions(D)
    contained = (inside.unsqueeze(0) <= inside.unsqueeze(1)).all(dim=2)
    return coefficients, contained.double() @ coefficients


def closed_form(coefficients: Tensor, weight, single) -> Tensor:
    """Sums over terms that contain a pair, or a player, by the size of the term."""
    inside = all_coalitions(D)
    found = torch.zeros(D, D, dtype=torch.float64)
    for term, amount in zip(inside, coefficients, strict=True):
        size = int(term.sum())
        for i in range(D):
            if term[i]:
                found[i, i] += amount * single(size)
            for j in range(i):
                if term[i] and term[j]:
                    found[i, j] += amount * weight(size)
                    found[j, i] = found[i, j]
    return found


FORMS = {
    "shapley_interaction": (lambda t: 1 / (t - 1), lambda t: 1 / t),
    "shapley_taylor": (lambda t: 1 / math.comb(t, 2), lambda t: float(t == 1)),
    "banzhaf_interaction": (lambda t: 2.0 ** (2 - t), lambda t: 2.0 ** (1 - t)),
    "pair_occlusion": (lambda t: 1.0, lambda t: 1.0),
}


@pytest.mark.parametrize("name", FORMS)
def test_twenty_random_polynomials(name: str) -> None:
    made = [polynomial(seed) for seed in range(20)]
    found = INDICES[name](torch.stack([values for _, values in made]))
    for index, (coefficients, _) in zip(found, made, strict=True):
        torch.testing.assert_close(index, closed_form(coefficients, *FORMS[name]), rtol=0, atol=1e-12)


def test_dividends_are_the_coefficients() -> None:
    coefficients, values = polynomial(3)
    torch.testing.assert_close(dividends(values.unsqueeze(0))[0], coefficients, rtol=0, atol=1e-12)


def test_shapley_taylor_is_complete_and_shapley_values_are_efficient() -> None:
    values = torch.stack([polynomial(seed)[1] for seed in range(5)])
    total = values[:, -1] - values[:, 0]
    taylor = INDICES["shapley_taylor"](values)
    torch.testing.assert_close(taylor.triu().sum(dim=(1, 2)), total, rtol=0, atol=1e-12)
    diagonal = INDICES["shapley_interaction"](values).diagonal(dim1=1, dim2=2).sum(dim=1)
    torch.testing.assert_close(diagonal, total, rtol=0, atol=1e-12)


def test_a_model_with_one_product_through_the_api() -> None:
    def model(rows: np.ndarray) -> np.ndarray:
        return np.stack([2 * rows[:, 0] * rows[:, 1] - rows[:, 2], rows[:, 0]], axis=1)

    x = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])
    for name in FORMS:
        found = xb.interactions(name, model=model, returns="logit", inputs=x, targets=[0, 0])
        assert found.shape == (2, 3, 3)
        np.testing.assert_allclose(found[:, 0, 1], 2 * x[:, 0] * x[:, 1], atol=1e-6)
        np.testing.assert_allclose(found[:, 1, 0], found[:, 0, 1])
        np.testing.assert_allclose(found[:, 2, 2], -x[:, 2], atol=1e-6)
        assert np.abs(found[:, [0, 1], [2, 2]]).max() < 1e-6


class Product(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([inputs[:, 0] * inputs[:, 1], inputs[:, 0]], dim=1)


def test_integrated_hessians_give_half_of_a_product_to_main_effects() -> None:
    x = np.array([[2.0, 3.0]], dtype=np.float32)
    found = xb.interactions("integrated_hessians", model=Product(), returns="logit", inputs=x, targets=[0])
    np.testing.assert_allclose(found, np.full((1, 2, 2), 1.5), rtol=1e-5)


def test_integrated_hessians_of_a_smooth_network_are_complete_and_of_relus_refused() -> None:
    torch.manual_seed(0)
    smooth = nn.Sequential(nn.Linear(4, 16), nn.Softplus(), nn.Linear(16, 2)).eval()
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    found = xb.interactions("integrated_hessians", model=smooth, returns="logit", inputs=x, targets=[0, 1, 0])
    with torch.no_grad():
        change = (smooth(torch.from_numpy(x)) - smooth(torch.zeros(3, 4)))[[0, 1, 2], [0, 1, 0]].numpy()
    np.testing.assert_allclose(found.sum(axis=(1, 2)), change, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(found, found.transpose(0, 2, 1), atol=1e-6)
    kinked = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)).eval()
    with pytest.raises(xb.UnsupportedError, match="does not add up"):
        xb.interactions("integrated_hessians", model=kinked, returns="logit", inputs=x)


@pytest.mark.parametrize("name", ["shapley_interaction", "shapley_taylor", "banzhaf_interaction"])
def test_shapiq_agrees(name: str) -> None:
    shapiq = pytest.importorskip("shapiq", exc_type=ImportError)
    _, values = polynomial(7)
    inside = all_coalitions(D)
    order = {tuple(row.tolist()): float(v) for row, v in zip(inside, values, strict=True)}

    def game(coalitions: np.ndarray) -> np.ndarray:
        return np.array([order[tuple(bool(b) for b in row)] for row in coalitions])

    computer = shapiq.ExactComputer(game, n_players=D)
    index = {"shapley_interaction": "SII", "shapley_taylor": "STII", "banzhaf_interaction": "BII"}[name]
    theirs = computer(index, order=2)
    ours = INDICES[name](values.unsqueeze(0))[0]
    for i in range(D):
        for j in range(i):
            assert theirs[(j, i)] == pytest.approx(float(ours[i, j]), abs=1e-8)


def test_bad_input_gets_one_sentence() -> None:
    with pytest.raises(xb.UsageError, match="no interaction index 'shapley_tailor'"):
        xb.interactions("shapley_tailor", model=Product(), returns="logit", inputs=np.ones((1, 2)))  # type: ignore[arg-type]
    with pytest.raises(xb.UnsupportedError, match="2 to 12 columns, not of 13"):
        xb.interactions(
            "shapley_taylor", model=lambda a: a[:, :2], returns="logit", inputs=np.ones((1, 13)), targets=[0]
        )
    with pytest.raises(ValueError, match="not those of all coalitions"):
        INDICES["shapley_taylor"](torch.zeros(1, 6))


def test_draws_of_a_masker_do_not_pass_for_interactions() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)

    def found(masker: str) -> Any:
        return xb.interactions(
            "shapley_taylor", model=lambda a: np.stack([a.sum(axis=1), a[:, 0]], axis=1), returns="logit",
            inputs=rows[:2], targets=[0, 0], background=rows, masker=masker,
        )  # fmt: skip

    assert np.abs(found("marginal")[:, ~np.eye(3, dtype=bool)]).max() < 1e-6
    with pytest.raises(xb.UnsupportedError, match="draws again for every coalition"):
        found("conditional")


@pytest.mark.parametrize("index", ["shapley_interaction", "integrated_hessians"])
def test_one_column_has_no_pairs(index: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Softplus())
    with pytest.raises(xb.UnsupportedError, match="columns"):
        xb.interactions(index, model=model, returns="logit", inputs=[[1.0]], targets=[0])
