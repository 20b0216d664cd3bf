"""Bidirectional recurrent networks, one for every series of a batch: no sample's result depends on another's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xaibench.core.draws import Draws


class NetworkPerSeries:
    """A bidirectional GRU (Cho et al. 2014) and a linear layer for each of N series (N, T, D), with D hidden units.

    The equations are those of `torch.nn.GRU`, and so are the ranges of the initial weights, which are keyed draws of
    the sample.

    Parameters
    ----------
    inputs : Tensor (N, T, D)
    draws : Draws
        Of the N samples.

    Attributes
    ----------
    weights : list of Tensor
        Everything that is trained.
    """

    def __init__(self, inputs: Tensor, draws: Draws) -> None:
        d = inputs.shape[2]
        # Both directions are one batch of 2 N networks: the second half reads the series from its end.
        self.both = torch.cat([inputs, inputs.flip(1)])
        shapes = {"into": (d, 3 * d), "across": (d, 3 * d), "into_bias": (1, 3 * d), "across_bias": (1, 3 * d)}

        def drawn(shape: tuple[int, int], bound: float) -> Tensor:
            return ((2 * draws.uniform(shape) - 1) * bound).to(inputs)

        found = {name: [drawn(shape, 1 / math.sqrt(d)) for _ in range(2)] for name, shape in shapes.items()}
        self.into, self.across, self.into_bias, self.across_bias = (
            torch.cat(found[name]).requires_grad_(True) for name in shapes
        )
        self.out = drawn((2 * d, d), 1 / math.sqrt(2 * d)).requires_grad_(True)
        self.out_bias = drawn((1, d), 1 / math.sqrt(2 * d)).requires_grad_(True)
        self.weights = [self.into, self.across, self.into_bias, self.across_bias, self.out, self.out_bias]

    def __call__(self) -> Tensor:
        """What the networks say about their series: (N, T, D)."""
        d = self.both.shape[2]
        given = self.both @ self.into + self.into_bias
        hidden = torch.zeros_like(self.both[:, :1])
        found = []
        for step in given.unsqueeze(2).unbind(dim=1):
            before = torch.baddbmm(self.across_bias, hidden, self.across)
            reset, update = torch.sigmoid(step[..., : 2 * d] + before[..., : 2 * d]).chunk(2, dim=2)
            new = torch.tanh(step[..., 2 * d :] + reset * before[..., 2 * d :])
            hidden = torch.lerp(new, hidden, update)
            found.append(hidden)
        forward, backward = torch.cat(found, dim=1).chunk(2)
        return torch.cat([forward, backward.flip(1)], dim=2) @ self.out + self.out_bias
