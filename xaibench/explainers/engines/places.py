"""Positions in the image that each element of a tensor belongs to, traced through the operations of a network.

Feature maps and tokens cannot be recognised by their shape: attention weights (N, heads, T, T) look like
maps, channels may come last, class tokens stand before patches. So every tensor carries the numbers
of the places that its elements are about, and operations that move elements move these numbers too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.explainers.engines.tracing import tracked

MOVING = frozenset({
    "T", "broadcast_to", "cat", "channel_shuffle", "chunk", "concat", "concatenate", "diagonal", "expand",
    "expand_as", "flatten", "flip", "fliplr", "flipud", "gather", "getitem", "index_select", "mT", "moveaxis",
    "movedim", "narrow", "permute", "ravel", "repeat", "repeat_interleave", "reshape", "reshape_as", "roll", "rot90",
    "select", "setitem", "split", "split_with_sizes", "squeeze", "stack", "swapaxes", "swapdims", "t",
    "take_along_dim", "tensor_split", "tile", "transpose", "unbind", "unflatten", "unfold", "unsqueeze", "view",
    "view_as",
})  # fmt: skip
"""Operations that move elements and do not change them."""
_RESAMPLING = frozenset({
    "conv2d", "conv_transpose2d", "convolution", "interpolate", "pixel_shuffle", "pixel_unshuffle", "upsample",
    "upsample_bilinear", "upsample_nearest",
})  # fmt: skip
"""Operations on maps (N, K, h, w) whose result is again such maps, of another size maybe; pooling is one too."""
_SHUFFLING = frozenset({"argsort", "conv1d", "conv3d", "conv_transpose1d", "msort", "sort", "topk"})
_PRODUCTS = frozenset({"addmm", "baddbmm", "bmm", "matmul", "mm", "rmatmul"})
MAKING_FEATURES = _PRODUCTS | {
    "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "convolution", "einsum", "gru", "linear", "lstm", "multi_head_attention_forward", "scaled_dot_product_attention",
    "tensordot",
}  # fmt: skip
"""Operations that make features: sums of products over several elements."""
_ATTENTION = frozenset({"multi_head_attention_forward", "scaled_dot_product_attention"})
"""Operations whose result has a row for each of their first argument's."""
Known = Callable[[Tensor], "Places | None"]


@dataclass(frozen=True, eq=False)
class Places:
    """Places of a tensor's elements.

    Attributes
    ----------
    ids : Tensor
        Of the tensor's shape: number of the place in row-major order, from 1; 0 where there is none.
    grid : tuple of int
        Rows and columns of places; (0, 0) if elements were moved in a way that maps cannot follow.
    axes : tuple of int
        The two axes of rows and columns of feature maps, the one axis of tokens, or none of these.
    before : int
        Tokens in front of the first place.
    """

    ids: Tensor
    grid: tuple[int, int]
    axes: tuple[int, ...] = ()
    before: int = 0

    @property
    def displaced(self) -> bool:
        """Whether elements are no longer where they were in the image, or it is unknown where they are."""
        return self.grid == (0, 0)


def is_pooling(name: str) -> bool:
    """Whether an operation pools maps."""
    return "pool" in name and "unpool" not in name


def fresh(shape: Sequence[int]) -> Places:
    """Places of an image or of maps (..., h, w)."""
    height, width = shape[-2:]
    ids = torch.arange(1, height * width + 1, dtype=torch.float32).view(height, width).expand(tuple(shape))
    return Places(ids, (height, width), (2, 3) if len(shape) == 4 else ())


def follow(
    name: str, func: Callable[..., Any], args: Any, kwargs: dict[str, Any], results: Sequence[Tensor], known: Known
) -> list[Places | None]:
    """Places of the results of an operation, None where they are lost.

    Parameters
    ----------
    name : str
        Canonical name of the operation.
    func : callable
    args, kwargs
        Its arguments, as they were before.
    results : sequence of Tensor
    known : callable
        Gives the places of an argument.
    """
    inputs = [p for t in tracked((args, kwargs)) if (p := known(t)) is not None]
    first = next(iter(tracked((args, kwargs))), None)
    before = None if first is None else known(first)
    is_map = before is not None and before.axes == (2, 3)
    if name in _RESAMPLING or "pool" in name or (name == "pad" and is_map):
        return [_resampled(before, r) for r in results]
    if name in _SHUFFLING or not inputs:
        return [None for _ in results]
    if name == "grid_sample" or all(p.displaced for p in inputs):
        return [_displaced(r.shape) for r in results]
    if name in MOVING or name == "pad":
        return _moved(name, func, args, kwargs, results, known, [p for p in inputs if not p.displaced])
    if name == "linear":
        return [None if before is None else _stretched(before, r.shape, -1) for r in results]
    if name in _ATTENTION:
        query = known(args[0] if args else kwargs["query"])
        return [None if query is None else _stretched(query, results[0].shape, -1), *[None] * (len(results) - 1)]
    if name in _PRODUCTS:
        return [_of_product(name, args, kwargs, r, known) for r in results]
    if name == "einsum":
        return [_of_einsum(args, r, known) for r in results]
    return [_of_value(inputs, r) for r in results]


