"""Continuity under translations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, SERIES, TABLE, cnn, gradient, make_evaluation, make_inputs, make_view, mlp
from helpers.robustness_cases import itself, run
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.metrics.robustness.continuity import translate, translations


def moved(x: np.ndarray, axis: int, pixels: int) -> np.ndarray:
    """Pad with the border's values, then cut: a translation by another route."""
    pad = [(0, 0)] * x.ndim
    pad[axis] = (abs(pixels), abs(pixels))
    start = abs(pixels) - pixels
    return np.take(np.pad(x, pad, mode="edge"), range(start, start + x.shape[axis]), axis=axis)


@pytest.mark.parametrize(("shape", "axes"), [(IMAGE, (2, 3)), (RGB, (2, 3)), (SERIES, (1,))])
def test_translations_repeat_the_border(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = make_inputs(shape, 3)
    view = make_view(mlp(shape), x)
    found = [(axis % x.ndim, pixels) for axis, pixels in translations(view.layout, 3)]
    assert sorted(found) == sorted((a, p) for a in axes for p in (-3, -2, -1, 1, 2, 3))
    for axis, pixels in found:
        np.testing.assert_array_equal(translate(x, axis, pixels), moved(x.numpy(), axis, pixels))
    np.testing.assert_array_equal(translate(x, 1, 100)[:, 0], x[:, 0])


@pytest.mark.parametrize("function", [itself, gradient])
@pytest.mark.parametrize(("shape", "axes"), [(IMAGE, (2, 3)), (RGB, (2, 3)), (SERIES, (1,))])
def test_the_definition_in_a_plain_loop(shape: tuple[int, ...], axes: tuple[int, ...], function) -> None:
    view = make_view(cnn(shape) if shape != SERIES else mlp(shape), make_inputs(shape, 4))
    own, ratios = function(view), []
    for axis in axes:
        for pixels in (-2, -1, 1, 2):
            there = torch.from_numpy(moved(view.inputs.numpy(), axis, pixels))
            maps = function(view.take(slice(None), there))
            ratios.append((maps - own).flatten(1).abs().sum(dim=1) / (there - view.inputs).flatten(1).norm(dim=1))
    expected = torch.stack(ratios).amax(dim=0)
    ev = make_evaluation(view, kind="contribution", function=function)
    np.testing.assert_allclose(run("continuity", ev, steps=2), expected, rtol=1e-4)
    assert float(expected.min()) > 0
    size = own.flatten(1).abs().sum(dim=1)
    np.testing.assert_allclose(run("continuity", ev, steps=2, normalise=True), expected / size, rtol=1e-4)


def test_more_steps_can_only_find_more() -> None:
    ev = make_evaluation(make_view(cnn(), make_inputs(IMAGE, 6)))
    one, three = (run("continuity", ev, steps=k) for k in (1, 3))
    assert bool((three >= one).all())
    assert bool((three > one).any())


def test_an_input_that_no_translation_changes_is_undefined() -> None:
    x = make_inputs(IMAGE, 3)
    x[1] = 0.5
    assert torch.isnan(run("continuity", make_evaluation(make_view(cnn(), x)))).tolist() == [False, True, False]


def test_a_jump_of_the_explanation_is_seen() -> None:
    """A bright pixel; one explainer follows it smoothly, the other jumps as it leaves the left half."""
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4, 3] = 1

    def sides(view: ProblemView, stream: str = "") -> Tensor:
        left = view.inputs[:, 0, :, :4].sum(dim=(1, 2)) > 0.5
        return torch.where(left.view(-1, 1, 1), 1.0, -1.0).expand(-1, 8, 8)

    view = make_view(cnn(), x)
    values = [run("continuity", make_evaluation(view, kind="saliency", function=f), steps=1) for f in (itself, sides)]
    np.testing.assert_allclose(values, [[2 / 2**0.5], [2 * 64 / 2**0.5]], rtol=1e-6)


def test_tables_have_no_neighbouring_places() -> None:
    with pytest.raises(UnsupportedError, match="images and series"):
        run("continuity", make_evaluation(make_view(mlp(TABLE), make_inputs(TABLE, 2))))
