"""Whether numbers are finite, asked in one pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def all_finite(values: Tensor) -> bool:
    """Whether no number is NaN or infinite.

    A finite sum follows from nothing else and is several times faster to see; only where the sum is
    not finite, by large numbers or opposite ones, is every number looked at.

    Examples
    --------
    >>> import torch
    >>> from xaibench.core.finite import all_finite
    >>> all_finite(torch.tensor([3e38, 3e38])), all_finite(torch.tensor([1.0, torch.nan]))
    (True, False)
    """
    return math.isfinite(values.sum()) or bool(torch.isfinite(values).all())