def _displaced(shape: torch.Size) -> Places:
    return Places(torch.zeros(()).expand(shape), (0, 0))


def _resampled(before: Places | None, result: Tensor) -> Places | None:
    """Places behind a convolution or pooling; tensors whose places are lost become maps of their own."""
    if result.ndim != 4:
        return None
    if before is not None and before.axes != (2, 3):
        return _displaced(result.shape)
    return fresh(result.shape)


def _of_value(inputs: list[Places], result: Tensor) -> Places | None:
    """Places of a result that is computed element by element, or from one axis: those of an argument of its shape."""
    ordered = sorted(inputs, key=lambda p: p.displaced)
    alike = [p for p in ordered if p.ids.shape == result.shape]
    if alike:
        others = [p for p in alike[1:] if not p.displaced and p is not alike[0]]
        # The sum of a map and its mirror image is about two places.
        mixed = any(p.grid != alike[0].grid or not torch.equal(p.ids, alike[0].ids) for p in others)
        return _displaced(result.shape) if mixed else alike[0]
    for places in ordered:
        if places.ids.ndim == result.ndim:
            other = [i for i, (a, b) in enumerate(zip(places.ids.shape, result.shape, strict=True)) if a != b]
            if len(other) == 1 and (found := _stretched(places, result.shape, other[0])) is not None:
                return found
    return None


def _stretched(places: Places, shape: torch.Size, axis: int) -> Places | None:
    """Places of a result in which one axis was summed over and made again; None if places differ along that axis."""
    if places.ids.ndim != len(shape):
        return None
    axis %= len(shape)
    if axis in places.axes or any(
        a != b for i, (a, b) in enumerate(zip(places.ids.shape, shape, strict=True)) if i != axis
    ):
        return None
    if places.displaced:
        return _displaced(shape)
    one = places.ids.narrow(axis, 0, 1)
    return replace(places, ids=one.expand(shape)) if bool((places.ids == one).all()) else None


def _of_product(name: str, args: Any, kwargs: dict[str, Any], result: Tensor, known: Known) -> Places | None:
    """Rows of a product of matrices are about what the rows of the left one are, else columns of the right one."""
    factors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)][-2:]
    left, right = factors[::-1] if name == "rmatmul" else factors
    for factor, axis in ((left, -1), (right, -2)):
        places = known(factor)
        if places is not None and result.ndim >= 2 and (found := _stretched(places, result.shape, axis)) is not None:
            return found
    return None


def _of_einsum(args: Any, result: Tensor, known: Known) -> Places | None:
    equation = args[0].replace(" ", "") if isinstance(args[0], str) else ""
    terms, arrow, out = equation.partition("->")
    operands = args[1] if len(args) == 2 and isinstance(args[1], list | tuple) else args[1:]
    if not arrow or "." in equation:
        return None
    for term, operand in zip(terms.split(","), operands, strict=True):
        places = known(operand)
        if places is None or places.displaced:
            continue
        ids, letters = places.ids, list(term)
        summed = [i for i, letter in enumerate(letters) if letter not in out]
        if summed:
            most, least = ids.amax(summed), ids.amin(summed)
            if not torch.equal(most, least):
                continue
            ids, letters = most, [letter for letter in letters if letter in out]
        ids = ids.permute([letters.index(letter) for letter in out if letter in letters])
        for i, letter in enumerate(out):
            if letter not in letters:
                ids = ids.unsqueeze(i)
        return _arranged(ids.expand(result.shape), places.grid)
    return None


