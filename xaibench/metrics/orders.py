"""Orders of features, with ties broken by draws that are the same for all explainers."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation


def descending(ev: Evaluation, values: Tensor) -> Tensor:
    """Features by falling ``values`` (N, *feature_shape), as (N, F) int64, ties broken by a keyed draw."""
    flat = values.flatten(1)
    ordered, order = flat.sort(dim=1, descending=True, stable=True)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1).nonzero().squeeze(1)
    if len(tied):
        shuffle = ev.draws("ties")[tied].permutation((flat.shape[1],))
        again = flat[tied].gather(1, shuffle).argsort(dim=1, descending=True, stable=True)
        order[tied] = shuffle.gather(1, again)
    return order


def ranks_of(order: Tensor) -> Tensor:
    """Place of every feature in its order: the inverse permutations (N, F), int32."""
    place = torch.arange(order.shape[1], dtype=torch.int32, device=order.device).expand(order.shape)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, place)
