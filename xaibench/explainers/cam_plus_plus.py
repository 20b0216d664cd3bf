"""Grad-CAM++ (Chattopadhay et al. 2018) and Smooth Grad-CAM++ (Omeiza et al. 2019)."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from xaibench.core.copy_blocks import owners
from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.cam_layers import FeatureLayer, TokenGrid, feature_layer, layer_used
from xaibench.explainers.cam_passes import enlarged, maps_and_gradients, only_maps
from xaibench.explainers.engines import perturbed_copies
from xaibench.explainers.engines.perturbed_copies import check_positive


@explainer("grad_cam_pp", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used)
def grad_cam_pp(problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None) -> Tensor:
    """Feature maps weighted by positive gradients, those of sparse maps more (Chattopadhay et al. 2018, Grad-CAM++).

    The paper's ``alpha = G^2 / (2 G^2 + S G^3)``, S being the sum of the map, is ``1 / (2 + S G)``, and is computed
    like that: no constant is needed where gradients are small. The explained output is taken as it is, where
    the paper explains its exponential. Another scale of the logits gives another map, by definition.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.

    Raises
    ------
    UnsupportedError
        If ``2 + S G`` is 1 or less for a positive gradient, as maps with negative sums can have it: the weight has a
        pole there.
    """
    target = feature_layer(problem, layer=layer, tokens=tokens)
    maps = []
    for features, gradient in maps_and_gradients(problem, target):
        divisor = 2 + features.sum(dim=(2, 3), keepdim=True) * gradient
        _refuse_poles(divisor, gradient)
        positive = gradient.clamp(min=0)
        weights = torch.where(positive > 0, positive / divisor, 0).sum(dim=(2, 3), keepdim=True)
        maps.append((weights * features).sum(dim=1).clamp(min=0))
    return enlarged(problem, torch.cat(maps))


@explainer(
    "smooth_grad_cam_pp", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used
)
def smooth_grad_cam_pp(
    problem: ProblemView,
    *,
    layer: str | None = None,
    tokens: TokenGrid | None = None,
    n_samples: PositiveInt = 32,
    radius: NonNegativeFloat = 0.15,
    draws: Draws,
) -> Tensor:
    """Grad-CAM++ with the moments of gradients under Gaussian noise (Omeiza et al. 2019, Smooth Grad-CAM++).

    ``alpha = D2 / (2 D2 + S D3)`` with the means D1, D2, D3 of G, G^2 and G^3 over noisy copies, and the weight of a
    map is the sum of ``alpha max(D1, 0)``. Maps and their sums S are those of the sample itself. Without noise
    it is `grad_cam_pp`.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    n_samples : int
        Noisy copies.
    radius : float
        Standard deviation of the noise, in input units.

    Raises
    ------
    UnsupportedError
        As for `grad_cam_pp`.
    """
    check_positive(n_samples=n_samples)
    target = feature_layer(problem, layer=layer, tokens=tokens)
    features = torch.cat(list(only_maps(problem, target)))
    first, second, third = _noisy_moments(problem, target, n_samples, radius, draws)
    some = second > 0
    divisor = torch.where(some, 2 + features.sum(dim=(2, 3), keepdim=True) * third / torch.where(some, second, 1), 2)
    _refuse_poles(divisor, first)
    weights = torch.where(some, first.clamp(min=0) / divisor, 0).sum(dim=(2, 3), keepdim=True)
    return enlarged(problem, (weights * features).sum(dim=1).clamp(min=0).to(features.dtype))


def _noisy_moments(
    problem: ProblemView, target: FeatureLayer, n_samples: int, radius: float, draws: Draws
) -> tuple[Tensor, Tensor, Tensor]:
    """Means (N, K, h, w) of the gradient, its square and its cube, in float64: cubes of small numbers underflow."""
    moments: list[list[Tensor]] = [[], [], []]
    for block, parts in perturbed_copies.copy_blocks(problem, n_samples):
        view, own = problem.take(block), draws[block]
        sums: list[Tensor | float] = [0.0, 0.0, 0.0]
        for part in parts:
            size = part.stop - part.start
            noise = view.layout.only_quantities(own.normal((size, *view.layout.input_shape)), "noise")
            copies = (view.inputs.unsqueeze(1) + radius * noise).flatten(0, 1)
            which = owners(slice(0, len(view)), size, view.targets.device)
            found = [g.double() for _, g in maps_and_gradients(view.take(which, copies), target)]
            gradients = torch.cat(found)
            gradients = gradients.view(len(view), size, *gradients.shape[1:])
            sums = [total + (gradients**power).sum(dim=1) for power, total in enumerate(sums, 1)]
        for moment, total in zip(moments, sums, strict=True):
            assert isinstance(total, Tensor)
            moment.append(total / n_samples)
    first, second, third = (torch.cat(parts) for parts in moments)
    return first, second, third


def _refuse_poles(divisor: Tensor, gradient: Tensor) -> None:
    if bool(((divisor <= 1) & (gradient > 0)).any()):
        raise UnsupportedError(
            "Grad-CAM++ has a pole here: feature maps have negative sums, and its weights divide by 2 + sum x gradient",
            "take a layer behind a ReLU (layer=), or grad_cam, hires_cam or layer_cam",
        )
