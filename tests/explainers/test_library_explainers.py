"""What is called from other libraries leaves nothing behind, is repeatable, and is refused where it is missing."""

from __future__ import annotations

import copy
import importlib.util
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs, make_view, mlp
from helpers.explainer_cases import black_box, capabilities, plain_cnn, run, spec_of, view_of
from helpers.graphs import SumNet, lists, sample
from helpers.library_cases import forest_view
from torch import nn

import xaibench as xb
from xaibench.core import libraries
from xaibench.core.components import ExplainerSpec
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.explaining import attribution_kind
from xaibench.core.generators import seed_of_sample, seeded_generators
from xaibench.core.needs import missing_needs
from xaibench.core.registry import adapters, components, get
from xaibench.explainers.engines.library_calls import ExplainedOutput
from xaibench.plan.cells import unsupported_reason

SPECS = [spec for spec in adapters("explainer") if isinstance(spec, ExplainerSpec)]
LITTLE = {
    "captum:IntegratedGradients": {"n_steps": 5},
    "captum:Occlusion": {"sliding_window_shapes": 4, "strides": 4},
    "captum:FeatureAblation": {"feature_mask": 4},
    "captum:ShapleyValueSampling": {"n_samples": 2, "feature_mask": 4},
    "captum:KernelShap": {"feature_mask": 4},
    "captum:Lime": {"feature_mask": 4},
    "lime:image": {"num_samples": 20, "patch": 4},
    "lime:tabular": {"num_samples": 50},
    "shap:Gradient": {"nsamples": 5},
    "shap:Kernel": {"nsamples": 40},
    "shap:Permutation": {"max_evals": 20},
    "shap:Partition": {"max_evals": 20},
}
SLOW_IMPORTS = ("shap", "lime")
ALIKE = {"rtol": 1e-4, "atol": 1e-5}
cases = pytest.mark.parametrize(
    "name",
    [pytest.param(s.name, marks=[pytest.mark.slow] if s.library in SLOW_IMPORTS else []) for s in SPECS],
)


def library(name: str) -> None:
    pytest.importorskip(libraries.LIBRARIES[name.partition(":")[0]].package)


def fitting(name: str):
    """A small problem that the explainer takes."""
    spec = spec_of(name)
    if name == "shap:Tree":
        return forest_view()
    if name == "shap:Linear":
        rows = make_inputs((6,), 20, seed=5)
        return make_view(nn.Sequential(nn.Linear(6, 3)).eval(), make_inputs((6,), 3), background=rows)
    data = "table" if "table" in spec.needs else "image"
    view = view_of(data, 3, model=plain_cnn() if data == "image" else None)
    # Three targets are three calls of what explains samples with one target together.
    view = replace(view, targets=torch.tensor([0, 1, 2]))
    assert not missing_needs(spec.needs, capabilities(view))
    return view


def test_those_of_the_table_are_registered_and_not_among_our_own() -> None:
    names = {spec.name for spec in SPECS}
    assert names >= {
        "captum:Saliency", "captum:InputXGradient", "captum:IntegratedGradients", "captum:DeepLift",
        "captum:DeepLiftShap", "captum:GuidedBackprop", "captum:Deconvolution", "captum:GradientShap",
        "captum:NoiseTunnel", "captum:Occlusion", "captum:FeatureAblation", "captum:ShapleyValueSampling",
        "captum:KernelShap", "captum:Lime", "captum:LayerGradCam", "captum:GuidedGradCam", "captum:LRP",
        "shap:Kernel", "shap:Permutation", "shap:Partition", "shap:Linear", "shap:Tree", "shap:Deep", "shap:Gradient",
        "lime:tabular", "lime:image",
    }  # fmt: skip
    assert not names & {spec.name for spec in components("explainer")}
    assert all(spec.summary.endswith(".") for spec in SPECS)
    assert all(spec.code_digest is None or spec.code_digest.startswith(spec.library or "?") for spec in SPECS)


@cases
def test_nothing_is_left_behind_and_two_calls_are_equal(name: str) -> None:
    library(name)
    view = fitting(name)
    module = view.model.module
    before = None if module is None else copy.deepcopy(module.state_dict())
    inputs, background = view.inputs.clone(), view.background.clone()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    first = run(name, view, **LITTLE.get(name, {}))
    assert first.shape == (3, *view.layout.feature_shape)
    assert torch.isfinite(first).all()
    assert torch.equal(states[0], torch.get_rng_state())
    after = np.random.get_state()  # noqa: NPY002
    assert after[2:] == states[1][2:]
    assert np.array_equal(after[1], states[1][1])
    assert states[2] == random.getstate()
    assert torch.is_grad_enabled()
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert torch.equal(first, run(name, view, **LITTLE.get(name, {}))), "two calls differ"
    assert torch.equal(view.inputs, inputs)
    assert torch.equal(view.background, background)
    if module is not None and before is not None:
        assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
        assert not module.training
        for part in module.modules():
            hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks)
            assert not any(hooks)
    if attribution_kind(spec_of(name), view, spec_of(name).bind(LITTLE.get(name, {}))) == "saliency":
        assert (first >= 0).all()


@cases
def test_a_sample_alone_is_as_in_a_batch(name: str) -> None:
    library(name)
    view = fitting(name)
    together = run(name, view, **LITTLE.get(name, {}))
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(run(name, view.take(order), **LITTLE.get(name, {})), together[order], **ALIKE)
    torch.testing.assert_close(run(name, view.take(slice(1, 2)), **LITTLE.get(name, {})), together[1:2], **ALIKE)


