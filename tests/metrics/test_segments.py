"""Groups of features cover every feature once, are the same for everybody, and sum as a plain loop does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.segmentation
import torch
from helpers.builders import RGB, SERIES, TABLE, linear, make_evaluation, make_inputs, make_view
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import label as components
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.features import infer_layout
from xaibench.core.storage.cache import SharedCache
from xaibench.metrics.maps.segments import group_values, patches, superpixels


def evaluation_of(inputs: Tensor) -> Evaluation:
    """An evaluation of images (N, C, H, W) or (N, H, W), of which only the inputs matter."""
    shape = tuple(inputs.shape[1:])
    return make_evaluation(make_view(linear(shape), inputs, features="image"))


def discs(n: int, channels: int = 1, side: int = 32) -> Tensor:
    """Bright discs on a dark ground, at different places and of different sizes."""
    place = torch.arange(side)
    down, right = torch.meshgrid(place, place, indexing="ij")
    rows = [((down - 10 - i) ** 2 + (right - 18 + i) ** 2 < (4 + i) ** 2).float() for i in range(n)]
    return torch.stack(rows).unsqueeze(1).repeat(1, channels, 1, 1)


@given(height=st.integers(1, 12), width=st.integers(1, 12), patch=st.integers(1, 15))
def test_patches_are_squares_that_cover_every_pixel_once(height: int, width: int, patch: int) -> None:
    labels = patches(infer_layout((3, height, width), "image"), patch)
    expected = torch.tensor(
        [[(y // patch) * -(-width // patch) + x // patch for x in range(width)] for y in range(height)]
    )
    assert torch.equal(labels, expected)
    assert torch.equal(labels.unique(), torch.arange(-(-height // patch) * -(-width // patch)))


def test_patches_of_a_series_keep_sensors_apart() -> None:
    labels = patches(infer_layout((7, 2), "series"), 3)
    assert labels.tolist() == [[0, 1]] * 3 + [[2, 3]] * 3 + [[4, 5]]
    assert patches(infer_layout((7,), "series"), 3).tolist() == [0, 0, 0, 1, 1, 1, 2]


def test_tables_have_neither_patches_nor_superpixels() -> None:
    with pytest.raises(UnsupportedError, match="not a table"):
        patches(infer_layout(TABLE), 2)
    for shape in (TABLE, SERIES):
        with pytest.raises(UnsupportedError, match="need an image"):
            superpixels(make_evaluation(make_view(linear(shape), make_inputs(shape))))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_superpixels_are_connected_and_counted_without_gaps(channels: int) -> None:
    found = superpixels(evaluation_of(discs(3, channels)), n_segments=20)
    assert found.shape == (3, 32, 32)
    assert found.dtype == torch.int64
    for labels in found:
        n = int(labels.max()) + 1
        assert torch.equal(labels.unique(), torch.arange(n))
        assert 8 <= n <= 40
        assert all(components(labels == k)[1] == 1 for k in range(n))


def test_superpixels_follow_edges() -> None:
    x = discs(3)
    found = superpixels(evaluation_of(x), n_segments=20)
    bright = group_values(x[:, 0], found, mean=True)
    pure = (bright < 0.1) | (bright > 0.9) | bright.isnan()
    assert pure.float().mean() > 0.9
    grid = group_values(x[:, 0], patches(infer_layout((1, 32, 32)), 7).expand(3, 32, 32), mean=True)
    assert ((grid < 0.1) | (grid > 0.9)).float().mean() < 0.9


def test_superpixels_depend_on_the_sample_alone() -> None:
    x = torch.cat([discs(4, 3), torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))])
    together = superpixels(evaluation_of(x))
    assert torch.equal(superpixels(evaluation_of(x.flip(0))), together.flip(0))
    assert torch.equal(superpixels(evaluation_of(x[6:7])), together[6:7])
    assert torch.equal(superpixels(evaluation_of(5 * x - 3)), together)


def test_images_without_a_channel_axis() -> None:
    x = discs(2)
    assert torch.equal(superpixels(evaluation_of(x[:, 0])), superpixels(evaluation_of(x)))


def test_a_constant_image_gets_a_grid() -> None:
    x = torch.cat([torch.full((1, 1, 32, 32), 0.5), discs(1)])
    found = superpixels(evaluation_of(x), n_segments=16)
    assert torch.equal(found[0].unique(), torch.arange(int(found[0].max()) + 1))
    assert 8 <= int(found[0].max()) + 1 <= 32
    assert superpixels(evaluation_of(x), n_segments=1).max() == 0


def test_a_sample_that_slic_leaves_in_one_piece_gets_a_grid() -> None:
    x = discs(1)
    pieces = skimage.segmentation.slic(x[0, 0].numpy(), 2, 0.1, channel_axis=None)
    assert len(np.unique(pieces)) == 1
    assert torch.equal(superpixels(evaluation_of(x), n_segments=2)[0], patches(infer_layout((1, 32, 32)), 22))


def test_superpixels_are_found_once_for_all_explainers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = 0
    original = skimage.segmentation.slic

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return original(*args, **kwargs)

    monkeypatch.setattr(skimage.segmentation, "slic", counted)
    ev = replace(evaluation_of(discs(3)), shared=SharedCache(tmp_path))
    first = superpixels(ev)
    assert calls == 3
    other = ev.with_attributions(-ev.attributions, "saliency")
    assert torch.equal(superpixels(other), first)
    later = replace(ev, shared=SharedCache(tmp_path))
    assert torch.equal(superpixels(later), first)
    assert calls == 3
    superpixels(ev, n_segments=10)
    superpixels(ev, compactness=1.0)
    assert calls == 9


@given(n=st.integers(1, 4), groups=st.integers(1, 6), seed=st.integers(0, 99))
def test_group_values_are_those_of_a_loop(n: int, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, 4, 5)).astype(np.float32)
    labels = rng.integers(0, groups, (n, 4, 5))
    width = labels.max() + 1
    sums, means = (
        group_values(torch.from_numpy(values), torch.from_numpy(labels), mean=mean).numpy() for mean in (False, True)
    )
    assert sums.shape == means.shape == (n, width)
    for i in range(n):
        for k in range(width):
            own = values[i][labels[i] == k]
            assert sums[i, k] == pytest.approx(own.sum(), abs=1e-5)
            if len(own):
                assert means[i, k] == pytest.approx(own.mean(), abs=1e-5)
            else:
                assert np.isnan(means[i, k])


def test_labels_of_a_layout_serve_all_samples() -> None:
    values, labels = make_inputs(RGB)[:, 0], patches(infer_layout(RGB), 3)
    expected = group_values(values, labels.expand(8, 8, 8))
    assert torch.equal(group_values(values, labels), expected)
    assert torch.equal(group_values(values, labels.unsqueeze(0)), expected)
