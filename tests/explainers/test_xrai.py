"""XRAI: means of disjoint segments, the order of overlapping ones, and what its sum is."""

from __future__ import annotations

import numpy as np
import torch
from helpers.builders import linear, make_inputs, make_view
from helpers.explainer_cases import run

from xaibench.explainers.xrai import averaged, segments


def stripes(*rows: slice) -> np.ndarray:
    masks = np.zeros((len(rows), 6, 4), dtype=bool)
    for mask, at in zip(masks, rows, strict=True):
        mask[at] = True
    return masks


def test_disjoint_segments_have_their_means() -> None:
    values = np.random.default_rng(0).normal(size=(6, 4))
    found = averaged(values, stripes(slice(0, 2), slice(2, 3), slice(3, 6)))
    for rows in (slice(0, 2), slice(2, 3), slice(3, 6)):
        np.testing.assert_allclose(found[rows], values[rows].mean())


def test_overlapping_segments_are_taken_by_the_mean_of_what_is_new() -> None:
    values = np.repeat(np.array([9.0, 9.0, 1.0, 1.0, 4.0, 0.0])[:, None], 4, axis=1)
    # The first two rows are best; of rows 1 to 4 only 2 to 4 are then new, with a mean of 2; the last row is left.
    found = averaged(values, stripes(slice(0, 2), slice(1, 5)))
    np.testing.assert_allclose(found[:, 0], [9, 9, 2, 2, 2, 0])


def test_segments_that_add_too_little_are_left_out_and_the_sum_stays() -> None:
    values = np.random.default_rng(1).normal(size=(6, 4))
    masks = stripes(slice(0, 3), slice(2, 4))
    found = averaged(values, masks, least=5)
    assert len(np.unique(found.round(12))) == 2
    np.testing.assert_allclose(found.sum(), values.sum())


def test_the_map_of_a_linear_model_adds_up_to_the_mean_of_both_differences() -> None:
    view = make_view(linear((3, 8, 8)), make_inputs((3, 8, 8), 3))
    found = run("xrai", view, steps=2)
    ends = [view.inputs.flatten(1).amin(dim=1), view.inputs.flatten(1).amax(dim=1)]
    start = [view.scores(end.view(-1, 1, 1, 1).expand_as(view.inputs)) for end in ends]
    torch.testing.assert_close(
        found.sum(dim=(1, 2)), view.scores(view.inputs) - (start[0] + start[1]) / 2, rtol=1e-4, atol=1e-4
    )


def test_segments_follow_the_picture_and_cover_it() -> None:
    picture = np.zeros((32, 32, 3))
    picture[8:20, 10:24] = [0.9, 0.2, 0.2]
    found = segments(picture, 96)
    assert found.any(axis=0).all()
    square = picture[..., 0] > 0
    overlap = [(m & square).sum() / (m | square).sum() for m in found]
    assert max(overlap) > 0.7
