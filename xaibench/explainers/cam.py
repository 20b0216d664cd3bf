"""Grad-CAM (Selvaraju et al. 2017): feature maps of a layer, weighted by their mean gradient; guided Grad-CAM."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.cam_layers import TokenGrid, feature_layer, layer_used
from xaibench.explainers.cam_passes import enlarged, maps_and_gradients
from xaibench.explainers.engines.channels import Channels, per_feature
from xaibench.explainers.guided import guided_gradients


@explainer(
    "grad_cam", version=2, kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used
)
def grad_cam(problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None) -> Tensor:
    """Positive part of the gradient-weighted sum of feature maps, enlarged bilinearly (Selvaraju et al. 2017, Eq. 2).

    Tokens of a vision transformer are maps, too. The mean gradient over tokens says little where a
    class token is read; that layer is what is usual, not what works.

    Parameters
    ----------
    layer : str, optional
        Name of the module whose output is used; it is run once and gives maps or tokens. Default: the
        last layer with feature maps, after its activation and before pooling; in a vision transformer
        the last layer normalisation with a gradient at patches (see `xaibench.explainers.cam_layers`).
        ``convolution``: the last convolution larger than 1x1, as before version 2; goes with the next release.
    tokens : tuple of int, optional
        Rows and columns of patches and the number of tokens before them, for a vision transformer.
        Default: as the network makes them.

    Raises
    ------
    UnsupportedError
        If there is no feature map with more than one place, its places cannot be followed, or the named
        layer gives neither maps nor tokens.
    """
    target = feature_layer(problem, layer=layer, tokens=tokens)
    maps = []
    for features, gradient in maps_and_gradients(problem, target):
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        maps.append((weights * features).sum(dim=1).clamp(min=0))
    return enlarged(problem, torch.cat(maps))


@explainer(
    "guided_grad_cam", version=2, kind="slope", needs={"module", "image"}, feature_maps_only=True, layer_used=layer_used
)
def guided_grad_cam(
    problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None, channels: Channels = "sum"
) -> Tensor:
    """Guided backpropagation times Grad-CAM (Selvaraju et al. 2017, Sec. 3.2).

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.
    """
    return per_feature(problem, guided_gradients(problem), channels) * grad_cam(problem, layer=layer, tokens=tokens)
