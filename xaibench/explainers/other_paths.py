"""Gradients along paths other than a straight line: blur IG (Xu et al. 2020), guided IG (Kapishnikov et al. 2021)."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.errors import UsageError
from xaibench.core.masking.maskers import gaussian_blur
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.channels import Channels, per_feature
from xaibench.explainers.engines.perturbed_copies import check_positive, sample_blocks

WIDEST = 50.0
"""Largest default of the widest blur, in pixels."""
_CLOSE = 1e-9
"""Distances that differ by less than this share of the whole are equal."""


@explainer("blur_ig", kind="contribution", needs={"gradients", "image"})
def blur_ig(
    problem: ProblemView, *, steps: PositiveInt = 32, max_sigma: PositiveFloat | None = None, channels: Channels = "sum"
) -> Tensor:
    """Gradients along the path of ever sharper pictures (Xu et al. 2020, Eq. 3).

    The path starts at the sample under a wide Gaussian blur, the edges of which are replicated, and ends at the sample.
    Every step has the gradient in its middle, so that maps add up to the output minus that of the blurred
    sample as steps become many.

    Parameters
    ----------
    steps : int
        Steps of equal width of the blur.
    max_sigma : float, optional
        Standard deviation of the widest blur in pixels. Default: a quarter of the shorter side, at most 50.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.
    """
    check_positive(steps=steps)
    layout = problem.layout
    widest = min(WIDEST, min(layout.feature_shape) / 4) if max_sigma is None else max_sigma
    if widest <= 0:
        raise UsageError(f"max_sigma must be positive, not {max_sigma}")
    maps = []
    for block in sample_blocks(problem, 32 * problem.inputs[0].numel()):
        view = problem.take(block)
        total, sharper = torch.zeros_like(view.inputs), view.inputs
        for k in range(steps):
            blurred = gaussian_blur(view.inputs, layout, sigma=widest * (k + 1) / steps)
            middle = gaussian_blur(view.inputs, layout, sigma=widest * (k + 0.5) / steps)
            total += view.gradients(middle) * (sharper - blurred)
            sharper = blurred
        maps.append(per_feature(problem, total, channels))
    return torch.cat(maps)


@explainer("guided_ig", kind="contribution", needs={"gradients"})
def guided_ig(
    problem: ProblemView,
    *,
    steps: PositiveInt = 64,
    fraction: Annotated[float, Gt(0), Le(1)] = 0.25,
    max_dist: Annotated[float, Ge(0), Le(1)] = 0.02,
    baseline: str = "zero",
    channels: Channels = "sum",
) -> Tensor:
    """Gradients along a path that moves inputs of small gradients first (Kapishnikov et al. 2021, Algorithm 1).

    Every step comes nearer to the sample by an equal share of the L1 distance, by moving the ``fraction`` of inputs
    whose gradients are smallest; none is farther than ``max_dist`` from the straight line. Gradients are those
    at the start of a step. A ``max_dist`` of 0 is the straight line.

    Parameters
    ----------
    steps : int
    fraction : float
        Share of inputs that move together, above 0 and at most 1.
    max_dist : float
        Largest distance from the straight line, as a share of its length.
    baseline : str
        Masker whose fill is the start of the path.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.
    """
    check_positive(steps=steps)
    start, end = problem.baseline(baseline).flatten(1).double(), problem.inputs.flatten(1).double()
    place, total = start.clone(), torch.zeros_like(start)
    for step in range(1, steps + 1):
        slopes = problem.gradients(place.to(problem.inputs).view_as(problem.inputs)).flatten(1).double()
        moved = _advance(place, slopes, start, end, step / steps, fraction, max_dist)
        total += (moved - place) * slopes
        place = moved
    return per_feature(problem, total.view(problem.inputs.shape).to(problem.inputs.dtype), channels)


def _advance(
    place: Tensor, slopes: Tensor, start: Tensor, end: Tensor, share: float, fraction: float, max_dist: float
) -> Tensor:
    """The next point of every sample (N, d), at the L1 distance of ``1 - share`` of the whole from the end."""
    way = end - start
    whole = way.abs().sum(dim=1)
    least = start + way * max(share - max_dist, 0.0)
    most = end if share + max_dist >= 1 else start + way * (share + max_dist)
    # Inputs behind the band are brought to its edge; what does not move at all is at every edge.
    place = torch.where((place - start).abs() < (least - start).abs(), least, place)
    place = torch.where(way == 0, end, place)
    target = whole * (1 - share)
    number = place.shape[1]
    while True:
        missing = (end - place).abs().sum(dim=1) - target
        going = missing > _CLOSE * whole
        if not bool(going.any()):
            return place
        movable = (place != most) & (way != 0)
        sizes = torch.where(movable, slopes.abs().nan_to_num(0.0), torch.inf)
        limit = sizes.sort(dim=1).values[:, int(fraction * (number - 1))].unsqueeze(1)
        chosen = movable & (sizes <= limit) & going.unsqueeze(1)
        room = torch.where(chosen, (most - place).abs(), 0).sum(dim=1)
        if not bool((room > 0).any()):
            return place
        gain = torch.where(room > 0, missing / torch.where(room > 0, room, 1), 0).clamp(max=1).unsqueeze(1)
        place = torch.where(chosen, torch.where(gain >= 1, most, place + gain * (most - place)), place)
