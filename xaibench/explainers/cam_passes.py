"""Passes over a network that read or change the feature maps of one layer, for class activation maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import TorchPredictor, hooked, require_module
from xaibench.core.problem import ProblemView
from xaibench.explainers.cam_layers import METHOD, FeatureLayer
from xaibench.explainers.engines.feature_steps import run_to
from xaibench.explainers.engines.perturbed_copies import model_batches

MapChange = Callable[[Tensor], Tensor]
"""Gives other feature maps (n, K, h, w) for those of a layer."""


def run_at(
    model: TorchPredictor, leaf: Tensor, context: Context, target: FeatureLayer, change: MapChange | None = None
) -> tuple[Tensor, Tensor]:
    """Raw outputs (n, C), and the tensor at a layer.

    Parameters
    ----------
    model : TorchPredictor
    leaf : Tensor (n, *input_shape), with a gradient
    context : mapping of str to Tensor (n, ...)
    target : FeatureLayer
    change : callable, optional
        The network goes on with the maps that this returns; what has no place in a map, such as a class token, stays.

    Raises
    ------
    UnsupportedError
        If the samples take another way through the network than the one that the layer was found with.
    """
    changed = None if change is None else _on_tensors(target, change)
    if target.step is not None:
        raw, found = run_to(model, leaf, target.step.number, context, changed)
        sample = 1 if target.axes == (0,) else 0
        wanted = list(target.step.tensor.shape)
        wanted[sample] = len(leaf)
        if found is None or found[0] != target.step.name or list(found[1].shape) != wanted:
            raise UnsupportedError(
                f"{METHOD} needs a network that does the same for every sample; name a layer (layer=)"
            )
        return raw, found[1]
    assert target.module is not None
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        outputs.append(output)
        if not isinstance(output, Tensor):
            return output
        # A copy goes on, so that an activation in place leaves what is kept alone.
        return output.clone() if changed is None else changed(output)

    with hooked([target.module.register_forward_hook(keep)]):
        raw = model.forward(leaf, context)
    if len(outputs) != 1:
        raise UnsupportedError(f"{METHOD} needs a layer that is run once")
    return raw, outputs[0]


def _on_tensors(target: FeatureLayer, change: MapChange) -> MapChange:
    """A change of maps as one of the tensor that holds them."""

    def changed(tensor: Tensor) -> Tensor:
        new = tensor.clone()
        # The maps of a tensor are a view of it.
        target.maps(new).copy_(change(target.maps(tensor)))
        return new

    return changed


def maps_and_gradients(problem: ProblemView, target: FeatureLayer) -> Iterator[tuple[Tensor, Tensor]]:
    """Feature maps (n, K, h, w) and the gradient of the explained output there, batch by batch.

    Raises
    ------
    UnsupportedError
        If other samples take another way through the network than the one that the layer was found with.
    """
    model = require_module(problem.model)
    for leaf, rows, context in model_batches(problem, model):
        with torch.enable_grad():
            raw, taken = run_at(model, leaf, context, target)
            picked = problem.select(raw, rows)
            (gradient,) = torch.autograd.grad(picked.sum(), taken, allow_unused=True)
        yield target.maps(taken.detach()), target.maps(_used(gradient, target))


def maps_gradients_and_curvature(problem: ProblemView, target: FeatureLayer) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Feature maps A, the gradient there, and the Hessian times A, all (n, K, h, w), batch by batch."""
    model = require_module(problem.model)
    for leaf, rows, context in model_batches(problem, model):
        # The fused kernels of attention have no second derivative.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            raw, taken = run_at(model, leaf, context, target)
            picked = problem.select(raw, rows)
            (gradient,) = torch.autograd.grad(picked.sum(), taken, allow_unused=True, create_graph=True)
            gradient = _used(gradient, target)
            along = (target.maps(gradient) * target.maps(taken.detach())).sum()
            found = None
            if along.requires_grad:
                (found,) = torch.autograd.grad(along, taken, allow_unused=True)
        curvature = torch.zeros_like(gradient) if found is None else found
        yield target.maps(taken.detach()), target.maps(gradient.detach()), target.maps(curvature.detach())


def only_maps(problem: ProblemView, target: FeatureLayer) -> Iterator[Tensor]:
    """Feature maps (n, K, h, w), batch by batch."""
    model = require_module(problem.model)
    for leaf, _, context in model_batches(problem, model):
        yield target.maps(run_at(model, leaf, context, target)[1].detach())


def scores_with(problem: ProblemView, target: FeatureLayer, change: Callable[[Tensor, slice], Tensor]) -> Tensor:
    """Explained output (N,) with other maps at the layer.

    Parameters
    ----------
    problem : ProblemView
    target : FeatureLayer
    change : callable
        Takes maps (n, K, h, w) and which samples they are of, and returns those to go on with.
    """
    model = require_module(problem.model)
    found = []
    for leaf, rows, context in model_batches(problem, model):
        raw, _ = run_at(model, leaf, context, target, lambda maps, rows=rows: change(maps, rows))  # type: ignore[misc]
        found.append(problem.select(raw.detach(), rows))
    return torch.cat(found)


def enlarged(problem: ProblemView, coarse: Tensor) -> Tensor:
    """Maps (N, h, w) in the size of the features, bilinearly, with half-pixel centres."""
    size = problem.layout.feature_shape
    return functional.interpolate(coarse.unsqueeze(1), size=size, mode="bilinear").squeeze(1)


def _used(gradient: Tensor | None, target: FeatureLayer) -> Tensor:
    if gradient is None:
        raise UnsupportedError(f"{METHOD} needs a layer that the output depends on, and {target.label} is not used")
    return gradient
