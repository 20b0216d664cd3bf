"""Conditional draws against the closed form of a Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import SHAPES, linear, make_inputs, make_view
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.masking import conditional
from xaibench.core.masking.conditional import RIDGE, Gaussian

D = 5
FACTORS = torch.from_numpy(np.random.default_rng(0).standard_normal((D, D)))
COVARIANCE = FACTORS @ FACTORS.T + 0.3 * torch.eye(D)
MEAN = torch.arange(D).double() - 1
MODEL = Gaussian(MEAN, COVARIANCE)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def closed_form(x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the other features given the kept ones of one sample."""
    gone = ~keep
    solved = torch.linalg.solve(COVARIANCE[keep][:, keep], COVARIANCE[keep][:, gone])
    mean = MEAN[gone] + (x[keep] - MEAN[keep]) @ solved
    return mean, COVARIANCE[gone][:, gone] - COVARIANCE[gone][:, keep] @ solved


@pytest.mark.parametrize("kept", [[], [2], [0, 3], [1, 2, 3, 4]])
def test_redrawn_features_have_the_conditional_distribution(kept: list[int]) -> None:
    n = 40_000
    keep = torch.zeros(D, dtype=torch.bool)
    keep[kept] = True
    x = MEAN + torch.tensor([1.0, -2, 0.5, 3, -1]).double()
    found = MODEL.redraw(x.expand(n, D), keep.expand(n, D), MODEL.sample(normal(n, D)))
    assert torch.equal(found[:, keep], x[keep].expand(n, -1))
    mean, covariance = closed_form(x, keep)
    error = covariance.diagonal().sqrt() / n**0.5
    assert ((found[:, ~keep].mean(dim=0) - mean).abs() < 4 * error).all()
    size = covariance.diagonal().outer(covariance.diagonal()).sqrt()
    got = torch.cov(found[:, ~keep].T).reshape(covariance.shape)
    assert ((got - covariance).abs() < 4 * size * (2 / n) ** 0.5).all()


@pytest.mark.slow
def test_each_copy_has_a_mask_of_its_own_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = torch.from_numpy(np.random.default_rng(2).random((30, D)) < 0.5)
    x, drawn = normal(30, D, seed=3), MODEL.sample(normal(30, D, seed=4))
    whole = MODEL.redraw(x, keep, drawn)
    for row in range(30):
        k, gone = keep[row], ~keep[row]
        solved = torch.linalg.solve(COVARIANCE[k][:, k], (x - drawn)[row, k])
        torch.testing.assert_close(whole[row, gone], drawn[row, gone] + COVARIANCE[gone][:, k] @ solved)
    monkeypatch.setattr(conditional, "MATRIX_BLOCK_NUMBERS", 7 * D * D)
    torch.testing.assert_close(MODEL.redraw(x, keep, drawn), whole, rtol=1e-12, atol=1e-12)


def test_a_fit_finds_the_covariance_and_takes_constant_and_repeated_columns() -> None:
    rows = MODEL.sample(normal(50, D)).float()
    fitted = Gaussian.fitted(rows)
    expected = np.cov(rows.double().numpy().T)
    np.testing.assert_allclose(fitted.covariance, expected + RIDGE * np.diag(np.diag(expected)))
    rows = torch.stack([rows[:, 0], rows[:, 0], torch.full((50,), 7.0)], dim=1)
    keep = torch.tensor([[True, False, True], [False, True, False], [True, True, False]])
    x = torch.tensor([3.0, 3.0, 7.0]).expand(3, 3)
    model = Gaussian.fitted(rows)
    found = model.redraw(x, keep, model.sample(normal(3, 3)))
    # A copy of a kept column is that column, up to the share of the variance that was added.
    torch.testing.assert_close(found, x, atol=0.15, rtol=0)


def view_of(background: Tensor | None, x: Tensor | None = None, *, seed: int = 0):  # type: ignore[no-untyped-def]
    return make_view(linear((D,)), make_inputs((D,)) if x is None else x, background=background, seed=seed)


def test_copies_share_the_draw_of_their_sample_and_match_single_calls() -> None:
    view = view_of(MODEL.sample(normal(200, D)).float())
    masker, rows = view.masker("conditional"), slice(2, 5)
    keep = torch.from_numpy(np.random.default_rng(5).random((3, 7, D)) < 0.5)
    copies = masker.copies(rows, keep)
    index = torch.arange(2, 5).repeat_interleave(7)
    assert copies.dtype == torch.float32
    assert torch.equal(copies, masker(view.inputs[index], keep.flatten(0, 1), index))
    assert torch.equal(copies[keep.flatten(0, 1)], view.inputs[index][keep.flatten(0, 1)])
    none = torch.zeros(8, D, dtype=torch.bool)
    assert torch.equal(masker(view.inputs, none), masker.fill)
    assert torch.equal(masker(view.inputs, ~none), view.inputs)
    alone = view.take(torch.tensor([3])).masker("conditional")
    assert torch.equal(alone.copies(slice(0, 1), keep[1:2]), copies[7:14])


@pytest.mark.slow
def test_seeds_are_imputations_whose_mean_is_the_conditional_mean() -> None:
    background = MODEL.sample(normal(4_000, D)).float()
    x = (MEAN + torch.tensor([1.0, -2, 0.5, 3, -1]).double()).float().expand(1, D)
    keep = torch.tensor([[True, False, False, True, False]])
    found = torch.cat([view_of(background, x, seed=seed).masker("conditional")(x, keep) for seed in range(400)])
    mean, covariance = closed_form(x[0].double(), keep[0])
    error = covariance.diagonal().sqrt() / 400**0.5
    assert ((found[:, ~keep[0]].mean(dim=0) - mean).abs() < 4 * error + 0.1).all()


def test_what_cannot_be_fitted_is_refused() -> None:
    rows = MODEL.sample(normal(6, D)).float()
    for background, given in ((None, "is none"), (rows, "6 rows for 5 columns")):
        with pytest.raises(UnsupportedError, match=given):
            view_of(background).masker("conditional")
    image = make_view(linear(SHAPES["image"]), make_inputs(SHAPES["image"]), background=make_inputs(SHAPES["image"]))
    with pytest.raises(UnsupportedError, match="this is image data"):
        image.masker("conditional")
