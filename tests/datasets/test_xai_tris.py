"""XAI-TRIS: the published construction, step by step."""

from __future__ import annotations

import functools
from typing import get_args

import numpy as np
import pytest

from xaibench.core.data import Data
from xaibench.core.types import Array
from xaibench.datasets.xai_tris import WEIGHTS, Background, Scenario, xai_tris

SCENARIOS, BACKGROUNDS = get_args(Scenario), get_args(Background)
UNION = np.zeros((8, 8), dtype=bool)
for row, column in ((1, 1), (2, 1), (2, 2), (3, 1), (4, 5), (5, 5), (6, 5), (6, 6)):
    UNION[row, column] = True
every = pytest.mark.parametrize("scenario", SCENARIOS)
both = pytest.mark.parametrize("background", BACKGROUNDS)


@functools.cache
def load(scenario: str, background: str = "white") -> Data:
    return xai_tris(seed=4, scenario=scenario, background=background)


def whole(data: Data) -> tuple[Array, Array, Array]:
    """Images (N, 8, 8), labels and masks of both splits."""
    images = np.concatenate([data.train_inputs, data.test_inputs])[:, 0].astype(float)
    return images, np.concatenate([data.train_targets, data.test_targets]), np.concatenate(
        [data.train_mask, data.test_mask]
    )  # fmt: skip


def noise_of(data: Data) -> Array:
    """The noise in the test images, as the gate gets it (N, 8, 8)."""
    return data.interventions[1].inputs[:, 0].astype(float)


@every
@both
def test_sizes_classes_and_scale(scenario: str, background: str):
    data = load(scenario, background)
    assert (len(data.train_inputs), len(data.test_inputs)) == (8_000, 2_000)
    assert (np.bincount(data.train_targets) == 4_000).all()
    assert (np.bincount(data.test_targets) == 1_000).all()
    assert abs(whole(data)[0]).max() == 1


@pytest.mark.parametrize("scenario", ["linear", "multiplicative", "xor"])
def test_the_truth_in_place_is_the_union_of_both_tetrominoes(scenario: str):
    assert (whole(load(scenario))[2] == UNION).all()
    assert UNION.sum() == 8


def test_the_truth_that_moves_is_a_turned_tetromino_of_its_class_anywhere():
    _, labels, masks = whole(load("translations_rotations"))
    shapes = {0: np.array([[1, 0], [1, 1], [1, 0]]), 1: np.array([[1, 0], [1, 0], [1, 1]])}
    for label, shape in shapes.items():
        turned = {(r.shape, r.tobytes()) for r in (np.rot90(shape, q).astype(bool) for q in range(4))}
        seen, corners = set(), set()
        for mask in masks[labels == label]:
            rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
            cut = np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
            assert (cut.shape, cut.tobytes()) in turned
            seen.add((cut.shape, cut.tobytes()))
            corners.add((cut.shape, int(rows[0]), int(columns[0])))
        assert seen == turned
        assert len(corners) == 2 * 42
        # All 168 are equally likely: how often each pixel is covered is that of the enumeration.
        assert abs(masks[labels == label].mean(axis=0).sum() - 4) < 1e-9


@pytest.mark.parametrize("scenario", ["linear", "translations_rotations", "xor"])
@both
def test_signal_and_noise_are_added_by_their_norms(scenario: str, background: str):
    """What is left of an image without its noise is a constant on the mask, of a size that the norms fix."""
    data = load(scenario, background)
    left = data.test_inputs[:, 0].astype(float) - noise_of(data)
    assert abs(left[~data.test_mask]).max() < 1e-6
    sizes = abs(left[data.test_mask])
    shown = sizes[sizes > 1e-4]
    assert shown.std() < 1e-5
    weight = WEIGHTS[scenario, background]
    pixels = 8 if scenario == "xor" else 4
    # Norms over all images: of the noise from the test part, which is a fair sample of it.
    expected = weight / (1 - weight) * np.sqrt((noise_of(data) ** 2).sum(axis=(1, 2)).mean() / pixels)
    assert abs(shown.mean() / expected - 1) < (0.02 if background == "white" else 0.06)


@both
def test_signs_tell_the_class_of_xor(background: str):
    data = load("xor", background)
    left = data.test_inputs[:, 0].astype(float) - noise_of(data)
    first, second = np.sign(left[:, 2, 1]), np.sign(left[:, 5, 5])
    assert ((first != second) == data.test_targets).all()
    for sign in (first, second):
        assert abs(np.corrcoef(sign, data.test_targets)[0, 1]) < 0.1


def test_the_tetromino_dims_the_noise_in_the_multiplicative_scenario():
    data = load("multiplicative")
    factor = data.test_inputs[:, 0].astype(float) / noise_of(data)
    for label, own in ((0, (2, 1)), (1, (5, 5))):
        rows = factor[data.test_targets == label]
        np.testing.assert_allclose(rows[:, own[0], own[1]], 1 - WEIGHTS["multiplicative", "white"], rtol=1e-3)
        np.testing.assert_allclose(rows[:, 0, 0], 1, rtol=1e-3)


@every
def test_noise_is_white_or_smooth_and_independent_of_the_class(scenario: str):
    for background in BACKGROUNDS:
        data = load(scenario, background)
        noise = noise_of(data)
        neighbours = np.corrcoef(noise[:, 3, 3], noise[:, 3, 4])[0, 1]
        assert abs(neighbours) < 0.1 if background == "white" else neighbours > 0.95
        gap = noise[data.test_targets == 1].mean(axis=0) - noise[data.test_targets == 0].mean(axis=0)
        assert (abs(gap) < 4.5 * noise.std(axis=0) * np.sqrt(4 / len(noise))).all()


def test_correlated_noise_is_the_filtered_one():
    """Correlation of neighbours of white noise through a Gaussian of 3 pixels, reflected at the edge, by simulation."""
    from scipy.ndimage import gaussian_filter

    white = np.random.default_rng(0).normal(0, 0.5, (4_000, 8, 8))
    smooth = np.stack([gaussian_filter(w, 3) for w in white])
    noise = noise_of(load("linear", "correlated"))
    ours, theirs = (np.corrcoef(a.reshape(len(a), -1).T) for a in (noise, smooth))
    assert abs(ours - theirs).max() < 0.1


def test_small_sets_keep_their_shares():
    data = xai_tris(seed=0, samples=50)
    assert len(data.test_inputs) == 10
    assert data.test_targets.sum() == 5
