"""How evenly an explanation spreads its mass over the features that matter together."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.masks import true_mask


@metric(
    "mass_balance",
    family="ground_truth",
    construct="mass_balance",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
    sign="absolute",
    source="xaibench; beside rank metrics, which do not see magnitudes",
    undefined_for={"zero maps", "some inputs"},
    favours={"constant maps"},
    ranks=False,
)
def mass_balance(ev: Evaluation) -> Tensor:
    """Smallest over largest magnitude of the attributions of true features.

    For truths all of whose features are necessary. Rank metrics do not see a true feature with a millionth of the mass
    of another: saturated attention leaves a marker next to none of the gradient. Nothing else is asked: a constant map
    has 1, and so has the oracle, so it ranks nothing and no placebo is tested. Read it beside `relevance_rank`.

    Returns
    -------
    Tensor (N,)
        NaN for fewer than two true features, and where all of them have 0.
    """
    mask = true_mask(ev)
    size = ev.attributions.flatten(1).abs().double()
    largest = torch.where(mask, size, -torch.inf).amax(dim=1)
    smallest = torch.where(mask, size, torch.inf).amin(dim=1)
    defined = (mask.sum(dim=1) > 1) & (largest > 0)
    return torch.where(defined, smallest / largest, torch.nan)
