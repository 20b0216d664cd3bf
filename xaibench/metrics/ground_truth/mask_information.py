"""Information and entropy of masks on the true features: functions of how large values are, and not of their order."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.masks import nontrivial_masks, true_mask
from xaibench.metrics.maps.threshold_curves import scaled_or_zero

EPSILON = 1e-5
"""What the published software adds before it takes a logarithm."""
_SOURCE = "Crabbé & van der Schaar 2021, Explaining time series predictions with dynamic masks, "


@metric(
    "information",
    family="ground_truth",
    construct="localisation",
    higher_is_better=True,
    bounds=(0, None),
    needs={"truth.mask"},
    sign="absolute",
    ranks=False,
    source=_SOURCE + "equation 6, with the published software's 1e-5 inside the logarithm",
)
def information(ev: Evaluation) -> Tensor:
    """Mask information on the true features: the sum of ``|log2(1 - s + 1e-5)|`` over them.

    ``s`` is the magnitude, scaled to [0, 1] per sample. A value of 1 counts 16.6 bits and one of .5 a single bit, so
    a handful of the largest values decide. Monotone transforms of a map change it and other features never do: it
    describes a map and ranks nothing. Published numbers are sums over a batch; this is one per sample.

    Returns
    -------
    Tensor (N,)
        In bits; about 0 for a constant map. NaN where the mask is empty or covers everything.
    """
    mask, s = true_mask(ev), scaled_or_zero(ev.attributions.flatten(1).abs())
    bits = torch.log2(1 - s + EPSILON).abs()
    return torch.where(nontrivial_masks(mask), (bits * mask).sum(dim=1), torch.nan)


@metric(
    "mask_entropy",
    family="ground_truth",
    construct="localisation",
    higher_is_better=False,
    bounds=(0, None),
    needs={"truth.mask"},
    sign="absolute",
    favours={"zero maps", "constant maps"},
    ranks=False,
    source=_SOURCE + "equation 7, with the published software's 1e-5 inside the logarithms",
)
def mask_entropy(ev: Evaluation) -> Tensor:
    """Mask entropy on the true features: the sum of ``s |log2(s + 1e-5)| + (1 - s) |log2(1 - s + 1e-5)|`` over them.

    ``s`` is the magnitude, scaled to [0, 1] per sample. It is 0 for any map of zeros and ones on the true features,
    right or wrong, and for a constant map: it describes how far a map is from a mask and ranks nothing. Published
    numbers are sums over a batch; this is one per sample.

    Returns
    -------
    Tensor (N,)
        In bits; at most 1 per true feature. NaN where the mask is empty or covers everything.
    """
    mask, s = true_mask(ev), scaled_or_zero(ev.attributions.flatten(1).abs())
    bits = s * torch.log2(s + EPSILON).abs() + (1 - s) * torch.log2(1 - s + EPSILON).abs()
    return torch.where(nontrivial_masks(mask), (bits * mask).sum(dim=1), torch.nan)
