"""Linear imputation: removed values become the weighted mean of their neighbours, solved jointly (ROAD, Rong 2022).

On images every removed pixel is the mean of its 8 neighbours, 1/6 for each that shares an edge and
1/12 for each that shares a corner; weights of neighbours outside of the image are dropped and the
others scaled up. That is a Laplace equation on the removed pixels with the known ones as boundary,
whose matrix is symmetric and positive definite. It is solved for many masked copies at a time by
conjugate gradients, preconditioned with a multigrid V-cycle where large parts are missing.

The weights are an outer product, (1, 2, 1) x (1, 2, 1) / 12 without the middle, so twelve times the
operator is ``s_i s_j u - box(u)``: ``box`` sums with the outer product, ``s`` is the sum of the
(1, 2, 1) that fall inside. Copies lie along the last axis, which makes every shift contiguous.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout

TOLERANCE = 2e-4
"""Energy norm of the last step at which a copy counts as solved, for values that span 1."""
SMOOTHER_DAMPING = 1.6
"""Damping of the smoother as a share of ``s_i s_j``; below 2 it converges on every shape."""
SMALLEST_SIDE = 8
MAX_ITERATIONS = 1000
SOLVER_BLOCK_NUMBERS = 2**17
"""Numbers solved for at a time; bounds memory, never changes a result."""


def linear_imputation(inputs: Tensor, keep: Tensor, layout: FeatureLayout, rows: Tensor | None = None) -> Tensor:
    """Impute removed features from their neighbours.

    A result is within 1e-4 of the exact solution, relative to the range of the input's channel,
    whichever copies are solved together with it.

    Parameters
    ----------
    inputs : Tensor (N, *input_shape)
    keep : Tensor (B, *feature_shape) of bool
        Known features of every copy. Channels share the mask and are imputed apart.
    layout : FeatureLayout
    rows : Tensor (B,) of int64, optional
        Input that each copy belongs to; by default copy i to input i.

    Returns
    -------
    Tensor (B, *input_shape)
        Removed features imputed, known ones as they were. Where a whole image, or a whole sensor of
        a series, is removed there is nothing to impute from: it becomes its own mean, per channel.

    Raises
    ------
    UnsupportedError
        If the features have no neighbours: tables and tokens.
    """
    if rows is None:
        rows = torch.arange(len(inputs), device=inputs.device)
    if layout.kind == "image":
        images = inputs.reshape(len(inputs), layout.channels or 1, *layout.feature_shape)
        return _impute_images(images, keep, rows).reshape(len(keep), *layout.input_shape)
    if layout.kind == "series" and layout.sensors_first:
        turned = FeatureLayout("series", (layout.input_shape[1], layout.input_shape[0]))
        return linear_imputation(inputs.mT.contiguous(), keep.mT.contiguous(), turned, rows).mT.contiguous()
    if layout.kind == "series":
        length = layout.input_shape[0]
        return _impute_series(
            inputs.reshape(len(inputs), length, -1)[rows], keep.reshape(len(keep), length, -1)
        ).reshape(len(keep), *layout.input_shape)
    raise UnsupportedError(f"linear imputation needs neighbours, so an image or a series, not a {layout.kind}")


def _impute_series(series: Tensor, keep: Tensor) -> Tensor:
    """Impute (B, T, D) along time with weights 1/2, 1/2: straight lines, constant beyond the last known value."""
    length = series.shape[1]
    time = torch.arange(length, device=series.device).view(1, -1, 1)
    before = torch.where(keep, time, -1).cummax(dim=1).values
    after = torch.where(keep, time, length).flip(1).cummin(dim=1).values.flip(1)
    left = torch.where(before < 0, after, before).clamp(max=length - 1)
    right = torch.where(after == length, before, after).clamp(min=0)
    weight = (time - left) / (right - left).clamp(min=1)
    line = torch.lerp(series.gather(1, left), series.gather(1, right), weight.to(series.dtype))
    return torch.where(keep.any(dim=1, keepdim=True), line, series.mean(dim=1, keepdim=True))


def _impute_images(images: Tensor, keep: Tensor, rows: Tensor) -> Tensor:
    """Impute B masked copies of N images (N, C, H, W); the mask is (B, H, W)."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    middle = (low + high) / 2
    span = torch.where(high > low, high - low, 1)
    scaled = ((images - middle) / span).float()
    n_known = keep.sum(dim=(1, 2))
    out = images.index_select(0, rows)
    empty = (n_known == 0).nonzero().squeeze(1)
    out[empty] = images.mean(dim=(2, 3), keepdim=True).index_select(0, rows[empty]).expand_as(out[empty])
    part = (n_known > 0) & (n_known < keep[0].numel())
    deep = _large_gaps(keep) & part
    fit = max(1, SOLVER_BLOCK_NUMBERS // images[0].numel())
    for multigrid, which in ((False, part & ~deep), (True, deep)):
        # Copies with about as many unknowns need about as many iterations.
        found = which.nonzero().squeeze(1)
        found = found[n_known[found].argsort(stable=True)]
        for start in range(0, len(found), fit):
            block = found[start : start + fit]
            own = rows[block]
            mask = keep.index_select(0, block).flatten(1).to(scaled.dtype)
            solved = _solve(
                _copies_last(scaled.index_select(0, own).flatten(1)).view(*images.shape[1:], -1),
                _copies_last(mask).view(*keep.shape[1:], -1),
                multigrid=multigrid,
            )
            values = _copies_last(solved.reshape(-1, len(block))).view(len(block), *images.shape[1:]).to(images.dtype)
            values = torch.addcmul(middle.index_select(0, own), values, span.index_select(0, own))
            # A weight of 0 or 1 returns one of both exactly.
            known = mask.to(images.dtype).view(-1, 1, *keep.shape[1:])
            out.index_copy_(0, block, torch.lerp(values, images.index_select(0, own), known))
    return out


def _copies_last(values: Tensor) -> Tensor:
    """Transpose a matrix, which is fast for matrices only."""
    return values.t().contiguous()


def _large_gaps(keep: Tensor) -> Tensor:
    """Which masks (B, H, W) remove whole cells of 4 x 4 pixels, so that information has far to go."""
    height, width = keep.shape[1:]
    known = functional.pad(keep, (0, -width % 4, 0, -height % 4))
    for _ in range(2):
        known = known[:, ::2] | known[:, 1::2]
        known = known[:, :, ::2] | known[:, :, 1::2]
    return known.logical_not().flatten(1).any(dim=1)


def _solve(images: Tensor, known: Tensor, *, multigrid: bool) -> Tensor:
    """Conjugate gradients on images (C, H, W, B), with ``known`` (H, W, B) of 0 and 1; copies that are done stay."""
    levels = _levels(1 - known, len(images), multigrid=multigrid)
    finest = levels[0]
    padded, values = _with_border(images.shape, images.device)
    values.copy_(_pull_push(images, known))
    residual = finest.residual(padded, values).mul_(finest.removed)
    step_padded, step = _with_border(images.shape, images.device)
    step.copy_(_precondition(levels, residual))
    energy = _dot(residual, step)
    # The longer the way to a known pixel, the larger the errors that an energy allows: a strip is nearly a line.
    height, width, _ = known.shape
    tolerance = TOLERANCE * min(height, width) / max(height, width)
    for _ in range(MAX_ITERATIONS):
        change = finest.residual(step_padded, step)
        length = (energy / -_dot(step, change)).nan_to_num_(0, 0, 0)
        values.addcmul_(step, length[:, None, None])
        unsolved = length * energy > tolerance**2
        if not unsolved.any():
            break
        # Beyond the removed pixels the residual means nothing; every use of it is masked.
        residual.addcmul_(change, length[:, None, None])
        direction = _precondition(levels, residual)
        new_energy = _dot(residual, direction) * unsolved
        step.mul_((new_energy / energy).nan_to_num_(0, 0, 0)[:, None, None]).add_(direction)
        energy = new_energy
    return values


class _Level:
    """One grid: which cells are removed (H, W, B), and the operator on it."""

    def __init__(self, removed: Tensor, channels: int) -> None:
        height, width, _ = removed.shape
        self.removed = removed
        sums = _row_sums(height, removed)[:, None] * _row_sums(width, removed)
        self.diagonal = sums.unsqueeze(-1).expand_as(removed).contiguous()
        self.smoothing = removed * SMOOTHER_DAMPING / self.diagonal
        self.padded, self.values = _with_border((channels, *removed.shape), removed.device)

    def residual(self, padded: Tensor, values: Tensor) -> Tensor:
        """Minus twelve times the operator on values (C, H, W, B), which lie in ``padded`` with a border of zeros."""
        return _box(padded).addcmul_(self.diagonal, values, value=-1)


def _levels(removed: Tensor, channels: int, *, multigrid: bool) -> list[_Level]:
    """Grids, each half as fine as the one before; a coarse cell is removed where all of its pixels are."""
    levels = [_Level(removed, channels)]
    while multigrid and max(removed.shape[:2]) > SMALLEST_SIDE:
        height, width, _ = removed.shape
        even = functional.pad(removed, (0, 0, 0, width % 2, 0, height % 2), value=1)
        rows = torch.minimum(even[::2], even[1::2])
        removed = torch.minimum(rows[:, ::2], rows[:, 1::2])
        levels.append(_Level(removed, channels))
    return levels


def _precondition(levels: list[_Level], residual: Tensor) -> Tensor:
    """One V-cycle with a damped Jacobi step before and after each coarser grid; two steps if there is none."""
    level, coarser = levels[0], levels[1:]
    height, width, _ = level.removed.shape
    values = level.values
    torch.mul(residual, level.smoothing, out=values)
    # ``smoothing * diagonal * values`` is ``SMOOTHING * values``, which turns both residuals into sums of a few terms.
    if coarser:
        left = _box(level.padded).add_(residual, alpha=1 - SMOOTHER_DAMPING).mul_(level.removed)
        coarse = _precondition(coarser, _restrict(_restrict(left, 2), 1))
        values.addcmul_(_prolong(coarse, height, width), level.removed)
    box = _box(level.padded).add_(residual)
    return values.mul_(1 - SMOOTHER_DAMPING).addcmul_(box, level.smoothing)


def _box(padded: Tensor) -> Tensor:
    """Sum over 3 x 3 cells with the outer product of (1, 2, 1)."""
    box = padded[:, 1:] + padded[:, :-1]
    box = box[:, 1:] + box[:, :-1]
    box = box[:, :, 1:] + box[:, :, :-1]
    return box[:, :, 1:] + box[:, :, :-1]


def _prolong(coarse: Tensor, height: int, width: int) -> Tensor:
    """Interpolate (C, H, W, B) to cells of half the side: 3/4 of the own cell and 1/4 of the next, along both axes."""
    fine = functional.interpolate(coarse.permute(0, 3, 1, 2), scale_factor=2, mode="bilinear")
    return fine[:, :, :height, :width].permute(0, 2, 3, 1)


def _restrict(fine: Tensor, axis: int) -> Tensor:
    """Transpose of `_prolong` along one axis."""
    if fine.shape[axis] % 2:
        fine = torch.cat([fine, torch.zeros_like(fine.narrow(axis, 0, 1))], dim=axis)
    even, odd = _halves(fine, axis)
    coarse = even + odd
    n = coarse.shape[axis]
    if n > 1:
        quarter = (odd.narrow(axis, 0, n - 1) - even.narrow(axis, 1, n - 1)).mul_(0.25)
        coarse.narrow(axis, 1, n - 1).add_(quarter)
        coarse.narrow(axis, 0, n - 1).sub_(quarter)
    return coarse


def _halves(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Even and odd rows (axis 1) or columns (axis 2) of (C, H, W, B)."""
    return (values[:, ::2], values[:, 1::2]) if axis == 1 else (values[:, :, ::2], values[:, :, 1::2])


def _pull_push(images: Tensor, known: Tensor) -> Tensor:
    """First guess: means of the known pixels of the smallest cell of 2^k x 2^k that has any, interpolated."""
    sums, counts = [images * known], [known.unsqueeze(0)]
    while max(sums[-1].shape[1:3]) > 1:
        sums.append(_pool(sums[-1]))
        counts.append(_pool(counts[-1]))
    guess = sums[-1] / counts[-1]
    for total, number in zip(sums[-2::-1], counts[-2::-1], strict=True):
        _, height, width, _ = total.shape
        rough = _prolong(guess, height, width)
        mean = total.div_(number.clamp(min=1))
        guess = mean.addcmul_(rough, 1 - number.clamp(max=1))
    return guess


def _pool(values: Tensor) -> Tensor:
    """Sum (C, H, W, B) over cells of 2 x 2."""
    pooled = functional.avg_pool2d(values.permute(0, 3, 1, 2), 2, ceil_mode=True, divisor_override=1)
    return pooled.permute(0, 2, 3, 1)


def _with_border(shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Zeros (C, H + 2, W + 2, B), and the view of the (C, H, W, B) inside."""
    channels, height, width, count = shape
    padded = torch.zeros(channels, height + 2, width + 2, count, device=device)
    return padded, padded[:, 1:-1, 1:-1]


def _row_sums(size: int, like: Tensor) -> Tensor:
    """How much of (1, 2, 1) falls inside, for each of ``size`` cells in a row."""
    sums = torch.full((size,), 4.0, dtype=like.dtype, device=like.device)
    sums[0] -= 1
    sums[-1] -= 1
    return sums


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products over the pixels: (C, B)."""
    return (a * b).sum(dim=(1, 2))
