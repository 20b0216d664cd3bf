"""What every registered explainer owes the harness, whatever it computes."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pkgutil import walk_packages

import pytest
import torch
from helpers.builders import make_inputs, make_view, mlp
from helpers.explainer_cases import NAMES, black_box, capabilities, run, spec_of, view_of

from xaibench.core.errors import UnsupportedError
from xaibench.core.explaining import attribution_kind
from xaibench.core.needs import DATA_NEEDS, missing_needs, sees_truth
from xaibench.core.problem import ProblemView
from xaibench.explainers import engines

DATA = ("image", "rgb", "table", "series")
EXPECTED = {
    "gradient", "saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "vargrad", "gradient_shap",
    "deep_lift", "guided_backprop", "deconvolution", "grad_cam", "guided_grad_cam", "lrp", "occlusion",
    "feature_ablation", "lime", "kernel_shap", "shapley_sampling", "rise", "random", "random_smooth", "other_sample",
    "constant", "input_edges", "oracle",
}  # fmt: skip
ALIKE = {"rtol": 1e-4, "atol": 1e-5}
# Three channels cost three times as much and are a reduction away from one.
cases = pytest.mark.parametrize(
    ("name", "data"), [pytest.param(n, d, marks=[pytest.mark.slow] if d == "rgb" else []) for n in NAMES for d in DATA]
)


def need(name: str, view: ProblemView) -> None:
    missing = missing_needs(spec_of(name).needs, capabilities(view))
    if missing:
        pytest.skip(f"needs {missing}")


def test_everything_that_was_promised_is_registered():
    assert set(NAMES) >= EXPECTED


def test_placebos_are_the_controls_without_the_oracle():
    controls = {n for n in NAMES if spec_of(n).control}
    of_texts = {"embedding_norm", "token_frequency", "token_position"}
    assert controls == {"random", "random_smooth", "other_sample", "constant", "input_edges", "oracle", *of_texts}
    assert {n for n in NAMES if spec_of(n).placebo} == controls - {"oracle"}


@cases
def test_shape_determinism_and_no_mutation(name, data):
    view = view_of(data)
    need(name, view)
    inputs, background = view.inputs.clone(), view.background.clone()
    state = copy.deepcopy(view.model.module.state_dict())
    hooks = _hooks(view.model.module)
    first = run(name, view)
    assert first.shape == (7, *view.layout.feature_shape)
    assert torch.isfinite(first).all()
    torch.manual_seed(99)
    assert torch.equal(first, run(name, view)), "two calls differ"
    assert torch.equal(view.inputs, inputs)
    assert torch.equal(view.background, background)
    assert all(torch.equal(v, state[k]) for k, v in view.model.module.state_dict().items())
    assert _hooks(view.model.module) == hooks == 0
    assert all(p.grad is None and p.requires_grad for p in view.model.module.parameters())
    if attribution_kind(spec_of(name), view, {}) == "saliency":
        assert (first >= 0).all()


@pytest.mark.slow
@cases
def test_a_sample_does_not_see_its_neighbours(name, data):
    view = view_of(data)
    need(name, view)
    together = run(name, view)
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])
    torch.testing.assert_close(run(name, view.take(order)), together[order], **ALIKE)
    for row in (0, 4):
        torch.testing.assert_close(run(name, view.take(slice(row, row + 1))), together[row : row + 1], **ALIKE)


@pytest.mark.slow
@cases
def test_blocks_for_memory_change_nothing(name, data, monkeypatch):
    view = view_of(data)
    need(name, view)
    whole = run(name, view)
    # One sample per block. How many of its copies are made at once is part of the draws and must stay.
    params = spec_of(name).parameters
    small = 4 * view.inputs[0].numel() * params.get("n_samples", params.get("steps", 1))
    for module in walk_packages(engines.__path__, f"{engines.__name__}."):
        for bound in [n for n in vars(sys.modules[module.name]) if n.endswith("BLOCK_BYTES")]:
            monkeypatch.setattr(f"{module.name}.{bound}", small)
    torch.testing.assert_close(run(name, view), whole, **ALIKE)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output", ["probability", "margin"])
def test_other_outputs(name, output):
    view = view_of("image", output=output)
    need(name, view)
    assert torch.isfinite(run(name, view)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", ["image", "table"])
def test_black_boxes(name, data):
    view = view_of(data, model=black_box)
    if spec_of(name).needs & {"gradients", "module"}:
        assert missing_needs(spec_of(name).needs, capabilities(view))
        return
    need(name, view)
    found = run(name, view)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(run(name, view.take(torch.tensor([5, 2]))), found[[5, 2]], **ALIKE)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("data", ["rgb", "table"])
def test_constant_inputs(name, level, data):
    view = view_of(data)
    need(name, view)
    view = view.take(slice(None), torch.full_like(view.inputs, level))
    assert not torch.isinf(run(name, view)).any()


@pytest.mark.parametrize("name", NAMES)
def test_explaining_again_with_copies_and_another_model(name):
    """Draws stay those of the originals, and nothing is remembered of the first model."""
    view = view_of("table")
    need(name, view)
    before = run(name, view)
    rows = torch.tensor([2, 2, 5])
    torch.testing.assert_close(run(name, view.take(rows, view.inputs[rows])), before[rows], **ALIKE)
    other = make_view(mlp((6,), seed=8), view.inputs).model
    again = run(name, view.take(slice(None), None, other))
    fresh_view = view_of("table", model=mlp((6,), seed=8), targets=view.targets)
    fresh = run(name, replace(fresh_view, labels=view.labels, background_labels=view.background_labels))
    torch.testing.assert_close(again, fresh, rtol=0, atol=0, equal_nan=True)
    # A class that the other model does not say may have no explanation.
    defined = bool(torch.isfinite(again).all())
    if defined and not spec_of(name).control and not sees_truth(spec_of(name).needs):
        # The untrained networks here say one class everywhere, so that their accuracy is the same.
        assert torch.allclose(again, before) != spec_of(name).follows_outputs


# The untrained networks here say one class everywhere, and explanations of the class alone are the same then.
@pytest.mark.parametrize("name", [n for n in NAMES if spec_of(n).takes("draws") and spec_of(n).follows_outputs])
def test_streams_and_seeds_give_other_draws(name):
    view = view_of("table" if spec_of(name).needs & DATA_NEEDS == {"table"} else "image")
    need(name, view)
    assert not torch.equal(run(name, view, "a"), run(name, view, "b"))


@pytest.mark.parametrize("name", NAMES)
def test_without_background(name):
    view = view_of("table", background=None)
    need(name, view)
    assert torch.isfinite(run(name, view)).all()


def test_series_of_one_sensor_and_flat_images():
    for shape, features in (((12,), "series"), ((6, 6), "image")):
        inputs = make_inputs(shape, 3)
        view = make_view(mlp(shape), inputs, features=features, background=inputs)
        for name in NAMES:
            if missing_needs(spec_of(name).needs, capabilities(view)):
                continue
            if spec_of(name).feature_maps_only:
                with pytest.raises(UnsupportedError, match="feature map"):
                    run(name, view)
            else:
                assert torch.isfinite(run(name, view)).all(), name


def _hooks(module: torch.nn.Module) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) + len(m._backward_pre_hooks)
        for m in module.modules()
    )
