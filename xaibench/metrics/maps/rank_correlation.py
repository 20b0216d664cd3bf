"""Kendall's rank correlation of the rows of two tables of values."""

from __future__ import annotations

import torch
from torch import Tensor

PAIRS_AT_ONCE = 2**22
"""Pairs of features that are compared at a time."""


def kendall_tau_b(a: Tensor, b: Tensor) -> Tensor:
    """Kendall's tau-b of the rows of ``a`` and ``b`` (B, F), exact.

    Returns
    -------
    Tensor (B,), float64
        NaN where a row is all tied or not finite, and for fewer than two features.
    """
    agree = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    untied = [torch.zeros_like(agree), torch.zeros_like(agree)]
    n = a.shape[1]
    chunk = max(1, PAIRS_AT_ONCE // max(len(a) * n, 1))
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        # Every pair is met twice, which the quotient does not see.
        signs = [(v[:, rows].unsqueeze(2) - v.unsqueeze(1)).sign() for v in (a.double(), b.double())]
        agree += (signs[0] * signs[1]).sum(dim=(1, 2))
        for total, sign in zip(untied, signs, strict=True):
            total += sign.abs().sum(dim=(1, 2))
    size = (untied[0] * untied[1]).sqrt()
    finite = torch.isfinite(a).all(dim=1) & torch.isfinite(b).all(dim=1)
    return torch.where((size > 0) & finite, (agree / size).clamp(-1, 1), torch.nan)
