"""Noise as smooth as explanations are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xaibench.core.copy_blocks import fitting
from xaibench.core.draws import Draws
from xaibench.core.masking.maskers import gaussian_kernel

WINDOW_BYTES = 8 * 2**20
"""The windows of a filter are as large as its length times the noise; this much of them is held at a time."""


def smooth_noise(draws: Draws, shape: tuple[int, ...], axes: Sequence[int], sigma: float) -> Tensor:
    """Numbers (N, *shape) from N(0, 1), blurred by a Gaussian of ``sigma`` steps along some axes of ``shape``.

    More noise is drawn than is returned, as much as the filter reaches over each end: with the last
    number repeated, the spread at a border would be more than twice that in the middle, and nearly every map
    would have its peak there.
    """
    beyond = len(gaussian_kernel(sigma, torch.empty(0))) - 1
    noise = draws.normal(tuple(n + beyond if axis in axes else n for axis, n in enumerate(shape)))
    kernel = gaussian_kernel(sigma, noise)
    at_once = fitting(WINDOW_BYTES, noise[:1].nbytes * len(kernel))
    return torch.cat([_blurred(part, axes, kernel) for part in torch.split(noise, at_once)])


def _blurred(noise: Tensor, axes: Sequence[int], kernel: Tensor) -> Tensor:
    for axis in axes:
        noise = noise.unfold(1 + axis, len(kernel), 1) @ kernel
    return noise
