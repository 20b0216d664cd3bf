"""Captum's Grad-CAM and guided Grad-CAM, at the module whose output is what `grad_cam` uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.components import AttributionKind
from xaibench.core.context import context_rows
from xaibench.core.errors import UnsupportedError, UsageError, did_you_mean
from xaibench.core.libraries import import_library
from xaibench.core.predictor import hooked, require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.cam_layers import feature_layer
from xaibench.explainers.engines.library_calls import ExplainedOutput, by_target


def module_used(problem: ProblemView, *, layer: str | None = None, **_others: Any) -> str:
    """Name of the module that is used, as the column ``layer_used`` says it."""
    return module_of_maps(problem, layer)


def module_of_maps(problem: ProblemView, layer: str | None) -> str:
    """Name of the innermost module whose output is the tensor that `grad_cam` uses, else of the last that gives maps.

    Raises
    ------
    UnsupportedError
        If no module gives maps with more than one place.
    UsageError
        If there is no module of the given name.
    """
    model = require_module(problem.model)
    modules = dict(model.module.named_modules())
    if layer is not None:
        if layer not in modules:
            raise UsageError(f"the model has no layer {layer!r}", did_you_mean(layer, [n for n in modules if n]))
        return layer
    target = feature_layer(problem).step
    outputs: list[tuple[str, Tensor]] = []

    def note(name: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                outputs.append((name, output.detach().clone()))

        return keep

    handles = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    with hooked(handles), torch.no_grad():
        model.module(problem.inputs[:1].to(model.device), **model.on_device(context_rows(problem.context, slice(0, 1))))
    wanted = None if target is None else target.tensor.detach()
    same = [name for name, o in outputs if wanted is not None and o.shape == wanted.shape and torch.equal(o, wanted)]
    # Of modules with one output the innermost ends first.
    found = same or [name for name, o in outputs if o.ndim == 4 and min(o.shape[2:]) > 1][-1:]
    if not found:
        raise UnsupportedError("no module of this model gives a feature map with more than one place", "name a layer")
    return found[0]


def kind_of_maps(params: Mapping[str, Any]) -> AttributionKind:
    """Weighted activations have a sign, unless negative ones are cut."""
    return "saliency" if params["relu_attributions"] else "contribution"


@explainer(
    "captum:LayerGradCam",
    kind="contribution",
    kind_of=kind_of_maps,
    needs={"module", "image"},
    feature_maps_only=True,
    layer_used=module_used,
)
def captum_layer_grad_cam(
    problem: ProblemView,
    *,
    layer: str | None = None,
    relu_attributions: bool = False,
    interpolate_mode: Literal["nearest", "bilinear"] = "nearest",
) -> Tensor:
    """Captum's Grad-CAM, enlarged. Equals `grad_cam` with ``relu_attributions=True`` and bilinear enlargement.

    By default it keeps negative numbers and enlarges by repeating pixels.

    Parameters
    ----------
    layer : str, optional
        Name of a module. Default: the one whose output `grad_cam` uses.
    relu_attributions : bool
        Cut negative parts.
    interpolate_mode : {"nearest", "bilinear"}
        How maps are enlarged.
    """
    attr = import_library("captum", "attr")
    output = ExplainedOutput(problem)
    module = dict(output.model.named_modules())[module_of_maps(problem, layer)]

    def call(view: ProblemView) -> Tensor:
        found: Tensor = attr.LayerGradCam(output.aim(view), module).attribute(
            view.inputs, relu_attributions=relu_attributions
        )
        return found

    maps = by_target(problem, call)
    if maps.ndim != 4:
        raise UnsupportedError(f"captum:LayerGradCam gives maps of shape {tuple(maps.shape[1:])}, not of an image")
    return functional.interpolate(maps, size=problem.layout.feature_shape, mode=interpolate_mode).squeeze(1)


@explainer(
    "captum:GuidedGradCam", kind="slope", needs={"module", "image"}, feature_maps_only=True, layer_used=module_used
)
def captum_guided_grad_cam(
    problem: ProblemView,
    *,
    layer: str | None = None,
    interpolate_mode: Literal["nearest", "bilinear"] = "nearest",
) -> Tensor:
    """Captum's guided Grad-CAM; equals `guided_grad_cam` with bilinear enlargement where every ReLU is a module.

    Parameters
    ----------
    layer : str, optional
        Name of a module. Default: the one whose output `grad_cam` uses.
    interpolate_mode : {"nearest", "bilinear"}
        How maps are enlarged.
    """
    attr = import_library("captum", "attr")
    output = ExplainedOutput(problem)
    module = dict(output.model.named_modules())[module_of_maps(problem, layer)]

    def call(view: ProblemView) -> Tensor:
        found: Tensor = attr.GuidedGradCam(output.aim(view), module).attribute(
            view.inputs, interpolate_mode=interpolate_mode
        )
        return found

    return problem.layout.reduce_slopes(by_target(problem, call))
