"""XRAI (Kapishnikov et al. 2019): integrated gradients from two baselines, averaged over segments of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.types import Array
from xaibench.explainers.engines import perturbed_copies
from xaibench.explainers.engines.perturbed_copies import check_positive

SCALES = (50, 100, 150, 250, 500, 1200)
"""Of Felzenszwalb's segmentation: larger ones give larger segments."""
SIGMA, SMALLEST, GROWN, DROPPED = 0.8, 150, 5, 50
"""Blur before it, least pixels of a segment, pixels by which each grows, new pixels below which it is left out; the
last three at 224 x 224 pixels."""
PUBLISHED_SIDE = 224


@explainer("xrai", kind="contribution", needs={"image", "gradients"})
def xrai(
    problem: ProblemView,
    *,
    steps: PositiveInt = 32,
    reduce: Literal["sum", "max"] = "sum",
    enlarged: Annotated[int, Ge(8)] = PUBLISHED_SIDE,
) -> Tensor:
    """Integrated gradients, averaged over segments that are added in the order of their mean (Kapishnikov et al. 2019).

    The gradients are the mean of those from an image of the sample's smallest value and one of its largest. Segments
    are those of Felzenszwalb & Huttenlocher (2004) at six scales, and overlap. Again and again the segment is taken
    whose pixels that are not taken yet have the largest mean, and these pixels get that mean; pixels of no segment get
    their own. So the sum of the map stays. Segments depend on the version of scikit-image.

    Parameters
    ----------
    steps : int
        Points of the midpoint rule, for each of the two baselines.
    reduce : {"sum", "max"}
        Sum over channels, or the largest of them, as published.
    enlarged : int
        Side to which images are enlarged before they are segmented; published 224.
    """
    check_positive(steps=steps)
    maps = [_of_sample(problem.take(slice(i, i + 1)), steps, reduce, enlarged) for i in range(len(problem))]
    return torch.stack(maps).to(problem.inputs)


def _of_sample(view: ProblemView, steps: int, reduce: str, enlarged: int) -> Tensor:
    """The map (H, W) of one sample."""
    shape = view.layout.feature_shape
    both = _from_both_ends(view, steps)[0]
    planes = both.view(-1, *shape)
    attribution = planes.sum(dim=0) if reduce == "sum" else planes.amax(dim=0)
    picture = view.inputs[0].view(-1, *shape).movedim(0, -1).double().cpu().numpy()
    masks = segments(picture, enlarged)
    least = max(1, round(DROPPED * shape[0] * shape[1] / PUBLISHED_SIDE**2))
    return torch.from_numpy(averaged(attribution.double().cpu().numpy(), masks, least))


def _from_both_ends(view: ProblemView, steps: int) -> Tensor:
    """Mean of integrated gradients from the smallest and from the largest value of the sample (1, *input_shape)."""
    at = ((torch.arange(steps, dtype=view.inputs.dtype, device=view.inputs.device) + 0.5) / steps).view(
        -1, *(1,) * view.inputs[0].ndim
    )
    total = torch.zeros_like(view.inputs)
    for end in (view.inputs.amin(), view.inputs.amax()):
        start = torch.full_like(view.inputs, float(end))
        way = view.inputs - start
        total += way * perturbed_copies.gradients(view, (start + at * way).unsqueeze(0)).mean(dim=1) / 2
    return total


def segments(picture: Array, enlarged: int = PUBLISHED_SIDE) -> Array:
    """Overlapping segments of an image.

    Parameters
    ----------
    picture : array (H, W, C)
    enlarged : int
        Side to which it is enlarged first.

    Returns
    -------
    array (M, H, W) of bool
    """
    from skimage.morphology import dilation, disk
    from skimage.segmentation import felzenszwalb
    from skimage.transform import resize as resize_untyped

    height, width = picture.shape[:2]
    resize: Callable[..., Array] = resize_untyped
    ball: Callable[[int], Array] = disk
    low, high = float(picture.min()), float(picture.max())
    scaled = (picture - low) / (high - low) * 2 - 1 if high > low else np.zeros_like(picture)
    large = resize(scaled, (enlarged, enlarged), order=1, mode="edge", anti_aliasing=False)
    share = (enlarged / PUBLISHED_SIDE) ** 2
    around = ball(max(1, round(GROWN * max(height, width) / PUBLISHED_SIDE)))
    found = []
    for scale in SCALES:
        least = max(1, round(SMALLEST * share))
        labels = felzenszwalb(large, scale=scale, sigma=SIGMA, min_size=least, channel_axis=-1)
        small = resize(labels, (height, width), order=0, mode="edge", anti_aliasing=False, preserve_range=True)
        small = np.rint(small).astype(np.int64)
        found += [dilation((small == label).astype(np.uint8), around).astype(bool) for label in np.unique(small)]
    return np.stack(found)


def averaged(attribution: Array, masks: Array, least: int = 1) -> Array:
    """Attributions averaged over segments, which are taken in the order of the mean of what they add.

    Parameters
    ----------
    attribution : array (H, W), float64
    masks : array (M, H, W) of bool
        Segments, which may overlap.
    least : int
        Segments that add fewer pixels are left out.

    Returns
    -------
    array (H, W), float64
        With the sum of ``attribution``.
    """
    flat, free = attribution.reshape(-1), masks.reshape(len(masks), -1).copy()
    found = np.empty_like(flat)
    left = np.ones(len(flat), dtype=bool)
    while len(free):
        counts = free.sum(axis=1)
        free, counts = free[counts >= least], counts[counts >= least]
        if not len(free):
            break
        means = (free @ flat) / counts
        best = int(means.argmax())
        new = free[best].copy()
        found[new] = means[best]
        left &= ~new
        free = np.delete(free, best, axis=0) & ~new
    if left.any():
        found[left] = flat[left].mean()
    return found.reshape(attribution.shape)
