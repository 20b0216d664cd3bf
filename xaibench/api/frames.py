"""Data frames that a caller gives, as arrays of numbers; what models are given is decoded from them again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from xaibench.core.errors import UsageError
from xaibench.core.feature_groups import feature_groups, one_hot_features
from xaibench.core.features import FeatureLayout
from xaibench.core.frames.codec import FrameCodec, require_columns
from xaibench.core.frames.detection import is_frame
from xaibench.core.types import Array
from xaibench.models.encoders import encoded_columns
from xaibench.models.frame_inputs import fitted_names


@dataclass(frozen=True)
class GivenFrames:
    """Frames as arrays.

    Attributes
    ----------
    codec : FrameCodec
    inputs : array (N, D)
    background : array (M, D) or None
    given : tuple of hashable
        Labels of the columns in the order of the caller's inputs.
    """

    codec: FrameCodec
    inputs: Array
    background: Any
    given: tuple[Hashable, ...]


def read_frames(model: Any, inputs: Any, background: Any, categorical: Sequence[Any] = ()) -> GivenFrames | None:
    """Encode inputs that are a data frame; None where they are something else.

    The columns of the array are in the order in which the model was fitted, where it knows that, so that the order of
    the caller's columns changes nothing.

    Raises
    ------
    UsageError
        If a column is missing or foreign, or holds neither numbers nor booleans nor categories.
    """
    if not is_frame(inputs):
        return None
    if len(inputs) == 0 or len(inputs.columns) == 0:
        raise UsageError(f"inputs have shape {inputs.shape}", "give at least one sample, (N, ...)")
    names = fitted_names(model)
    order = names or tuple(inputs.columns)
    known = encoded_columns(model, order)
    frames = [inputs, background] if is_frame(background) else [inputs]
    named = [label if label in set(order) else order[_position(label, len(order))] for label in categorical]
    for what, frame in zip(("inputs", "background"), frames, strict=False):
        require_columns(frame, order, what, fitted=names is not None)
    codec = FrameCodec.of(frames, order=order, categories={k: v for k, v in known.items() if v}, coded={*known, *named})
    codes = _numbers(codec, inputs, "inputs")
    if is_frame(background):
        background = _numbers(codec, background, "background")
    elif background is not None and not codec.all_numbers:
        raise UsageError("inputs are a data frame and background is not", "give a data frame with the same columns")
    elif background is not None:
        background = _in_order(background, tuple(inputs.columns), codec)
    return GivenFrames(codec, codes, background, tuple(inputs.columns))


def encode_like(codec: FrameCodec | None, values: Any, what: str) -> Any:
    """Other rows of a problem as numbers, where they are a data frame and its inputs were one."""
    if not is_frame(values):
        return values
    if codec is None:
        return values.to_numpy()
    return _numbers(codec, values, what)


def grouped(
    layout: FeatureLayout,
    frames: GivenFrames | None,
    groups: Any,
    categorical: Sequence[Any],
    rows: Tensor,
    model: Any,
) -> FeatureLayout:
    """The layout of a caller's table with groups of columns, categories, and the order of the caller's features.

    Parameters
    ----------
    layout : FeatureLayout
    frames : GivenFrames or None
        Of inputs that are a data frame.
    groups : mapping or sequence, optional
        See `feature_groups`.
    categorical : sequence of str or int
        Columns of arrays that hold categories.
    rows : Tensor (M, D)
        Rows that tell which groups are one-hot blocks.
    model : any
        Which may encode columns itself.

    Raises
    ------
    UsageError
        If these are not a table, or a column is unknown.
    """
    if layout.kind != "table":
        if groups is not None or len(categorical):
            raise UsageError(f"feature_groups and categorical_features are about tables, not {layout.kind} inputs")
        return layout
    n, codec = layout.input_shape[0], None if frames is None else frames.codec
    labels: Sequence[Hashable] = () if codec is None else codec.labels
    if codec is None:
        names = fitted_names(model)
        known = encoded_columns(model, names if names is not None and len(names) == n else range(n))
        titles: list[Any] = list(names) if names is not None and len(names) == n else list(range(n))
        coded = {titles.index(label) for label in known} | {_position(c, n) for c in categorical}
        boolean: tuple[int, ...] = ()
    else:
        coded, boolean = set(codec.categorical), codec.boolean
    found = None if groups is None else feature_groups(groups, n, labels)
    members = tuple((j,) for j in range(n)) if found is None else found.members
    blocks = () if found is None else one_hot_features(members, rows.cpu().numpy())
    names_of = sorted({*blocks, *(f for f, columns in enumerate(members) if coded & set(columns))})
    booleans = tuple(f for f, c in enumerate(members) if set(c) <= set(boolean) and f not in names_of)
    order: tuple[int, ...] = ()
    if frames is not None and frames.given != frames.codec.labels:
        place = {label: i for i, label in enumerate(frames.given)}
        first = [min(place[labels[c]] for c in columns) for columns in members]
        order = tuple(int(i) for i in np.argsort(first))
    return replace(
        layout,
        groups=() if found is None else members,
        categorical=tuple(names_of),
        boolean=booleans,
        order=order,
    )


def _numbers(codec: FrameCodec, frame: Any, what: str) -> Array:
    """The numbers of a frame; of plain numpy numbers as the frame itself has them, in their own type."""
    encoded = codec.encode(frame, what)
    plain = all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in frame.dtypes)
    return np.ascontiguousarray(frame[list(codec.labels)].to_numpy()) if plain else encoded


def _in_order(rows: Any, given: Sequence[Hashable], codec: FrameCodec) -> Any:
    """Columns of an array that are in the order of the caller's frame, in that of the codec."""
    if tuple(given) == tuple(codec.labels) or not hasattr(rows, "shape") or len(rows.shape) != 2:
        return rows
    place = {label: i for i, label in enumerate(given)}
    return rows[:, [place[label] for label in codec.labels]]


def _position(column: Any, n: int) -> int:
    if isinstance(column, bool) or not isinstance(column, (int, np.integer)) or not 0 <= column < n:
        raise UsageError(f"categorical_features names column {column!r}, which the inputs do not have")
    return int(column)
