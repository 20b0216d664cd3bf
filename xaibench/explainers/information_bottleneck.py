"""Information bottleneck attribution, IBA (Schulz et al. 2020): bits of feature maps that a class needs."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.copy_blocks import chunks
from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.masking.maskers import gaussian_blur
from xaibench.core.outputs import check_output
from xaibench.core.predictor import TorchPredictor, require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.cam_layers import FeatureLayer, TokenGrid, feature_layer, layer_used
from xaibench.explainers.cam_passes import enlarged, only_maps, run_at
from xaibench.explainers.engines.perturbed_copies import check_positive

_START = 5.0
"""First value of the mask before its sigmoid: nearly everything passes."""
_SMALLEST = 1e-12
"""Least probability in a logarithm."""


class ChannelStatistics(NamedTuple):
    """Mean and standard deviation (K, 1, 1) of the channels of a layer over the background."""

    mean: Tensor
    deviation: Tensor


@explainer(
    "iba", kind="saliency", needs={"module", "image", "background"}, feature_maps_only=True, layer_used=layer_used
)
def iba(
    problem: ProblemView,
    *,
    layer: str | None = None,
    tokens: TokenGrid | None = None,
    beta: NonNegativeFloat = 10.0,
    steps: PositiveInt = 10,
    n_samples: PositiveInt = 10,
    learning_rate: PositiveFloat = 1.0,
    draws: Draws,
) -> Tensor:
    """Bits per place that feature maps keep when noise replaces what the class does not need (Schulz et al. 2020).

    Per sample a mask l between 0 and 1 mixes the maps with noise of the background's mean and deviation per channel.
    Adam minimises the cross entropy of the explained class plus ``beta`` times the mean over the layer of the
    information ``-log(1 - l) + ((1 - l)^2 + l^2 r^2 - 1) / 2``, r being the standardised map. The map is that
    information in bits, summed over channels. It explains the class's probability, whatever the output is.

    Parameters
    ----------
    layer, tokens
        As for `grad_cam`.
    beta : float
        Price of information; where it is large nothing passes and the map is 0.
    steps : int
        Steps of Adam.
    n_samples : int
        Draws of noise per step.
    learning_rate : float

    Raises
    ------
    UnsupportedError
        If the model returns values, from which there is no probability; as for `grad_cam`.
    """
    check_positive(steps=steps, n_samples=n_samples)
    check_output("probability", problem.model.returns, contrastive=problem.foils is not None)
    model = require_module(problem.model)
    target = feature_layer(problem, layer=layer, tokens=tokens)
    statistics = _statistics(problem, target)
    maps = []
    for block in chunks(len(problem), max(1, problem.batch_size // n_samples)):
        view, own = problem.take(block), draws[block]
        features = torch.cat(list(only_maps(view, target)))
        alpha = torch.full_like(features, _START).requires_grad_(True)
        optimiser = torch.optim.Adam([alpha], lr=learning_rate)
        for _ in range(steps):
            noise = own.normal((n_samples, *features.shape[1:])).to(features)
            with torch.enable_grad():
                share = _smooth(torch.sigmoid(alpha))
                loss = _cross_entropy(view, model, target, statistics, features, share, noise)
                loss = loss + beta * information(_standardised(features, statistics), share).flatten(1).mean(dim=1)
                # Samples are apart: each has its own mask, and Adam works number by number.
                (alpha.grad,) = torch.autograd.grad(loss.sum(), alpha)
            optimiser.step()
        share = _smooth(torch.sigmoid(alpha.detach()))
        bits = information(_standardised(features, statistics), share).sum(dim=1) / math.log(2)
        maps.append(enlarged(view, bits.clamp(min=0)))
    return torch.cat(maps)


def information(standardised: Tensor, share: Tensor) -> Tensor:
    """Information in nats that a share of a standardised number lets through, against standard normal noise.

    The divergence of N(l r, (1 - l)^2) from N(0, 1). It is 0 where l is 0, and never negative.
    """
    rest = 1 - share
    return -torch.log(rest) + (rest.square() + (share * standardised).square() - 1) / 2


def _statistics(problem: ProblemView, target: FeatureLayer) -> ChannelStatistics:
    background = problem.require_background("IBA needs a background")
    if problem.context and not problem.background_context:
        raise UnsupportedError(
            "the model takes a context, and none is known for the reference samples",
            "pass background_context= beside background=",
        )
    rows = torch.zeros(len(background), dtype=torch.int64)
    context = problem.background_context or None
    view = problem.take(rows, background.to(problem.inputs), None, context)
    found = torch.cat(list(only_maps(view, target))).double()
    axes = (0, 2, 3)
    mean, deviation = found.mean(dim=axes), found.std(dim=axes, correction=0)
    return ChannelStatistics(*(t.to(problem.inputs).view(-1, 1, 1) for t in (mean, deviation)))


def _standardised(features: Tensor, statistics: ChannelStatistics) -> Tensor:
    """0 in channels that are constant on the background."""
    mean, deviation = statistics
    return torch.where(deviation > 0, (features - mean) / torch.where(deviation > 0, deviation, 1), 0)


def _smooth(share: Tensor) -> Tensor:
    """Gaussian blur with a standard deviation of one cell."""
    return gaussian_blur(share, FeatureLayout("image", tuple(share.shape[1:])), sigma=1.0)


def _cross_entropy(
    view: ProblemView,
    model: TorchPredictor,
    target: FeatureLayer,
    statistics: ChannelStatistics,
    features: Tensor,
    share: Tensor,
    noise: Tensor,
) -> Tensor:
    """Mean over noise (n, m, K, h, w) of minus the logarithm of the class's probability, (n,)."""
    copies = noise.shape[1]
    filled = statistics.mean + statistics.deviation * noise
    mixed = share.unsqueeze(1) * features.unsqueeze(1) + (1 - share.unsqueeze(1)) * filled
    # A channel that is constant on the background has no noise, and passes as it is.
    mixed = torch.where(statistics.deviation > 0, mixed, features.unsqueeze(1)).flatten(0, 1)
    owners = torch.arange(len(view), device=view.inputs.device).repeat_interleave(copies)
    leaf = view.inputs[owners].to(model.device).detach().requires_grad_(True)
    context = {name: values[owners] for name, values in view.context.items()}
    raw, _ = run_at(model, leaf, context, target, lambda _maps: mixed)
    chance = view.select(raw, owners, output="probability")
    return -chance.clamp(min=_SMALLEST).log().view(len(view), copies).mean(dim=1)
