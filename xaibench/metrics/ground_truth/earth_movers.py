"""Earth mover's distance (Clark et al. 2024) between an attribution map and the mask of true features."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.masks import EvidenceSign, evidence, nontrivial_masks, true_mask

MAX_PIXELS = 64 * 64
"""Largest grid; exact transport takes about a second per sample there, and sixteen times that at twice the side."""
MAX_PIVOTS = 10**8
"""Pivots of the network simplex; far above what a grid of this size needs."""


@metric(
    "emd",
    family="ground_truth",
    construct="localisation",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask", "image"},
    skill_valid=True,
    sign="absolute",
    source="Clark et al. 2024, XAI-TRIS: non-linear image benchmarks to quantify false positive post-hoc attribution, "
    "earth mover's distance",
    undefined_for={"zero maps"},
    place_matters=True,  # distances between pixels are what it measures
    favours={"constant maps"},  # of all maps without a place, an even one is nearest to any mask
)
def emd(ev: Evaluation, *, dmax: Literal["grid", "pixels"] = "grid", sign: EvidenceSign = "absolute") -> Tensor:
    """One minus the earth mover's distance from the relevance to the mask, relative to the largest distance.

    Both are scaled to sum to 1; moving mass costs the Euclidean distance between pixel centres,
    and the transport is exact. Random maps score far from 0 (about 0.8 on 8 x 8 pixels): read the skill.

    Parameters
    ----------
    dmax : {"grid", "pixels"}
        The distance that scores 0: the diagonal between the centres of opposite corner pixels, or
        the square root of twice the number of pixels as in the published code, which is longer.
    sign : {"absolute", "positive"}
        Move magnitudes, as published, or positive attributions only.

    Returns
    -------
    Tensor (N,)
        NaN where the mask is empty or covers everything, or where there is no relevance to move.

    Raises
    ------
    UnsupportedError
        If features are not pixels, for images above 64 x 64 pixels, and for ``"pixels"`` where the
        grid is so long that its diagonal is longer.
    """
    if ev.layout.kind != "image":
        raise UnsupportedError("emd measures distances between pixels", "auprc serves tables and series")
    height, width = ev.layout.feature_shape
    if height * width > MAX_PIXELS:
        raise UnsupportedError(
            f"exact transport on {height} x {width} pixels takes too long",
            "it is offered up to 64 x 64; localisation_auc and relevance_mass serve larger images",
        )
    largest = math.hypot(height - 1, width - 1)
    if dmax == "pixels":
        if math.sqrt(2 * height * width) < largest:
            raise UnsupportedError(f"the diagonal of {height} x {width} pixels is longer than dmax", "use dmax='grid'")
        largest = math.sqrt(2 * height * width)
    mask, relevance = true_mask(ev), evidence(ev, sign)
    defined = nontrivial_masks(mask) & (relevance.sum(dim=1) > 0)
    scores = torch.full_like(relevance[:, 0], torch.nan)
    if bool(defined.any()):
        moved = transport(relevance[defined].cpu().numpy(), mask[defined].cpu().numpy(), (height, width))
        scores[defined] = 1 - torch.from_numpy(moved).to(scores) / largest
    return scores


def transport(sources: NDArray[Any], sinks: NDArray[Any], grid: tuple[int, int]) -> NDArray[np.float64]:
    """Cost of moving each row of ``sources`` onto that of ``sinks`` (N, H * W), both scaled to sum to 1: (N,).

    The solver takes one problem at a time, hence the loop.
    """
    import ot  # Takes seconds to import, and nothing else needs it.

    pixels = np.indices(grid).reshape(2, -1).T.astype(float)
    costs = np.empty(len(sources))
    for i, (source, sink) in enumerate(zip(sources, sinks, strict=True)):
        start, end = np.flatnonzero(source), np.flatnonzero(sink)
        distance = cdist(pixels[start], pixels[end])
        supply, demand = source[start] / source.sum(), sink[end] / sink.sum()
        costs[i] = ot.emd2(supply, demand, distance, numItermax=MAX_PIVOTS)
    return costs
