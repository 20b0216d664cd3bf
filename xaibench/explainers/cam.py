"""Grad-CAM: feature maps of a convolution, weighted by their mean gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError, UsageError, did_you_mean
from xaibench.core.outputs import select_output
from xaibench.core.predictor import TorchPredictor, hooked, require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.channels import Channels, per_feature
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.guided import guided_gradients


@explainer("grad_cam", kind="saliency", needs={"module", "image"}, convolutions_only=True)
def grad_cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """Positive part of the gradient-weighted sum of feature maps, enlarged bilinearly (Selvaraju et al. 2017, Eq. 2).

    Parameters
    ----------
    layer : str, optional
        Name of the module whose output is used. Default: the last convolution that is run, leaving
        out 1x1 convolutions (shortcuts) where there are others.

    Raises
    ------
    UnsupportedError
        If the model has no convolution, or the layer gives no feature maps.
    """
    model = require_module(problem.model)
    chosen = _last_convolution(model, problem.inputs[:1]) if layer is None else _named(model.module, layer)
    maps = []
    for leaf, targets in model_batches(problem, model):
        found: list[Tensor] = []

        def capture(_module: nn.Module, _inputs: Any, output: Tensor, found: list[Tensor] = found) -> Tensor:
            found.append(output)
            # A copy goes on, so that an in-place ReLU behind the layer leaves the captured maps alone.
            return output.clone()

        with torch.enable_grad():
            with hooked([chosen.register_forward_hook(capture)]):
                raw = model.forward(leaf)
            if len(found) != 1 or found[0].ndim != 4:
                raise UnsupportedError("Grad-CAM needs a layer that is run once and gives maps (N, K, H, W)")
            picked = select_output(raw, targets, problem.output, model.returns)
            (gradient,) = torch.autograd.grad(picked.sum(), found[0])
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        maps.append((weights * found[0].detach()).sum(dim=1, keepdim=True).clamp(min=0))
    cam = functional.interpolate(torch.cat(maps), size=problem.layout.feature_shape, mode="bilinear")
    return cam.squeeze(1)


@explainer("guided_grad_cam", kind="slope", needs={"module", "image"}, convolutions_only=True)
def guided_grad_cam(problem: ProblemView, *, layer: str | None = None, channels: Channels = "sum") -> Tensor:
    """Guided backpropagation times Grad-CAM (Selvaraju et al. 2017, Sec. 3.2).

    Parameters
    ----------
    layer : str, optional
        As for `grad_cam`.
    channels : {"sum", "positive"}
        Signed sum over channels, or the sum of their positive parts (a saliency).
    """
    return per_feature(problem, guided_gradients(problem), channels) * grad_cam(problem, layer=layer)


def _named(module: nn.Module, layer: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(module.named_modules())
    if layer not in modules:
        raise UsageError(f"the model has no layer {layer!r}", did_you_mean(layer, [n for n in modules if n]))
    return modules[layer]


def _last_convolution(model: TorchPredictor, one: Tensor) -> nn.Module:
    """The convolution that is run last, by its position in the forward pass and not in the definition."""
    run: list[nn.Conv2d] = []

    def note(module: nn.Module, _inputs: Any, _output: Any) -> None:
        assert isinstance(module, nn.Conv2d)
        run.append(module)

    handles = [m.register_forward_hook(note) for m in model.module.modules() if isinstance(m, nn.Conv2d)]
    with hooked(handles), torch.no_grad():
        model.module(one.to(model.device))
    if not run:
        raise UnsupportedError("Grad-CAM needs a convolution, and the model runs none")
    wide = [m for m in run if max(m.kernel_size) > 1]
    return (wide or run)[-1]
