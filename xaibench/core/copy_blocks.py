"""Samples x copies, cut into blocks of bounded memory: the one way for explainers and metrics."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def chunks(total: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``range(total)``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def fitting(budget: int, bytes_each: int) -> int:
    """How many items of ``bytes_each`` bytes stay within a budget of bytes; at least one."""
    return max(1, budget // max(bytes_each, 1))


def cut_copies(
    n_samples: int, n_copies: int, *, samples_at_once: int, copies_at_once: int
) -> Iterator[tuple[slice, Iterator[slice]]]:
    """Blocks of samples, and for each the chunks of its copies.

    Draws are made chunk by chunk: ``copies_at_once`` must depend on one sample only, so that the numbers
    drawn for it do not depend on the other samples.
    """
    for rows in chunks(n_samples, samples_at_once):
        yield rows, chunks(n_copies, copies_at_once)


def owners(rows: slice, n_copies: int, device: torch.device) -> Tensor:
    """Sample of each copy (n * n_copies,) of int64, in the order of a flattened (n, n_copies)."""
    return torch.arange(rows.start, rows.stop, device=device).repeat_interleave(n_copies)
