"""Average precision of numbers as a detector of the true ones."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.metrics.maps.masks import nontrivial_masks


def average_precision(values: Tensor, mask: Tensor) -> Tensor:
    """Mean, over true entries, of the precision among all entries with a value at least as large.

    Parameters
    ----------
    values : Tensor (N, F)
    mask : Tensor (N, F) of bool

    Returns
    -------
    Tensor (N,)
        Float64. NaN where the mask is empty or covers everything.

    Examples
    --------
    >>> import torch
    >>> from xaibench.metrics.maps.average_precision import average_precision
    >>> average_precision(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[True, False, True]])).tolist()
    [0.8333333333333333]
    """
    ordered, order = values.sort(dim=1, descending=True, stable=True)
    return precision_of_order(ordered, mask.gather(1, order))


def precision_of_order(ordered: Tensor, found: Tensor) -> Tensor:
    """`average_precision` of values from the largest down, and whether each is a true one: both (N, F)."""
    n_entries = found.shape[1]
    position = torch.arange(n_entries, device=found.device)
    last = torch.ones_like(found)
    last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    # Entries of equal value are found together: at the last position of their group.
    end = torch.where(last, position, n_entries).flip(1).cummin(dim=1).values.flip(1)
    precision = found.cumsum(dim=1).gather(1, end).double() / (end + 1)
    return torch.where(nontrivial_masks(found), (precision * found).sum(dim=1) / found.sum(dim=1), torch.nan)
