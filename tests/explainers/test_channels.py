"""Explainers that know each channel apart can sum the positive parts, as pictures are drawn."""

from __future__ import annotations

import pytest
import torch
from helpers.builders import RGB, linear, make_inputs, make_view
from helpers.explainer_cases import NAMES, run, spec_of, view_of

from xaibench.core.explaining import attribution_kind, channel_handling
from xaibench.core.needs import DATA_NEEDS

ON_IMAGES = [name for name in NAMES if not spec_of(name).needs & DATA_NEEDS or "image" in spec_of(name).needs]
CHOOSING = [name for name in ON_IMAGES if "channels" in spec_of(name).parameters]
choosing = pytest.mark.parametrize("name", CHOOSING)


def test_which_explainers_choose() -> None:
    assert {"gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "gradient_shap"} <= set(CHOOSING)
    assert {"guided_backprop", "deconvolution", "guided_grad_cam", "lrp", "deep_lift"} <= set(CHOOSING)


@choosing
def test_positive_parts_of_one_channel_are_those_of_the_map(name: str) -> None:
    view = view_of("image")
    assert view.layout.channels == 1
    torch.testing.assert_close(run(name, view, channels="positive"), run(name, view).clamp(min=0))


@choosing
def test_positive_parts_of_colours_are_summed(name: str) -> None:
    view = view_of("rgb")
    signed, positive = run(name, view), run(name, view, channels="positive")
    assert (positive >= signed.clamp(min=0) - 1e-6).all()
    assert (positive > signed.clamp(min=0) + 1e-6).any(), "colours of opposite signs cancel in the signed sum only"


@choosing
def test_positive_parts_are_a_saliency(name: str) -> None:
    view, spec = view_of("rgb"), spec_of(name)
    assert attribution_kind(spec, view, spec.bind({})) == spec.attribution_kind
    assert attribution_kind(spec, view, spec.bind({"channels": "positive"})) == "saliency"
    assert channel_handling(view.layout, spec.bind({"channels": "positive"})) == "positive"
    assert channel_handling(view.layout, spec.bind({})) == "sum"
    assert channel_handling(view_of("image").layout, spec.bind({"channels": "positive"})) == "none"


def test_gradient_of_a_linear_model_in_colours() -> None:
    model = linear(RGB)
    view = make_view(model, make_inputs(RGB, 5))
    expected = model[1].weight.detach()[view.targets].reshape(-1, *RGB)
    torch.testing.assert_close(run("gradient", view, channels="positive"), expected.clamp(min=0).sum(dim=1))
    parts = (view.inputs * expected).clamp(min=0).sum(dim=1)
    torch.testing.assert_close(run("input_x_gradient", view, channels="positive"), parts)
    torch.testing.assert_close(run("integrated_gradients", view, channels="positive"), parts)
    torch.testing.assert_close(run("gradient", view, channels="norm"), expected.norm(dim=1))
    torch.testing.assert_close(run("gradient", view, channels="abs"), expected.abs().sum(dim=1))
    torch.testing.assert_close(run("input_x_gradient", view, channels="norm"), (view.inputs * expected).norm(dim=1))
