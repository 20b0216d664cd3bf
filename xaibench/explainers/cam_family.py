"""Class activation maps whose weights are made of gradients: CAM, HiRes-CAM, Layer-CAM, XGrad-CAM and Shapley-CAM."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.cam_layers import FeatureLayer, TokenGrid, feature_layer, layer_used
from xaibench.explainers.cam_passes import enlarged, maps_and_gradients, maps_gradients_and_curvature, run_at
from xaibench.explainers.engines.perturbed_copies import model_batches

_SPREAD = 1e-5
"""How far gradients may differ between places, or outputs from a line, in units of the largest."""
_LARGE = 1e3
"""Size of made-up maps in units of the largest number of the maps themselves."""
_EMPTY = 1e-6
"""Sums of a map below this share of its magnitude are 0 but for rounding."""
_NOT_CAM = "CAM needs global average pooling and one linear layer behind it"
_INSTEAD = "grad_cam is the same map up to a factor where CAM is defined, and is defined for other networks, too"


def is_linear_mean(problem: ProblemView, target: FeatureLayer) -> bool:
    """Whether the raw outputs are a linear function of the means of the maps at a layer.

    The gradients of all outputs together are compared between places, and between the maps and large made-up ones of
    both signs, which turn every unit of a hidden layer on in one case and off in the other.
    """
    model = require_module(problem.model)
    for leaf, _, context in model_batches(problem, model):
        found = []
        for sign in (0, 1, -1):
            probes: list[Tensor] = []

            def other(maps: Tensor, sign: int = sign, probes: list[Tensor] = probes) -> Tensor:
                waves = torch.cos(torch.arange(maps.shape[1], device=maps.device) + 1).view(1, -1, 1, 1)
                made = sign * _LARGE * (1 + maps.detach().abs().amax()) * waves.to(maps).expand_as(maps)
                probes.append((made if sign else maps.detach()).clone().requires_grad_(True))
                return probes[-1]

            with torch.enable_grad():
                raw, _ = run_at(model, leaf, context, target, other)
                # Unequal weights: probabilities add up to 1, and the gradient of their sum is 0.
                weights = torch.linspace(1, 2, raw.shape[1], device=raw.device).to(raw.dtype)
                (gradient,) = torch.autograd.grad((raw * weights).sum(), probes[-1], allow_unused=True)
            if gradient is None:
                return False
            found.append(gradient)
        size = found[0].abs().flatten(1).amax(dim=1)
        spread = found[0].flatten(2).amax(dim=2) - found[0].flatten(2).amin(dim=2)
        apart = torch.stack([(found[0] - f).abs().flatten(1).amax(dim=1) for f in found]).amax(dim=0)
        if bool((torch.maximum(spread.amax(dim=1), apart) > _SPREAD * size).any()):
            return False
    return True


@explainer(
    "cam", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used,
    some_models_only=True,
)  # fmt: skip
def cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """Feature maps weighted by the output layer behind global average pooling (Zhou et al. 2016, Eq. 2).

    The weights are those of the explained output: of a logit the column of the output layer, and of a probability its
    derivative by the means of the maps. In such a network it is h w times `grad_cam`.

    Parameters
    ----------
    layer : str, optional
        As for `grad_cam`.

    Raises
    ------
    UnsupportedError
        If the network is anything else than a global mean of these maps and one linear layer.
    """
    target = feature_layer(problem, layer=layer)
    if not is_linear_mean(problem, target):
        raise UnsupportedError(_NOT_CAM, _INSTEAD)
    maps = [
        (gradient.sum(dim=(2, 3), keepdim=True) * features).sum(dim=1).clamp(min=0)
        for features, gradient in maps_and_gradients(problem, target)
    ]
    return enlarged(problem, torch.cat(maps))


@explainer("hires_cam", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used)
def hires_cam(problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None) -> Tensor:
    """Positive part of feature maps times their gradients, summed over maps (Draelos & Carin 2020, HiResCAM).

    Unlike `grad_cam` the gradient is not averaged over places, so that a place is marked only where it raises the
    output itself. With one linear layer behind the maps the unclamped map adds up to the logit without its bias.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    """
    target = feature_layer(problem, layer=layer, tokens=tokens)
    maps = [(a * g).sum(dim=1).clamp(min=0) for a, g in maps_and_gradients(problem, target)]
    return enlarged(problem, torch.cat(maps))


def _layers_used(problem: ProblemView, *, layer: str | list[str] | None = None, **others: Any) -> str:
    names = layer if isinstance(layer, list) else [layer]
    return "; ".join(layer_used(problem, layer=name, **others) for name in names)


@explainer("layer_cam", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=_layers_used)
def layer_cam(problem: ProblemView, *, layer: str | list[str] | None = None, tokens: TokenGrid | None = None) -> Tensor:
    """Feature maps times the positive part of their gradients (Jiang et al. 2021, LayerCAM, Eq. 5).

    Meant for early layers, too, whose maps are finer. The maps of several layers are enlarged, divided by their own
    maximum (a map of zeros stays) and averaged.

    Parameters
    ----------
    layer : str or list of str, optional
        One layer as for `grad_cam`, or several.
    tokens : tuple of int, optional
        As for `grad_cam`.
    """
    if layer == []:
        raise UsageError("layer = [] names no layer", "leave it out for the default layer")
    several = layer if isinstance(layer, list) else None
    found = []
    for name in [layer] if several is None else several:
        assert not isinstance(name, list)
        target = feature_layer(problem, layer=name, tokens=tokens)
        maps = [(a * g.clamp(min=0)).sum(dim=1).clamp(min=0) for a, g in maps_and_gradients(problem, target)]
        found.append(enlarged(problem, torch.cat(maps)))
    if several is None or len(several) == 1:
        return found[0]
    largest = [one.flatten(1).amax(dim=1).view(-1, 1, 1) for one in found]
    scaled = [one / torch.where(top > 0, top, 1) for one, top in zip(found, largest, strict=True)]
    return torch.stack(scaled).mean(dim=0)


@explainer("xgrad_cam", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used)
def xgrad_cam(problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None) -> Tensor:
    """Feature maps weighted by their mean gradient, the mean taken in proportion to the map (Fu et al. 2020, Eq. 8).

    The weights are those that keep the sum of `hires_cam` before its negative parts are cut. A map that sums to 0, but
    for rounding, has the weight 0.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    """
    target = feature_layer(problem, layer=layer, tokens=tokens)
    maps = []
    for features, gradient in maps_and_gradients(problem, target):
        total = features.sum(dim=(2, 3), keepdim=True)
        some = total.abs() > _EMPTY * features.abs().sum(dim=(2, 3), keepdim=True)
        weights = (features * gradient).sum(dim=(2, 3), keepdim=True) / torch.where(some, total, 1)
        maps.append((torch.where(some, weights, 0) * features).sum(dim=1).clamp(min=0))
    return enlarged(problem, torch.cat(maps))


@explainer("shapley_cam", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used)
def shapley_cam(problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None) -> Tensor:
    """Feature maps weighted by their Shapley values to second order: mean gradient less half the curvature (Cai 2025).

    The weight of a map is the mean over places of ``G - (H A) / 2``, with the Hessian H of the explained output at
    the layer. Where only ReLUs, maxima and linear layers follow, H is 0 and the map is `grad_cam` exactly; a
    probability is curved everywhere.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    """
    target = feature_layer(problem, layer=layer, tokens=tokens)
    maps = []
    for features, gradient, curvature in maps_gradients_and_curvature(problem, target):
        weights = (gradient - curvature / 2).mean(dim=(2, 3), keepdim=True)
        maps.append((weights * features).sum(dim=1).clamp(min=0))
    return enlarged(problem, torch.cat(maps))
