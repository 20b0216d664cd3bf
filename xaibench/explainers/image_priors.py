"""Maps of images that never look at the model: nearness to the middle, and the colour of the pixels."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer

Degrees = Annotated[float, Ge(0), Le(360)]


@explainer("centre_prior", kind="saliency", needs={"image"}, follows_outputs=False, model_free=True)
def centre_prior(problem: ProblemView) -> Tensor:
    """Nearness to the middle of the image: 1 there, falling with the squared distance to 0 in the corners.

    The placebo to beat where what matters tends to be in the middle, as in photographs. It is not among the controls
    that every suite has; a suite of such images names it.
    """
    height, width = problem.layout.feature_shape
    y, x = (torch.linspace(-1, 1, n, device=problem.inputs.device) for n in (height, width))
    squared = (height * y[:, None]).square() + (width * x).square()
    nearness = 1 - squared / squared.max().clamp(min=torch.finfo(squared.dtype).tiny)
    return nearness.expand(len(problem), -1, -1).clone()


@explainer("input_hue", kind="saliency", needs={"image"}, follows_outputs=False, model_free=True)
def input_hue(problem: ProblemView, *, lowest: Degrees = 40.0, highest: Degrees = 200.0) -> Tensor:
    """How far the hue of every pixel is outside of a neutral interval, times the pixel's chroma.

    What can be seen of a signal that is a colour, without asking the model: an upper bound of what the input shows,
    and not a placebo.

    Parameters
    ----------
    lowest, highest : float
        Degrees between which hues are neutral.

    Returns
    -------
    Tensor (N, H, W)
        Degrees on the colour circle (up to 1.2 from those of HSV) from the nearer end of the interval, times largest
        minus smallest channel; 0 for greys and for neutral hues.

    Raises
    ------
    UnsupportedError
        If images have another number of channels than one (all greys) or three.
    UsageError
        If ``lowest`` is above ``highest``.
    """
    if lowest > highest:
        raise UsageError(f"lowest is {lowest}, above highest, {highest}")
    if problem.layout.channels in (None, 1):
        return torch.zeros(len(problem), *problem.layout.feature_shape, device=problem.inputs.device)
    if problem.layout.channels != 3:
        raise UnsupportedError(f"a hue needs red, green and blue, and images have {problem.layout.channels} channels")
    red, green, blue = problem.inputs.unbind(dim=1)
    chroma = problem.inputs.amax(dim=1) - problem.inputs.amin(dim=1)
    # The angle of a colour in the plane across the line of greys.
    hue = torch.rad2deg(torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue)) % 360
    middle, half = (lowest + highest) / 2, (highest - lowest) / 2
    off = ((hue - middle + 180) % 360 - 180).abs() - half
    return off.clamp(min=0) * chroma
