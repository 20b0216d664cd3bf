"""Orders of features, with ties broken by draws that are the same for all explainers."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt, Lt
from pydantic import Strict
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation

OrderSign = Literal["signed", "absolute"]
TopK = Annotated[int, Strict(), Gt(0)] | Annotated[float, Gt(0), Lt(1)]
"""A number of features, or a share of them between 0 and 1."""


def descending(ev: Evaluation, values: Tensor) -> Tensor:
    """Features by falling ``values`` (N, *feature_shape), as (N, F) int64, ties broken by a keyed draw."""
    flat = values.flatten(1)
    ordered, order = _sorted(flat)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1).nonzero().squeeze(1)
    if len(tied):
        shuffle = ev.draws("ties")[tied].permutation((flat.shape[1],))
        again = flat[tied].gather(1, shuffle).argsort(dim=1, descending=True, stable=True)
        order[tied] = shuffle.gather(1, again)
    return order


def _sorted(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Values (N, F) in falling order with their places; equal ones in any order, NaN first.

    NumPy's sort of floating-point numbers is more than twice as fast as torch's on a CPU.
    """
    if flat.device.type != "cpu" or flat.dtype not in (torch.float32, torch.float64) or bool(flat.isnan().any()):
        ordered, order = flat.sort(dim=1, descending=True, stable=True)
        return ordered, order
    places = torch.from_numpy(np.argsort(flat.detach().neg().numpy(), axis=1).astype(np.int64, copy=False))
    return flat.gather(1, places), places


def ranks_of(order: Tensor) -> Tensor:
    """Place of every feature in its order: the inverse permutations (N, F), int32."""
    place = torch.arange(order.shape[1], dtype=torch.int32, device=order.device).expand(order.shape)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, place)


def ranked(ev: Evaluation, sign: OrderSign) -> Tensor:
    """Features by falling value or magnitude (N, F), int64, ties broken by a keyed draw; once per explanation."""
    values = ev.attributions.abs() if sign == "absolute" else ev.attributions
    order: Tensor = ev.reuse(f"ranked/{sign}", lambda: descending(ev, values))
    return order


def top_size(k: TopK, n_features: int) -> int:
    """How many features ``k`` stands for; shares are rounded up.

    Raises
    ------
    UnsupportedError
        If there are fewer.
    """
    # Without the margin, .07 of 100 features would be 8: the product is 7.000000000000001.
    size = k if isinstance(k, int) else math.ceil(k * n_features - 1e-9)
    if size > n_features:
        raise UnsupportedError(f"k = {k} is more than the {n_features} features")
    return size
