"""Agreement with contributions that are known exactly: correlation, and relative error."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.similarity import is_constant

_known = partial(
    metric,
    family="ground_truth",
    construct="known_contributions",
    needs={"truth.contributions"},
    skill_valid=True,
    convert="contribution",
)
"""Declares a metric of the construct ``known_contributions``."""


def _pair(ev: Evaluation) -> tuple[Tensor, Tensor]:
    """Attributions and exact contributions (N, F), float64."""
    assert ev.truth is not None
    assert ev.truth.contributions is not None
    true = ev.truth.contributions["zero"].to(ev.attributions.device)
    return ev.attributions.flatten(1).double(), true.flatten(1).double()


@_known(
    "contribution_correlation",
    higher_is_better=True,
    bounds=(-1, 1),
    undefined_for={"zero maps", "constant maps"},
    source="Pearson correlation with Shapley values that are known exactly (Shapley 1953)",
)
def contribution_correlation(ev: Evaluation) -> Tensor:
    """Pearson correlation of attributions with the exact contributions of the features.

    Slopes are multiplied by the input first. A factor and a constant play no role: read it with
    `contribution_distance`.

    Returns
    -------
    Tensor (N,)
        NaN for a constant map, and where all contributions are equal.
    """
    found, true = (t - t.mean(dim=1, keepdim=True) for t in _pair(ev))
    sizes = torch.linalg.vector_norm(found, dim=1), torch.linalg.vector_norm(true, dim=1)
    known = ~is_constant(ev.attributions.flatten(1)) & (sizes[1] > 0)
    return torch.where(known, ((found * true).sum(dim=1) / (sizes[0] * sizes[1])).clamp(-1, 1), torch.nan)


@_known(
    "contribution_distance",
    higher_is_better=False,
    bounds=(0, None),
    scale_invariant=False,
    favours={"zero maps"},
    source="relative Euclidean distance from Shapley values that are known exactly (Shapley 1953)",
)
def contribution_distance(ev: Evaluation) -> Tensor:
    """Euclidean distance of attributions from the exact contributions, relative to the size of the latter.

    0 is exact. A map of zeros has 1, and a random map of the right size about the square root of 2: saying nothing is
    better than guessing.

    Returns
    -------
    Tensor (N,)
        NaN where no feature contributes.
    """
    found, true = _pair(ev)
    size = torch.linalg.vector_norm(true, dim=1)
    return torch.where(size > 0, torch.linalg.vector_norm(found - true, dim=1) / size, torch.nan)
