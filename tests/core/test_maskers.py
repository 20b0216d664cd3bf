"""Maskers replace what is removed and leave alone what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import SHAPES, linear, make_inputs, make_view
from scipy.ndimage import gaussian_filter

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.features import FeatureLayout
from xaibench.core.masking.imputation import linear_imputation
from xaibench.core.masking.maskers import FILLS, IMPUTATION_NOISE, MASKERS, FillMasker, choose
from xaibench.core.masking.names import SERIES_MASKERS
from xaibench.core.masking.tokens import TOKEN_MASKERS


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FILLS)
def test_kept_features_stay_and_removed_ones_are_filled(shape: str, name: str) -> None:
    x = make_inputs(SHAPES[shape])
    view = make_view(linear(SHAPES[shape]), x, background=make_inputs(SHAPES[shape], 20, seed=1))
    if name == "blur" and shape == "table":
        with pytest.raises(UnsupportedError, match="image or a series"):
            view.masker(name)
        return
    masker = view.masker(name)
    keep = torch.rand(8, *view.layout.feature_shape, generator=torch.Generator().manual_seed(0)) < 0.5
    before = x.clone()
    masked = masker(x, keep)
    whole = view.layout.expand(keep).expand_as(x)
    assert torch.equal(masked[whole], x[whole])
    assert torch.equal(masked[~whole], masker.fill[~whole])
    assert torch.equal(x, before)
    assert torch.equal(masker(x[[3, 3]], keep[:2], torch.tensor([3, 3]))[0][~whole[0]], masker.fill[3][~whole[0]])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["zero", "marginal"])
def test_copies_are_the_masked_samples(shape: str, name: str) -> None:
    x = make_inputs(SHAPES[shape])
    view = make_view(linear(SHAPES[shape]), x, background=make_inputs(SHAPES[shape], 20, seed=1))
    masker, rows = view.masker(name), slice(2, 5)
    keep = torch.rand(3, 7, *view.layout.feature_shape, generator=torch.Generator().manual_seed(0)) < 0.5
    expected = torch.where(view.layout.expand(keep), x[rows].unsqueeze(1), masker.fill[rows].unsqueeze(1)).flatten(0, 1)
    copies = masker.copies(rows, keep)
    assert torch.equal(copies, expected)
    assert copies.is_contiguous()
    index = torch.arange(2, 5).repeat_interleave(7)
    assert torch.equal(masker(x[index], keep.flatten(0, 1), index), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8])
def test_choose_is_where_to_the_last_bit(dtype: torch.dtype) -> None:
    kept, removed = (10 * torch.randn(2, *s, generator=torch.Generator().manual_seed(0)) for s in ((1, 9), (5, 1)))
    kept, removed = kept.abs().to(dtype), removed.abs().to(dtype)
    if dtype.is_floating_point:
        special = torch.tensor([-0.0, 0.0, float("inf"), float("nan"), 1e-42], dtype=dtype)
        kept[0, 0, :5], removed[1, :, 0] = special, special
    keep = torch.rand(2, 5, 9, generator=torch.Generator().manual_seed(1)) < 0.5
    bits = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[kept.element_size()]
    ours = choose(keep, kept, removed)
    assert ours.dtype == dtype
    assert torch.equal(ours.view(bits), torch.where(keep, kept, removed).view(bits))


@pytest.mark.parametrize("name", TOKEN_MASKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_maskers_of_tokens_refuse_other_data(name: str, shape: str) -> None:
    view = make_view(linear(SHAPES[shape]), make_inputs(SHAPES[shape]))
    with pytest.raises(UnsupportedError, match=name):
        view.masker(name)


@pytest.mark.parametrize("name", [m for m in MASKERS if m not in TOKEN_MASKERS])
def test_a_fill_does_not_depend_on_the_other_samples(name: str) -> None:
    shape = SHAPES["table" if name == "conditional" else "series" if name in SERIES_MASKERS else "rgb"]
    x, reference = make_inputs(shape), make_inputs(shape, 20, seed=1)
    together = make_view(linear(shape), x, background=reference).baseline(name)
    alone = make_view(linear(shape), x[5:6], background=reference).baseline(name)
    torch.testing.assert_close(together[5:6], alone)


def test_mean_is_per_column_of_tables_and_per_channel_of_images() -> None:
    table, image = make_inputs(SHAPES["table"], 20), make_inputs(SHAPES["rgb"], 20)
    view = make_view(linear(SHAPES["table"]), table[:2], background=table)
    torch.testing.assert_close(view.baseline("mean")[0], table.mean(dim=0))
    view = make_view(linear(SHAPES["rgb"]), image[:2], background=image)
    torch.testing.assert_close(view.baseline("mean")[0, :, 4, 4], image.mean(dim=(0, 2, 3)))


def test_series_keep_their_sensors_apart() -> None:
    series = torch.tensor([0.0, 100.0]).expand(20, 10, 2).clone()
    for background in (None, series):
        view = make_view(linear(SHAPES["series"]), series[:2], background=background)
        for name in ("mean", "uniform"):
            torch.testing.assert_close(view.baseline(name)[0, 0], torch.tensor([0.0, 100.0]))


def test_blur_is_the_gaussian_filter_of_scipy() -> None:
    x = make_inputs(SHAPES["image"], 1)
    ours = make_view(linear(SHAPES["image"]), x).baseline("blur")[0, 0]
    np.testing.assert_allclose(ours, gaussian_filter(x[0, 0].numpy(), 1.0, mode="nearest"), atol=1e-5)


def test_sample_min_is_one_number_per_sample() -> None:
    x = make_inputs(SHAPES["rgb"])
    fill = make_view(linear(SHAPES["rgb"]), x).baseline("sample_min")
    assert torch.equal(fill, x.flatten(1).min(dim=1).values.view(-1, 1, 1, 1).expand_as(x))


@pytest.mark.parametrize("shape", ["image", "rgb", "series"])
def test_noisy_linear_shares_one_noise_between_all_copies_of_a_sample(shape: str) -> None:
    view = make_view(linear(SHAPES[shape]), make_inputs(SHAPES[shape], 6))
    masker, rows = view.masker("noisy_linear"), slice(1, 4)
    keep = torch.rand(3, 5, *view.layout.feature_shape, generator=torch.Generator().manual_seed(0)) < 0.5
    index = torch.arange(1, 4).repeat_interleave(5)
    copies = masker.copies(rows, keep)
    noise = copies - linear_imputation(view.inputs[index], keep.flatten(0, 1), view.layout)
    removed = ~view.layout.expand(keep.flatten(0, 1)).expand_as(copies)
    assert torch.equal(copies[~removed], view.inputs[index][~removed])
    field = masker.fill - linear_imputation(
        view.inputs, torch.zeros_like(keep[:1, 0]).expand(6, *keep.shape[2:]), view.layout
    )
    torch.testing.assert_close(noise[removed], field[index][removed], atol=1e-4, rtol=0)
    assert field.std().item() == pytest.approx(IMPUTATION_NOISE, rel=0.2)
    torch.testing.assert_close(masker(view.inputs[index], keep.flatten(0, 1), index), copies, atol=1e-5, rtol=0)


def test_noisy_linear_masks_the_copies_it_is_given() -> None:
    view = make_view(linear(SHAPES["rgb"]), make_inputs(SHAPES["rgb"]))
    masker = view.masker("noisy_linear")
    keep = torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    plain, moved = masker(view.inputs, keep), masker(view.inputs + 1, keep)
    torch.testing.assert_close(moved, plain + 1, atol=1e-4, rtol=0)


def test_noisy_linear_needs_neighbours() -> None:
    view = make_view(linear(SHAPES["table"]), make_inputs(SHAPES["table"]))
    with pytest.raises(UnsupportedError, match="image or a series, not a table"):
        view.masker("noisy_linear")


def test_marginal_takes_whole_background_rows() -> None:
    reference = make_inputs(SHAPES["table"], 20, seed=1)
    fill = make_view(linear(SHAPES["table"]), make_inputs(SHAPES["table"]), background=reference).baseline("marginal")
    assert all((row == reference).all(dim=1).any() for row in fill)


def test_unknown_masker_and_missing_background() -> None:
    view = make_view(linear(SHAPES["table"]), make_inputs(SHAPES["table"]))
    with pytest.raises(UsageError, match="unknown masker 'zeros'") as error:
        view.masker("zeros")
    assert error.value.hint is not None
    assert "'zero'" in error.value.hint
    with pytest.raises(UnsupportedError, match="needs a background"):
        view.masker("marginal")


@pytest.mark.parametrize("slot", [1, 2])
def test_slots_are_filled_as_where_fills_them_to_the_last_bit(slot: int) -> None:
    generator = torch.Generator().manual_seed(slot)
    shape = (5, 3, 4)[-slot - 1 :]
    inputs, fill = (torch.randn(6, *shape, generator=generator) for _ in range(2))
    fill[0], fill[1, 0], inputs[2, 1] = torch.nan, -0.0, torch.nan
    masker = FillMasker("fill", inputs, fill, FeatureLayout("tokens", shape, slot=slot))
    rows = torch.tensor([4, 0, 0, 5, 2, 1])
    keep = torch.rand(6, shape[0], generator=generator) < 0.5
    keep[0], keep[1] = True, False
    before = inputs.clone()
    copies = torch.randn(6, *shape, generator=generator)
    for given in (copies, inputs[rows], inputs[:1].expand(6, *shape)):
        expected = torch.where(keep.view(6, -1, *(1,) * slot), given, fill[rows])
        assert torch.equal(masker(given, keep, rows).view(torch.int32), expected.view(torch.int32))
    many = torch.rand(3, 7, shape[0], generator=generator) < 0.5
    expected = torch.where(many.view(3, 7, -1, *(1,) * slot), inputs[2:5, None], fill[2:5, None]).flatten(0, 1)
    assert torch.equal(masker.copies(slice(2, 5), many).view(torch.int32), expected.view(torch.int32))
    assert masker(inputs[:0], keep[:0], rows[:0]).shape == inputs[:0].shape
    assert torch.equal(inputs.view(torch.int32), before.view(torch.int32))


@pytest.mark.parametrize("kind", ["tokens", "table"])
def test_one_mask_for_all_samples_masks_all_of_them(kind: str) -> None:
    shape = (4, 3) if kind == "tokens" else (4,)
    generator = torch.Generator().manual_seed(0)
    inputs, fill = (torch.randn(3, *shape, generator=generator) for _ in range(2))
    masker = FillMasker("fill", inputs, fill, FeatureLayout(kind, shape, slot=len(shape) - 1))  # type: ignore[arg-type]
    keep = torch.tensor([True, False, True, True])
    expected = torch.where(keep.view(4, *(1,) * (len(shape) - 1)), inputs, fill)
    assert torch.equal(masker(inputs, keep.unsqueeze(0), torch.arange(3)), expected)
    assert torch.equal(masker.copies(slice(0, 3), keep.view(1, 1, 4)), expected)