def _moved(
    name: str,
    func: Callable[..., Any],
    args: Any,
    kwargs: dict[str, Any],
    results: Sequence[Tensor],
    known: Known,
    inputs: list[Places],
) -> list[Places | None]:
    """Move the places as the elements were moved; elements without a place move a 0."""
    grids = {p.grid for p in inputs}
    if len(grids) > 1 or any(isinstance(a, torch.dtype) for a in args):
        return [None for _ in results]

    def ids_of(item: Any) -> Any:
        if isinstance(item, Tensor) and item.is_floating_point():
            places = known(item)
            ids = torch.zeros(item.shape) if places is None else places.ids
            return ids.clone(memory_format=torch.contiguous_format).to(item.device)
        if isinstance(item, list | tuple) and not isinstance(item, torch.Size):
            return type(item)(map(ids_of, item))
        return item

    moved_args, moved_kwargs = ids_of(tuple(args)), {k: ids_of(v) for k, v in kwargs.items()}
    if name == "pad":
        moved_args, moved_kwargs = moved_args[:3], {k: v for k, v in moved_kwargs.items() if k != "value"}
        func = functional.pad
    try:
        with torch.no_grad():
            moved = func(*moved_args, **moved_kwargs)
    except Exception:  # Whatever is special about the tensor itself: its places are lost, which is refused later.
        return [None for _ in results]
    moved = moved_args[0] if name == "setitem" else moved
    every = [moved] if isinstance(moved, Tensor) else list(moved)
    return [_arranged(ids.cpu(), *grids) for ids in every] if len(every) == len(results) else [None for _ in results]


def _arranged(ids: Tensor, grid: tuple[int, int]) -> Places:
    """Find out whether these places are those of feature maps or tokens, and number them again if so."""
    if ids.ndim == 4 and len(ids) == 1:
        for channel, axes in ((1, (2, 3)), (3, (1, 2))):
            part = _covering(ids[0].movedim(channel - 1, -1), grid)
            if part is not None:
                rows, columns = part
                size = (rows.stop - rows.start, columns.stop - columns.start)
                numbers = torch.zeros(ids.shape[axes[0]], ids.shape[axes[1]])
                numbers[rows, columns] = fresh(size).ids
                return Places(numbers.unsqueeze(channel - 1).unsqueeze(0).expand(ids.shape), size, axes)
    if ids.ndim == 3:
        for token, channel, single in ((1, 2, 0), (2, 1, 0), (0, 2, 1)):
            if ids.shape[single] == 1:
                found = _tokens(ids.permute(single, token, channel)[0], grid)
                if found is not None:
                    numbers, before, size = found
                    shape = [1, 1, 1]
                    shape[token] = -1
                    return Places(numbers.view(shape).expand(ids.shape), size, (token,), before)
    return Places(ids, grid)


def _tokens(cells: Tensor, grid: tuple[int, int]) -> tuple[Tensor, int, tuple[int, int]] | None:
    """Numbers (T,) of tokens (T, channels), how many come before the first place, and rows and columns of places."""
    placed = cells.amax(dim=1).nonzero().flatten().tolist()
    if not placed or placed != list(range(placed[0], placed[-1] + 1)):
        return None
    inner = cells[placed[0] : placed[-1] + 1]
    lowest = torch.where(inner > 0, inner, torch.inf).amin(dim=1)
    height = len(set(((lowest - 1) // grid[1]).tolist()))
    if height < 2 or len(inner) % height:
        return None
    size = (height, len(inner) // height)
    part = _covering(inner.view(*size, -1), grid)
    if part is None or part != (slice(0, size[0]), slice(0, size[1])):
        return None
    numbers = torch.zeros(len(cells))
    numbers[placed[0] : placed[-1] + 1] = torch.arange(1.0, len(inner) + 1)
    return numbers, placed[0], size


def _covering(cells: Tensor, grid: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns of cells (a, b, channels) that cover the whole grid in its order, one patch of places each.

    Cells around them may be without a place (padding), channels too (constants). What was cropped by
    more than a cell, and an eighth, is not the whole.
    """
    placed = (cells > 0).any(dim=2)
    bounds = []
    for axis in (1, 0):
        found = placed.any(dim=axis).nonzero().flatten().tolist()
        if len(found) < 2:
            return None
        bounds.append(slice(found[0], found[-1] + 1))
    rows, columns = bounds
    inner = cells[rows, columns]
    if not bool(placed[rows, columns].all()):
        return None
    coordinates = ((inner - 1).div(grid[1], rounding_mode="floor"), (inner - 1).remainder(grid[1]).transpose(0, 1))
    for length, found_at, missing in zip(grid, coordinates, (inner <= 0, (inner <= 0).transpose(0, 1)), strict=True):
        low = torch.where(missing, torch.inf, found_at).amin(dim=2)
        high = torch.where(missing, -torch.inf, found_at).amax(dim=2)
        if not bool((low == low[:, :1]).all() and (high == high[:, :1]).all() and (high[:-1] < low[1:]).all()):
            return None
        slack = max(float(low[1, 0] - low[0, 0]), length / 8)
        if low[0, 0] > slack or length - 1 - high[-1, 0] > slack:
            return None
    return rows, columns
