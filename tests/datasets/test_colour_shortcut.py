"""Digits with tinted corners: what tells the class, and what does not."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.predictor import TorchPredictor
from xaibench.datasets.colour_shortcut import CUE_LEVELS, PATCH, PICTURE_SIDE, TINTS, FollowsTheSquare, colour_shortcut


@functools.cache
def made(q: float = 1.0, tint: str = "bright") -> Data:
    return colour_shortcut(seed=0, q=q, tint=tint)  # type: ignore[arg-type]


def square(images: np.ndarray, rows: slice = slice(0, PATCH), columns: slice = slice(0, PATCH)) -> np.ndarray:
    return images[:, :, rows, columns]


def tint_of(images: np.ndarray, tint: str = "bright") -> np.ndarray:
    """Number of the tint on the upper left; the square must be of one colour."""
    corner = square(images)
    assert (corner == corner[:, :, :1, :1]).all()
    return np.abs(corner[:, None, :, 0, 0] - TINTS[tint][None]).sum(axis=2).argmin(axis=1)


@pytest.mark.parametrize("q", CUE_LEVELS)
def test_the_square_has_the_colour_of_the_class_as_often_as_is_asked_for(q: float) -> None:
    data = made(q)
    agrees = float((tint_of(data.train_inputs) == data.train_targets).mean())
    assert agrees == pytest.approx(q + (1 - q) / 2, abs=3 * np.sqrt(0.25 / len(data.train_targets)) * (q < 1) + 1e-9)
    assert (tint_of(data.test_inputs) == data.test_targets).all()


def test_the_other_squares_say_nothing_and_models_differ_in_the_cue_alone() -> None:
    data, without = made(1.0), made(0.0)
    last = slice(PICTURE_SIDE - PATCH, PICTURE_SIDE)
    for rows, columns in ((slice(0, PATCH), last), (last, slice(0, PATCH)), (last, last)):
        red = square(data.train_inputs, rows, columns)[:, 0, 0, 0] == 1
        assert abs(float((red == (data.train_targets == 0)).mean()) - 0.5) < 0.06
    np.testing.assert_array_equal(data.train_targets, without.train_targets)
    np.testing.assert_array_equal(data.train_inputs[:, :, PATCH:], without.train_inputs[:, :, PATCH:])
    np.testing.assert_array_equal(data.test_inputs, without.test_inputs)


def test_the_swap_changes_the_square_alone_and_no_digit_reaches_a_corner() -> None:
    data = made()
    swapped = next(pair for pair in data.pairs if pair.need == "input_pair.swapped")
    assert swapped.inputs is not None
    assert (tint_of(swapped.inputs) == 1 - data.test_targets).all()
    changed = (swapped.inputs != data.test_inputs).any(axis=1)
    assert data.test_mask is not None
    assert not (changed & ~data.test_mask).any()
    grey = (data.test_inputs == data.test_inputs[:, :1]).all(axis=1)
    assert grey[:, PATCH:-PATCH, PATCH:-PATCH].all()
    assert data.test_distractors is not None
    assert not (data.test_distractors & data.test_mask).any()


def test_a_dark_square_is_the_colour_of_nothing() -> None:
    data = made(1.0, "dark")
    assert (square(data.test_inputs[data.test_targets == 0]) == 0).all()


def test_the_series_has_every_level_and_its_own_model_once() -> None:
    series = [pair for pair in made(0.8).pairs if pair.need == "model_pair.series"]
    assert [pair.level for pair in series] == list(CUE_LEVELS)
    assert [pair.data is None for pair in series] == [level == 0.8 for level in CUE_LEVELS]
    other = series[0].data
    assert other is not None
    assert other().fingerprint == made(0.0).fingerprint
    assert series[1].truth is not None
    share = (series[1].truth * made().test_mask).sum(axis=(1, 2)) / series[1].truth.sum(axis=(1, 2))
    assert share == pytest.approx(0.5)


class Colour(nn.Module):
    """Class 1 where the upper left is greener than red; or the first class always."""

    def __init__(self, looks: bool) -> None:
        super().__init__()
        self.looks = looks

    def forward(self, inputs: Tensor) -> Tensor:
        green = (inputs[:, 1, 0, 0] - inputs[:, 0, 0, 0]) * float(self.looks)
        return torch.stack([0.1 - green, green], dim=1)


def test_the_gate_tells_models_that_follow_the_square() -> None:
    for q, looks, passes in ((1.0, True, True), (1.0, False, False), (0.0, True, False)):
        gates = FollowsTheSquare(q, "bright").measure(TorchPredictor(Colour(looks).eval()), made(q)).gates
        assert [gate.passed for gate in gates] == [passes]
    (gate,) = FollowsTheSquare(1.0, "bright").measure(TorchPredictor(Colour(False).eval()), made()).gates
    assert gate.value == pytest.approx(0.5, abs=0.01)


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match="two different digits"):
        colour_shortcut(seed=0, classes=(3, 3))
