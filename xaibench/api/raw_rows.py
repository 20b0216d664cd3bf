"""Samples of different lengths and token ids that a caller gives, as rows of one array with their sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.errors import DataError, UsageError
from xaibench.core.tokens import LARGEST_ID, NO_TOKEN, Tokens, check_ids, text_sizes
from xaibench.core.types import Array


def is_ragged(values: Any) -> bool:
    """Whether these are arrays or lists of different lengths, one per sample."""
    if isinstance(values, (np.ndarray, Tensor)) or not isinstance(values, list | tuple) or not values:
        return False
    return all(_has_length(v) for v in values) and len({len(v) for v in values}) > 1


def token_rows(values: Any, tokens: Tokens | None, name: str = "inputs") -> tuple[Array, Array]:
    """Token ids (N, L) of int64, or pieces of words (N, W, P), -1 behind the end, and their sizes (N,).

    Raises
    ------
    UsageError
        If they are not whole numbers of the vocabulary.
    """
    rows = padded(values, NO_TOKEN, name) if is_ragged(values) else _array(values, name)
    if rows.dtype.kind not in "iuf":
        raise UsageError(
            f"{name} are {rows.dtype}, not token ids", "ids are whole numbers; a tokenizer makes them of text"
        )
    if rows.dtype.kind == "f":
        if not np.isfinite(rows).all() or (rows != np.round(rows)).any():
            raise UsageError(
                f"{name} are not token ids: they are not whole numbers",
                "embeddings of tokens are (N, L, D), with D numbers each",
            )
        if np.abs(rows).max(initial=0) >= LARGEST_ID:
            raise UsageError(
                f"{name} hold numbers of {LARGEST_ID} and more, which floats do not know exactly", "give int64"
            )
    ids = rows.astype(np.int64)
    try:
        check_ids(ids, tokens, name)
    except DataError as error:
        raise UsageError(error.message, error.hint) from error
    return ids, text_sizes(ids)


def step_rows(values: Any, name: str = "inputs") -> tuple[Array, Array]:
    """Series of different lengths (N, T, ...) as they were given, 0 behind the end, and their lengths (N,)."""
    rows = padded(values, 0, name)
    sizes = np.array([len(v) for v in values], dtype=np.int64)
    if sizes.min() == 0:
        raise UsageError(f"{name} hold a sample of length 0, number {int(sizes.argmin())}", "leave it out")
    return rows, sizes


def series_rows(values: Any, name: str) -> tuple[Array, Array]:
    """Series (N, T, ...) of equal or different lengths, as rows and their lengths; see `step_rows`."""
    if is_ragged(values):
        return step_rows(values, name)
    rows = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if rows.ndim < 2 or rows.dtype.kind not in "biuf":
        raise UsageError(f"{name} have shape {rows.shape}", "give a list of series, or one array (N, T, ...)")
    return rows, np.full(len(rows), rows.shape[1], dtype=np.int64)


def padded(values: Any, fill: float, name: str) -> Array:
    """Arrays of different lengths (n, ...) as one (N, L, ...)."""
    parts = [_array(v, name) if len(v) else np.zeros((0,), np.int64) for v in values]
    widths = {p.shape[1:] for p in parts if len(p)}
    if len(widths) != 1:
        raise UsageError(
            f"{name} differ in more than their length: {sorted(map(str, widths))}", "one shape beside the length"
        )
    parts = [p.reshape(len(p), *next(iter(widths))) for p in parts]
    longest = max(map(len, parts))
    dtype = np.result_type(*(p.dtype for p in parts if len(p)))
    out: Array = np.full((len(parts), longest, *parts[0].shape[1:]), fill, dtype=dtype)
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out


def behind_end(sizes: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Which places of maps (N, *shape) are behind the end of their sample."""
    place = torch.arange(shape[0], device=sizes.device)
    behind = place >= sizes.unsqueeze(1)
    return behind.view(len(sizes), shape[0], *(1,) * (len(shape) - 1)).expand(len(sizes), *shape)


def _array(values: Any, name: str) -> Array:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise UsageError(
            f"{name} are not an array of numbers: {error}", "give one array, or a list of arrays"
        ) from error
    if found.dtype.kind not in "biuf":
        raise UsageError(f"expected an array of numbers, not of {found.dtype}", "a tokenizer turns text into ids")
    return found


def _has_length(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray) or (isinstance(value, Tensor) and value.ndim > 0)
