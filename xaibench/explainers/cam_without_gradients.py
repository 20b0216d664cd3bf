"""Class activation maps without gradients: Eigen-CAM, Score-CAM and Ablation-CAM."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.cam_layers import FeatureLayer, TokenGrid, feature_layer, layer_used
from xaibench.explainers.cam_passes import enlarged, only_maps, scores_with
from xaibench.explainers.engines import perturbed_copies
from xaibench.explainers.engines.perturbed_copies import blocks_of, check_positive


@explainer(
    "eigen_cam", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used,
    follows_outputs=False,
)  # fmt: skip
def eigen_cam(
    problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None, centre: bool = False
) -> Tensor:
    """First principal component of the feature maps (Muhammad & Yeasin 2020, Eigen-CAM).

    Places times the first right singular vector of the maps as a matrix of places and channels. It knows neither a
    class nor the output: all classes of a sample have the same map, so `random_logit` is 1 by design. The sign,
    which a singular vector does not have, is that with which the projected maps sum to a positive number.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    centre : bool
        Whether every channel loses its mean over places first.
    """
    target = feature_layer(problem, layer=layer, tokens=tokens)
    maps = []
    for features in only_maps(problem, target):
        places = features.flatten(2).transpose(1, 2).double()
        centred = places - places.mean(dim=1, keepdim=True) if centre else places
        vector = torch.linalg.svd(centred, full_matrices=False).Vh[:, 0].unsqueeze(2)
        sign = torch.where((places @ vector).sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
        found = (sign * (centred @ vector)).squeeze(2).clamp(min=0)
        maps.append(found.view(len(features), *features.shape[2:]).to(features.dtype))
    return enlarged(problem, torch.cat(maps))


@explainer("score_cam", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used)
def score_cam(
    problem: ProblemView,
    *,
    layer: str | None = None,
    tokens: TokenGrid | None = None,
    masker: str = "zero",
    max_channels: PositiveInt | None = None,
) -> Tensor:
    """Feature maps weighted by the softmax over maps of the output that each alone lets through (Wang et al. 2020).

    A map is enlarged, scaled to 0 and 1 (0 if it is constant), and mixes the sample with the fill of the masker. The
    paper subtracts the output without anything from all of them, which the softmax over maps does not see. Of
    probabilities, which differ by less than 1, the softmax is nearly flat, so that the map is hardly one of the class.
    Costs a forward pass per map.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    masker : str
        What a map of 0 shows.
    max_channels : int, optional
        Take only as many maps, those with the largest standard deviation over places.
    """
    target = feature_layer(problem, layer=layer, tokens=tokens)
    features = torch.cat(list(only_maps(problem, target)))
    if max_channels is not None and max_channels < features.shape[1]:
        check_positive(max_channels=max_channels)
        spread = features.double().flatten(2).std(dim=2, correction=0)
        largest = spread.argsort(dim=1, descending=True, stable=True)[:, :max_channels]
        features = features.gather(1, largest[:, :, None, None].expand(-1, -1, *features.shape[2:]))
    layout, scores = problem.layout, []
    for block, parts in perturbed_copies.copy_blocks(problem, features.shape[1]):
        view = problem.take(block)
        fill = view.baseline(masker).unsqueeze(1)
        found = []
        for part in parts:
            own = features[block, part]
            shown = enlarged(view, own.flatten(0, 1)).view(*own.shape[:2], *layout.feature_shape)
            masks = _scaled(shown).to(fill.dtype)
            found.append(perturbed_copies.scores(view, fill + layout.expand(masks) * (view.inputs.unsqueeze(1) - fill)))
        scores.append(torch.cat(found, dim=1))
    weights = torch.softmax(torch.cat(scores).double(), dim=1)[:, :, None, None].to(features.dtype)
    return enlarged(problem, (weights * features).sum(dim=1).clamp(min=0))


def _scaled(maps: Tensor) -> Tensor:
    """Maps (n, k, H, W) from 0 to 1 each; 0 where they are constant."""
    low, high = maps.flatten(2).amin(dim=2), maps.flatten(2).amax(dim=2)
    size = (high - low)[..., None, None]
    return torch.where(size > 0, (maps - low[..., None, None]) / torch.where(size > 0, size, 1), 0)


@explainer("ablation_cam", kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used)
def ablation_cam(problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None) -> Tensor:
    """Feature maps weighted by the output that is lost when each is set to 0 (Desai & Ramaswamy 2020, Ablation-CAM).

    The paper divides weights by the output, which is the same map up to a factor and turns the sign where the output
    is negative; here they are not divided. Costs a forward pass per map that is not 0 everywhere.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    """
    target = feature_layer(problem, layer=layer, tokens=tokens)
    features = torch.cat(list(only_maps(problem, target)))
    weights = _losses(problem, target, features)[:, :, None, None]
    return enlarged(problem, (weights * features).sum(dim=1).clamp(min=0))


def _losses(problem: ProblemView, target: FeatureLayer, features: Tensor) -> Tensor:
    """Output lost (N, K) without each of the maps, exactly 0 for maps of zeros."""
    clean = problem.scores(problem.inputs)
    losses = torch.zeros(features.shape[:2], dtype=clean.dtype, device=features.device)
    samples, channels = features.flatten(2).any(dim=2).nonzero(as_tuple=True)
    for part in blocks_of(problem, len(samples), 4 * problem.inputs[0].numel()):
        rows, which = samples[part], channels[part]
        copies = problem.take(rows)

        def without(maps: Tensor, batch: slice, which: Tensor = which) -> Tensor:
            chosen = which[batch].view(-1, 1, 1, 1) == torch.arange(maps.shape[1], device=maps.device).view(1, -1, 1, 1)
            return torch.where(chosen, 0, maps)

        left = scores_with(copies, target, without)
        losses[rows, which] = (clean[rows].to(left) - left).to(losses)
    return losses.to(features.dtype)
