"""The exact model of the data set `white_box`: the sum of squares of the cells that matter."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.types import Array


@model("sum_of_squares", provides={"gradients", "module"}, features={"series"})
def sum_of_squares(data: Data) -> nn.Module:
    """Sum of squares of the cells that the data set `white_box` calls relevant, without any training.

    Raises
    ------
    UsageError
        If the data set does not say which cells these are.
    """
    if "relevant" not in data.facts:
        raise UsageError("sum_of_squares needs to know the relevant cells", "it is for the data set white_box")
    return SumOfSquares(np.asarray(data.facts["relevant"]))


class SumOfSquares(nn.Module):
    """``sum over relevant cells of x^2``, as (N, 1).

    Parameters
    ----------
    relevant : array (T, D) of bool
    """

    relevant: Tensor

    def __init__(self, relevant: Array) -> None:
        super().__init__()
        self.register_buffer("relevant", torch.from_numpy(relevant.astype(np.float32)))

    def step_outputs(self, series: Tensor) -> Tensor:
        """The sum of every step (N, T, 1)."""
        return (series.square() * self.relevant).sum(dim=2, keepdim=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs.square() * self.relevant).flatten(1).sum(dim=1, keepdim=True)
