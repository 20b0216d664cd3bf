from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, SERIES, TABLE, linear, make_inputs, make_view, mlp
from helpers.explainer_cases import black_box, run, spec_of, view_of
from scipy import ndimage

from xaibench.core.errors import UnsupportedError
from xaibench.core.explaining import attribution_kind
from xaibench.core.needs import missing_needs
from xaibench.core.predictor import Predictor
from xaibench.core.problem import Problem, Samples
from xaibench.core.truth import Truth


class Untouchable(Predictor):
    """A model that must not be looked at."""

    def _forward(self, inputs):
        raise AssertionError("the control looked at the model")

    def _batch_rule(self, inputs):
        return 1


@pytest.mark.parametrize("name", ["random", "random_smooth", "constant", "input_edges", "oracle"])
@pytest.mark.parametrize("data", ["rgb", "table", "series"])
def test_controls_never_look_at_the_model(name, data):
    view = view_of(data)
    assert torch.equal(run(name, view.take(slice(None), None, Untouchable("logit"))), run(name, view))


@pytest.mark.parametrize("name", ["random", "random_smooth", "constant"])
def test_controls_never_look_at_the_input(name):
    view = view_of("rgb")
    assert torch.equal(run(name, view.take(slice(None), view.inputs + 1)), run(name, view))


def test_random_is_standard_normal():
    numbers = run("random", view_of("image", 200))
    assert abs(numbers.mean()) < 0.05
    assert abs(numbers.std() - 1) < 0.05


@pytest.mark.parametrize("data", ["image", "table", "series"])
def test_random_smooth_is_smoother_than_random(data):
    rough, smooth = (run(name, view_of(data, 200)) for name in ("random", "random_smooth"))

    def neighbours(maps: torch.Tensor) -> float:
        return torch.corrcoef(torch.stack([maps[:, 1:].flatten(), maps[:, :-1].flatten()]))[0, 1].item()

    assert abs(neighbours(rough)) < 0.1
    assert neighbours(smooth) > 0.5


@pytest.mark.parametrize("data", ["image", "table", "series"])
def test_the_spread_of_smooth_noise_is_the_same_at_the_border_and_in_the_middle(data):
    spread = run("random_smooth", view_of(data, 2000)).std(dim=0)
    # The standard error of a standard deviation of 2,000 numbers is 1.6 %.
    torch.testing.assert_close(spread, spread.mean().expand_as(spread), rtol=0.08, atol=0)


def test_other_sample_is_the_map_of_a_background_row_for_the_class_predicted_there():
    model = linear(TABLE)
    background = make_inputs(TABLE, 40, seed=9)
    view = make_view(model, make_inputs(TABLE), background=background)
    rows = view.draws("explain").integers(40)
    predicted = model(background[rows]).argmax(dim=1)
    expected = model[1].weight[predicted].detach() * background[rows]
    torch.testing.assert_close(run("other_sample", view), expected, rtol=1e-4, atol=1e-6)
    moved = view.take(slice(None), view.inputs + 5)
    assert torch.equal(run("other_sample", moved), run("other_sample", view))


def test_other_sample_of_a_black_box_removes_features():
    view = view_of("table", model=black_box)
    others = view.background[view.draws("explain").integers(20)]
    expected = run("feature_ablation", make_view(black_box, others))
    torch.testing.assert_close(run("other_sample", view), expected)


def test_what_is_missing_is_said():
    view = make_view(mlp(TABLE), make_inputs(TABLE))
    for name, word in (("other_sample", "background"), ("oracle", "truth")):
        with pytest.raises(UnsupportedError, match=word):
            run(name, view)


@pytest.mark.parametrize("shape", [IMAGE, RGB])
def test_input_edges_of_an_image_are_scipys_sobel(shape):
    view = make_view(linear(shape), make_inputs(shape))
    planes = view.inputs.flatten(0, 1).numpy()
    both = [np.stack([ndimage.sobel(p, axis=axis, mode="nearest") for p in planes]) for axis in (0, 1)]
    expected = torch.from_numpy(np.hypot(*both)).view_as(view.inputs).sum(dim=1)
    torch.testing.assert_close(run("input_edges", view), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [IMAGE, RGB])
def test_input_edges_with_other_operators(shape):
    view = make_view(linear(shape), make_inputs(shape))
    planes = view.inputs.flatten(0, 1).numpy()
    expected = np.abs(np.stack([ndimage.laplace(p, mode="nearest") for p in planes]))
    found = run("input_edges", view, operator="laplace")
    torch.testing.assert_close(found, torch.from_numpy(expected).view_as(view.inputs).sum(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(run("input_edges", view, operator="none"), view.inputs.abs().sum(dim=1))


@pytest.mark.parametrize("shape", [TABLE, SERIES])
def test_input_edges_elsewhere_are_distances_from_the_background_mean(shape):
    background = make_inputs(shape, 40, seed=9)
    view = make_view(linear(shape), make_inputs(shape), background=background)
    torch.testing.assert_close(run("input_edges", view), (view.inputs - background.mean(dim=0)).abs())


def test_oracle_shows_the_truth_and_says_its_kind():
    inputs = make_inputs(TABLE, 3)
    mask, weights = inputs > 0, inputs * 2
    for truth, expected, kind in (
        (Truth("model", mask=mask), mask.float(), "saliency"),
        (Truth("model", weights=weights), weights, "slope"),
        (Truth("model", mask=mask, weights=weights), mask.float(), "saliency"),
    ):
        view = make_view(mlp(TABLE), inputs, truth=truth)
        assert torch.equal(run("oracle", view), expected)
        assert attribution_kind(spec_of("oracle"), view, {}) == kind


def test_any_truth_meets_the_need_and_is_shown():
    assert missing_needs({"truth"}, {"table"}) == ["truth"]
    for form in ("truth.mask", "truth.weights"):
        assert missing_needs({"truth"}, {form}) == []
    assert missing_needs({"truth.mask"}, {"truth.weights"}) == ["truth.mask"]
    view = view_of("table")
    samples = Samples(view.model, view.inputs, view.targets, view.layout, view.output, view.digests)
    problem = Problem("d", "m", samples, "f", frozenset({"truth.mask"}), truth=view.truth)
    assert problem.view(0, needs=spec_of("oracle").needs).truth is view.truth
    assert problem.view(0, needs=spec_of("random").needs).truth is None
