"""An explanation as a set of features: the largest ones, and the model's output without them and of them alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.metrics.engines.perturbation import clean_raw
from xaibench.metrics.engines.removal import outputs_without, removal_order
from xaibench.metrics.maps.masks import true_mask
from xaibench.metrics.maps.orders import ranks_of

SubsetShare = Annotated[float, Gt(0), Le(1)]
DEFAULT_SHARE = 0.2
"""Share of the features that is the explanation, where neither a truth nor a caller says how many."""
CURVE_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the features at the points of a curve."""


@dataclass(frozen=True)
class SubsetOutputs:
    """Raw outputs of N samples whose explanations are sets of features.

    Attributes
    ----------
    whole : Tensor (N, C)
        Of the samples themselves.
    without, alone : Tensor (N, K, C)
        Without the features of the explanation, and of those alone.
    """

    whole: Tensor
    without: Tensor
    alone: Tensor


def subset_sizes(ev: Evaluation, share: float | None) -> Tensor:
    """Features (N, 1) of int64 that an explanation is made of, at least one.

    As many as matter by the truth, where ``share`` is None and there is a true mask; else the share of all features,
    0.2 without one.
    """
    n = ev.layout.n_features
    if share is None and ev.truth is not None and ev.truth.mask is not None:
        return true_mask(ev).sum(dim=1, keepdim=True).clamp(min=1)
    count = min(n, max(1, round((DEFAULT_SHARE if share is None else share) * n)))
    return torch.full((len(ev), 1), count, device=ev.inputs.device)


def explained_subset(ev: Evaluation, sizes: Tensor) -> Tensor:
    """The features of the explanation (N, F) of bool: the largest by their signed values, ``sizes`` (N, 1) of them."""
    return ranks_of(removal_order(ev)) < sizes


def subset_outputs(ev: Evaluation, sizes: Tensor, masker: str) -> SubsetOutputs:
    """Outputs without and with only the ``sizes`` (N, K) largest features, once per explanation."""
    n, shape = ev.layout.n_features, ev.layout.feature_shape

    def compute() -> SubsetOutputs:
        first, last = (ranks_of(removal_order(ev, order)).view(-1, *shape) for order in ("morf", "lerf"))
        without = outputs_without(ev, first, sizes, masker)
        return SubsetOutputs(clean_raw(ev), without, outputs_without(ev, last, n - sizes, masker))

    found: SubsetOutputs = ev.reuse(f"subset/{masker}/{sizes.tolist()}", compute)
    return found


def shares_of_curve(ev: Evaluation) -> Tensor:
    """Sizes (N, K) of explanations at the points of a curve, for `CURVE_SHARES`."""
    return torch.cat([subset_sizes(ev, share) for share in CURVE_SHARES], dim=1)