@pytest.mark.parametrize("name", [s.name for s in SPECS if s.takes("draws") and s.library == "captum"])
def test_seeds_and_streams_give_other_draws(name: str) -> None:
    library(name)
    view = fitting(name)
    if name == "captum:Lime":
        # Its lasso sets effects of a hundredth to 0: here everything. Ten times the outputs are more than that.
        assert not run(name, view, **LITTLE[name]).any()
        view.model.module[-1].weight.data *= 10
    given = LITTLE.get(name, {})
    assert not torch.equal(run(name, view, "a", **given), run(name, view, "b", **given))


@pytest.mark.parametrize("output", ["probability", "margin"])
@pytest.mark.parametrize("name", ["captum:Saliency", "captum:Occlusion", "captum:DeepLift"])
def test_the_output_of_the_problem_is_explained(name: str, output: str) -> None:
    library(name)
    view = view_of("image", 3, model=plain_cnn(), output=output)
    ours = {"captum:Saliency": "saliency", "captum:Occlusion": "occlusion", "captum:DeepLift": "deep_lift"}[name]
    if name == "captum:DeepLift":
        # The library does not see the softmax or the margin, which are no modules: no identity holds.
        assert torch.isfinite(run(name, view)).all()
        return
    given = LITTLE.get(name, {})
    own = {"patch": 4, "stride": 4} if name == "captum:Occlusion" else {}
    torch.testing.assert_close(run(name, view, **given), run(ours, view, **own), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [s.name for s in SPECS if s.library == "captum" and not s.needs])
def test_black_boxes_are_explained_by_removal(name: str) -> None:
    library(name)
    view = view_of("table", 3, model=black_box)
    given = {k: v for k, v in LITTLE.get(name, {}).items() if k == "n_samples"}
    assert torch.isfinite(run(name, view, **given)).all()


def test_a_foil_and_a_context_are_those_of_each_sample() -> None:
    library("captum:Saliency")
    view = view_of("image", 6, model=plain_cnn())
    foils = (view.targets + 1 + torch.tensor([0, 1, 0, 1, 1, 0])) % 3
    foils = torch.where(foils == view.targets, (foils + 1) % 3, foils)
    contrast = replace(view, foils=foils, output="contrast")
    torch.testing.assert_close(run("captum:Saliency", contrast), run("saliency", contrast), **ALIKE)


def test_evaluations_are_counted() -> None:
    view = view_of("image", 4, model=plain_cnn())
    before = view.model.n_evaluations
    ExplainedOutput(view)(view.inputs)
    assert view.model.n_evaluations == before + 4


def test_a_missing_library_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        libraries.importlib.util, "find_spec", lambda name, *a: None if name == "captum" else found(name, *a)
    )
    view = view_of("image", 3)
    reason = unsupported_reason(
        get("explainer", "captum:Saliency"), {"abs": True}, get("metric", "sparseness"), frozenset({"image"}), {}
    )
    assert reason == "explainer captum:Saliency: captum is not installed: pip install 'xaibench[captum]'"
    with pytest.raises(UnsupportedError, match="captum is not installed") as error:
        run("captum:Saliency", view)
    assert error.value.hint == "pip install 'xaibench[captum]'"
    with pytest.raises(UnsupportedError, match="captum is not installed"):
        xb.explain("captum:Saliency", model=mlp((6,)), inputs=np.zeros((2, 6), np.float32))


def test_wrong_names_are_suggested_and_nothing_is_imported() -> None:
    with pytest.raises(UsageError, match="unknown explainer 'captum:Salency'") as error:
        get("explainer", "captum:Salency")
    assert "captum:Saliency" in str(error.value.hint)
    with pytest.raises(UsageError, match="has no parameter 'steps'"):
        get("explainer", "captum:IntegratedGradients").bind({"steps": 3})
    with pytest.raises(UsageError, match="there is no file"):
        get("explainer", str(Path("nowhere") / "captum.py") + ":Saliency")


def test_seeds_differ_by_seed_stream_and_sample() -> None:
    found = {seed_of_sample(s, t, d) for s in (0, 1) for t in ("a", "b") for d in (b"x", b"y")}
    assert len(found) == 8
    assert all(0 <= seed < 2**32 for seed in found)


def test_generators_are_put_back_after_an_error() -> None:
    state = torch.get_rng_state()
    numbers = np.random.get_state()[1].copy()  # noqa: NPY002
    with pytest.raises(ValueError), seeded_generators(5):  # noqa: PT012
        torch.rand(3)
        np.random.rand(3)  # noqa: NPY002
        torch.set_grad_enabled(False)
        raise ValueError
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numbers, np.random.get_state()[1])  # noqa: NPY002
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("name", "params"), [("captum:NoiseTunnel", {}), ("captum:GradientShap", {"stdevs": 0.5})])
def test_noise_is_refused_where_a_feature_is_there_or_not(name: str, params: dict[str, float]) -> None:
    """An edge has no weight between 0 and 1, nor has a category; our own explainers by noise refuse them too."""
    library(name)
    weights, context = lists(sample())
    given = {"model": SumNet(), "inputs": weights, "context": context, "features": "edges"}
    with pytest.raises(UnsupportedError, match="noise in every feature needs features that are quantities"):
        xb.explain(name, **params, **given)
