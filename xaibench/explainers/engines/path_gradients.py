"""Mean gradients on the straight line between two points, with more steps where the points are farther apart."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from xaibench.explainers.engines.backward_rules import pull_back

PATH_STEPS = 128
"""Fewest points of the midpoint rule."""
STEP_LENGTH = 0.25
"""Farthest that the differences within a row may move from point to point: softmax changes on the scale of 1."""
MOST_DOUBLINGS = 7


class RowFunction(Protocol):
    """A function of points (K, C) that works on every row by itself, and knows which rows (K,) they belong to."""

    def __call__(self, points: Tensor, /, rows: Tensor) -> Tensor:
        """Evaluate the function."""
        ...


def path_gradient(function: RowFunction, start: Tensor, end: Tensor, grad: Tensor) -> Tensor:
    """Mean of the pulled-back gradient on the straight line from ``start`` to ``end``, row by row.

    Parameters
    ----------
    function : RowFunction
    start, end : Tensor (M, C)
    grad : Tensor (M, ...)
        Gradient with respect to the function's result.

    Returns
    -------
    Tensor (M, C)
    """
    way = (end - start).detach()
    length = (way.amax(dim=1) - way.amin(dim=1)).nan_to_num(0.0)
    doublings = (length / (PATH_STEPS * STEP_LENGTH)).clamp(min=1).log2().ceil().clamp(max=MOST_DOUBLINGS)
    mean = torch.zeros_like(end)
    for doubled in sorted(set(doublings.tolist())):
        rows = (doublings == doubled).nonzero().squeeze(1)
        steps = PATH_STEPS * 2 ** int(doubled)
        own = partial(function, rows=rows)
        first, last, pulled = start[rows], end[rows], grad[rows]
        total = torch.zeros_like(last)
        for k in range(steps):
            total += pull_back(own, (torch.lerp(first, last, (k + 0.5) / steps),), pulled)[0]
        mean[rows] = total / steps
    return mean
