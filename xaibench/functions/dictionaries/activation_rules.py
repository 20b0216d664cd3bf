"""Which latents of a sparse autoencoder are active: by size, by the largest of an input or batch, by thresholds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def largest_of_rows(values: Tensor, k: int) -> Tensor:
    """Values (n, m) with all but the k largest of each row set to 0."""
    top = values.topk(k, dim=1)
    return torch.zeros_like(values).scatter(1, top.indices, top.values)


def largest_of_batch(values: Tensor, k: int) -> tuple[Tensor, float]:
    """Values (n, m) with all but the k n largest set to 0, and the smallest of those that are left."""
    threshold = values.detach().flatten().topk(k * len(values)).values[-1]
    return torch.where(values >= threshold, values, 0.0), float(threshold)


class JumpReLU(torch.autograd.Function):
    """z where z > threshold, else 0; the threshold gets a gradient from values near it (a rectangle of a bandwidth)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return z * (z > threshold)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        z, threshold = ctx.saved_tensors
        near = (z - threshold).abs() < ctx.bandwidth / 2
        by_threshold = -(threshold / ctx.bandwidth) * (near * gradient).sum(dim=0)
        return gradient * (z > threshold), by_threshold, None


class StepFunction(torch.autograd.Function):
    """1 where z > threshold, else 0, with the same gradient of the threshold and none of z."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return (z > threshold).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        z, threshold = ctx.saved_tensors
        near = (z - threshold).abs() < ctx.bandwidth / 2
        return None, -(near * gradient).sum(dim=0) / ctx.bandwidth, None


def matching_pursuit(inputs: Tensor, directions: Tensor, k: int) -> Tensor:
    """Codes (n, m) by k rounds that each take the direction with the largest product with what is left.

    Parameters
    ----------
    inputs : Tensor (n, d)
    directions : Tensor (m, d)
        Of unit length.
    k : int
        Rounds. A direction may be taken again; products below 0 are not taken.
    """
    codes = inputs.new_zeros(len(inputs), len(directions))
    left = inputs
    for _ in range(k):
        best = (left @ directions.T).relu().max(dim=1, keepdim=True)
        taken = torch.zeros_like(codes).scatter(1, best.indices, best.values)
        codes = codes + taken
        left = left - taken @ directions
    return codes
