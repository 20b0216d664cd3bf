"""Monotonicity (Arya et al. 2019): features added with growing importance must add more and more to the output."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.exact_outputs import FLOAT32_ROUNDING, FLOAT64_ROUNDING, above, in_float64
from xaibench.metrics.engines.removal import removal_curve, schedule
from xaibench.metrics.maps.similarity import is_constant

DOUBTFUL = 1e-5
"""Curves are known to this share of their largest output, in float32 and with room to spare."""


@metric(
    "monotonicity",
    family="faithfulness",
    construct="removal",
    higher_is_better=True,
    bounds=(0, 1),
    version=2,
    convert="order",
    source="Arya et al. 2019, One explanation does not fit all, monotonicity; comparing gains is ours",
)
def monotonicity(
    ev: Evaluation,
    *,
    steps: PositiveInt = 32,
    compare: Literal["gain", "output"] = "gain",
    tolerance: NonNegativeFloat = 1e-3,
    masker: str = "mean",
) -> Tensor:
    """Share of steps that gain at least as much as the step before, as features are added by growing attribution.

    The sample starts fully masked, and its features come back in ``steps`` parts, the smallest
    attributions first. The gain of a part is the rise of the output per feature. It never falls
    for the contributions w (x - b) of a linear model, b being what the masker fills in; for a
    random order about half of the gains fall.

    The published check asks that the output itself never falls. It cannot tell a good order from a
    random one: with one feature per step, the steps that rise on a linear model are those of the
    positive contributions, whatever the order.

    Parameters
    ----------
    steps : int
        Parts in which the features are added; the points are those of `pixel_flipping`, which goes
        the other way. Parts without a feature are left out where there are fewer features.
    compare : {"gain", "output"}
        *gain* compares each gain with the one before. *output* is the published check as a
        fraction: the share of steps in which the output does not fall.
    tolerance : float
        A step may fall short by this share of the range of the curve, gains per feature being those of
        a part of average size; 1e-3 is a thirtieth of an average step of the default ones.
        Where a step is so near to it that rounding would decide, the curve is evaluated again in float64.
    masker : str
        What missing features are set to.

    Returns
    -------
    Tensor (N,)
        NaN where the output is the same all along, and where there are no two steps to compare.
    """
    counts = schedule(ev.layout.n_features, steps).tolist()
    filled = [i for i, (few, many) in enumerate(pairwise(counts)) if many > few]

    def excess(removed: Tensor, rounding: float) -> Tensor:
        """How much every step gains above what it must, in shares of the largest output: from 0 on it is enough."""
        size = removed.abs().amax(dim=1, keepdim=True)
        low, high = removed.aminmax(dim=1, keepdim=True)
        # Columns go from the most important part to the least, which is added first.
        gains = torch.stack([removed[:, i] - removed[:, i + 1] for i in filled], dim=1)
        if compare == "gain":
            sizes = gains.new_tensor([counts[i + 1] - counts[i] for i in filled])
            gains = gains / sizes * sizes.mean()
            gains = gains[:, :-1] - gains[:, 1:]
        return (gains + torch.maximum(tolerance * (high - low), rounding * size)) / size

    def share(removed: Tensor, rounding: float) -> Tensor:
        held = (excess(removed, rounding) >= 0).double().mean(dim=1)
        return torch.where(is_constant(removed), torch.nan, held)

    removed = removal_curve(ev, "morf", masker, steps)
    removed = above(ev, removed, removed[:, :1]).double()
    found = share(removed, FLOAT32_ROUNDING)
    low, high = removed.aminmax(dim=1)
    flat = high - low <= DOUBTFUL * removed.abs().amax(dim=1)
    doubtful = flat | (excess(removed, FLOAT64_ROUNDING).abs() <= DOUBTFUL).any(dim=1)
    rows = doubtful.nonzero().squeeze(1)
    if len(rows):
        with in_float64(ev, rows) as exact:
            if exact.model is not ev.model:
                removed = removal_curve(exact, "morf", masker, steps)
                found[rows] = share(above(exact, removed, removed[:, :1]).double(), FLOAT64_ROUNDING)
    return found
