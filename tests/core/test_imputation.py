"""Linear imputation against an exact sparse solver, and against what follows from its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.exact_imputation import exact
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout, infer_layout
from xaibench.core.masking import imputation
from xaibench.core.masking.imputation import linear_imputation

SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97)


def images(n: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Random images in [0, 1] with coarse and fine structure."""
    fine = np.random.default_rng(seed).standard_normal((n, channels, height, width))
    mixed = fine + 3 * gaussian_filter(fine, (0, 0, 2, 2))
    low, high = mixed.min((2, 3), keepdims=True), mixed.max((2, 3), keepdims=True)
    return torch.from_numpy(((mixed - low) / (high - low)).astype(np.float32))


def removal_masks(kind: str, n: int, height: int, width: int) -> Tensor:
    """Kept pixels (n, H, W): the first mask removes few, the last nearly all of them."""
    rng = np.random.default_rng(1)
    down, right = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    centred = np.maximum(abs(down - height / 2) / height, abs(right - width / 2) / width)
    noise = rng.random((n, height, width))
    score = {
        "random": noise,
        "smooth": gaussian_filter(noise, (0, 2, 2)),
        "block": np.broadcast_to(centred, noise.shape) + 1e-6 * noise,
        "frame": np.broadcast_to(-centred, noise.shape) + 1e-6 * noise,
        "corner": np.broadcast_to(np.maximum(down / height, right / width), noise.shape) + 1e-6 * noise,
        "stripes": np.broadcast_to((down % 3 == 0).astype(float), noise.shape) + 1e-6 * noise,
    }[kind]
    rank = score.reshape(n, -1).argsort(1).argsort(1).reshape(score.shape)
    counts = [round(SHARES[i % len(SHARES)] * height * width) for i in range(n)]
    counts = np.clip(counts, 1, height * width - 1)
    return torch.from_numpy(rank >= counts[:, None, None])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "smooth", "block", "frame", "corner", "stripes"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 23), (1, 40, 9), (2, 3, 30), (1, 1, 12), (1, 5, 5)])
def test_images_match_the_exact_solution(kind: str, shape: tuple[int, int, int]) -> None:
    x, keep = images(7, *shape), removal_masks(kind, 7, *shape[1:])
    ours = linear_imputation(x, keep, infer_layout(shape, "image"))
    for image, mask, found in zip(x, keep, ours, strict=True):
        np.testing.assert_allclose(found, exact(image.numpy(), mask.numpy()), atol=1e-4)
        assert torch.equal(found[:, mask], image[:, mask])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["smooth", "block", "frame"])
def test_large_images_match_the_exact_solution(kind: str) -> None:
    x, keep = images(1, 1, 96, 96), removal_masks(kind, 7, 96, 96)[[3, 5, 6]]
    ours = linear_imputation(x, keep, infer_layout((1, 96, 96)), torch.zeros(3, dtype=torch.int64))
    for mask, found in zip(keep, ours, strict=True):
        np.testing.assert_allclose(found, exact(x[0].numpy(), mask.numpy()), atol=1e-4)


@settings(max_examples=40)
@given(
    height=st.integers(1, 12), width=st.integers(2, 12), channels=st.integers(1, 3),
    share=st.floats(0, 1), seed=st.integers(0, 999), scale=st.sampled_from([1e-3, 1.0, 255.0]), shift=st.floats(-3, 3),
)  # fmt: skip
def test_any_mask_of_any_small_image(
    height: int, width: int, channels: int, share: float, seed: int, scale: float, shift: float
) -> None:
    x = scale * (images(1, channels, height, width, seed) + shift) if height * width > 1 else torch.zeros(1, 1, 1, 1)
    keep = torch.from_numpy(np.random.default_rng(seed).random((1, height, width)) < share)
    keep[0, 0, 0], keep[0, -1, -1] = True, False
    found = linear_imputation(x, keep, FeatureLayout("image", tuple(x.shape[1:])))
    np.testing.assert_allclose(found[0], exact(x[0].numpy(), keep[0].numpy()), atol=1e-4 * scale, rtol=0)


def test_one_known_pixel_is_enough() -> None:
    x, keep = images(1, 1, 28, 28), torch.zeros(1, 28, 28, dtype=torch.bool)
    keep[0, 20, 3] = True
    found = linear_imputation(x, keep, infer_layout((1, 28, 28)))
    torch.testing.assert_close(found, x[:, :, 20:21, 3:4].expand_as(x), atol=1e-4, rtol=0)


