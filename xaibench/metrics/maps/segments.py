"""Groups of features that are perturbed or summed together: patches of a grid, and superpixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.features import FeatureLayout

SEGMENTS_VERSION = 1
"""Raised when labels change."""


def patches(layout: FeatureLayout, patch: int) -> Tensor:
    """Squares of an image, or windows along the time of a series, where every sensor has its own.

    Where ``patch`` does not divide a side, the last patches are smaller.

    Parameters
    ----------
    layout : FeatureLayout
    patch : int
        Side in pixels, or length in time steps.

    Returns
    -------
    Tensor (*feature_shape) of int64
        Patch of every feature, counted from 0 along the rows.

    Raises
    ------
    UnsupportedError
        If the features have no neighbours: tables and tokens.
    """
    if not layout.neighbour_axes:
        raise UnsupportedError(f"patches need an image or a series, not a {layout.kind}")
    return layout.patches(patch)


def superpixels(ev: Evaluation, *, n_segments: int = 50, compactness: float = 0.1) -> Tensor:
    """Superpixels of every sample by SLIC (Achanta et al. 2012), found once for all explainers of a problem.

    Segments are clusters of pixels that are close in the image and in their channels, which are
    used as they are, scaled together to [0, 1] and never converted to another colour space. They
    depend on the sample alone.

    Parameters
    ----------
    ev : Evaluation
    n_segments : int
        Segments to aim at; there can be fewer or more.
    compactness : float
        Weight of closeness in the image, with the meaning of scikit-image: 10 gives nearly squares,
        0.1 lets segments follow edges.

    Returns
    -------
    Tensor (N, *feature_shape) of int64
        Segment of every pixel, from 0 on without gaps. A sample that SLIC leaves in one piece gets
        a grid of ``n_segments`` patches or a few more instead; a constant image gets a grid anyway.

    Raises
    ------
    UnsupportedError
        If the inputs are not images.
    """
    if ev.layout.kind != "image":
        raise UnsupportedError(f"superpixels need an image, not a {ev.layout.kind}")
    key = ("superpixels", SEGMENTS_VERSION, n_segments, compactness)
    found = ev.shared.get(key, lambda: {"labels": _segment(ev.inputs, ev.layout, n_segments, compactness)})
    return found["labels"].to(ev.inputs.device)


def _segment(inputs: Tensor, layout: FeatureLayout, n_segments: int, compactness: float) -> Tensor:
    """Segment one image after the other: scikit-image has no batches."""
    from skimage.segmentation import slic

    side = max(1, math.floor(math.sqrt(layout.n_features / n_segments)))
    labels = patches(layout, side).expand(len(inputs), *layout.feature_shape).clone()
    images = inputs if layout.channels is not None else inputs.unsqueeze(1)
    for i, image in enumerate(images.movedim(1, -1).detach().cpu().double().numpy()):
        segments = slic(image, n_segments, compactness, convert2lab=False, channel_axis=-1, start_label=0)
        number = torch.unique(torch.from_numpy(segments), return_inverse=True)[1]
        if n_segments == 1 or number.any():
            labels[i] = number
    return labels


def group_values(values: Tensor, labels: Tensor, *, mean: bool = False) -> Tensor:
    """Sum values over the features of each group, or take their mean.

    Parameters
    ----------
    values : Tensor (N, *feature_shape)
    labels : Tensor (N, *feature_shape) of int64, or one that broadcasts to it
        Group of every feature.
    mean : bool

    Returns
    -------
    Tensor (N, G)
        G is the largest number of groups of any sample. Groups that a sample does not have are
        padding: their sum is 0, their mean NaN. The mean of equal values is that value exactly, whatever
        their number.
    """
    labels = labels.expand(values.shape).flatten(1)
    size = (len(values), int(labels.max()) + 1 if labels.numel() else 0)
    if not mean:
        return values.new_zeros(size).scatter_add_(1, labels, values.flatten(1))
    exact = values.flatten(1).double()
    sums, counts = (exact.new_zeros(size).scatter_add_(1, labels, v) for v in (exact, torch.ones_like(exact)))
    return (sums / counts).to(values.dtype)