def test_a_constant_image_stays_as_it_is() -> None:
    x = torch.full((1, 3, 13, 13), 0.3)
    keep = torch.rand(6, 13, 13, generator=torch.Generator().manual_seed(0)) < 0.3
    found = linear_imputation(x, keep, infer_layout((3, 13, 13)), torch.zeros(6, dtype=torch.int64))
    assert torch.equal(found, x.expand_as(found))


def test_a_ramp_is_imputed_exactly_in_the_interior() -> None:
    down, right = torch.meshgrid(torch.linspace(0, 1, 20), torch.linspace(0, 1, 20), indexing="ij")
    x = (0.7 * down + 0.3 * right).view(1, 1, 20, 20)
    keep = torch.ones(2, 20, 20, dtype=torch.bool)
    keep[0, 1:-1, 1:-1] = False
    keep[1, 3:12, 8:19] = False
    found = linear_imputation(x, keep, infer_layout((1, 20, 20)), torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(found, x.expand_as(found), atol=5e-5, rtol=0)


def test_removed_values_play_no_role() -> None:
    x, keep = images(7, 1, 28, 28), removal_masks("smooth", 7, 28, 28)
    other = torch.where(keep.unsqueeze(1), x, 1 - x)
    layout = infer_layout((1, 28, 28))
    torch.testing.assert_close(
        linear_imputation(x, keep, layout), linear_imputation(other, keep, layout).where(~keep.unsqueeze(1), x),
        atol=5e-5, rtol=0,
    )  # fmt: skip


def test_without_a_known_pixel_a_channel_becomes_its_mean() -> None:
    x = images(2, 3, 9, 9)
    found = linear_imputation(x, torch.zeros(2, 9, 9, dtype=torch.bool), infer_layout((3, 9, 9)))
    torch.testing.assert_close(found, x.mean(dim=(2, 3), keepdim=True).expand_as(x))


@pytest.mark.parametrize("numbers", [1, 2000, 2**17])
def test_a_copy_does_not_depend_on_those_solved_with_it(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = infer_layout((2, 15, 18))
    x, keep = images(3, 2, 15, 18), torch.cat([removal_masks(k, 14, 15, 18) for k in ("random", "smooth", "block")])
    rows = torch.arange(42) % 3
    together = linear_imputation(x, keep, layout, rows)
    monkeypatch.setattr(imputation, "SOLVER_BLOCK_NUMBERS", numbers)
    order = torch.randperm(42, generator=torch.Generator().manual_seed(0))
    shuffled = linear_imputation(x, keep[order], layout, rows[order])
    torch.testing.assert_close(shuffled, together[order], atol=2e-6, rtol=0)
    for i in (0, 5, 20, 41):
        alone = linear_imputation(x[rows[i : i + 1]], keep[i : i + 1], layout)
        torch.testing.assert_close(alone[0], together[i], atol=2e-6, rtol=0)


def test_images_without_a_channel_axis_and_other_precisions() -> None:
    x, keep = images(7, 1, 10, 10), removal_masks("random", 7, 10, 10)
    one = linear_imputation(x, keep, infer_layout((1, 10, 10)))
    assert torch.equal(linear_imputation(x[:, 0], keep, infer_layout((10, 10), "image")), one[:, 0])
    double = linear_imputation(x.double(), keep, infer_layout((1, 10, 10)))
    assert double.dtype == torch.float64
    assert torch.equal(double.where(keep.unsqueeze(1), x.double()), x.double())
    torch.testing.assert_close(double.float(), one, atol=5e-5, rtol=0)


def test_series_are_imputed_by_straight_lines() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((20, 30, 2)).astype(np.float32))
    keep = torch.from_numpy(rng.random((20, 30, 2)) < 0.3)
    keep[0, :, 1] = False
    keep[1:, 5] = True
    found = linear_imputation(x, keep, infer_layout((30, 2), "series"))
    for i in range(20):
        for sensor in range(2):
            known = keep[i, :, sensor].numpy()
            values = x[i, :, sensor].numpy()
            line = np.interp(np.arange(30), np.flatnonzero(known), values[known]) if known.any() else values.mean()
            np.testing.assert_allclose(found[i, :, sensor], np.broadcast_to(line, 30), atol=1e-5)
    flat = linear_imputation(x[:, :, 0], keep[:, :, 0], infer_layout((30,), "series"))
    assert torch.equal(flat, found[:, :, 0])


def test_tables_have_no_neighbours() -> None:
    with pytest.raises(UnsupportedError, match="not a table"):
        linear_imputation(torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool), infer_layout((4,)))
