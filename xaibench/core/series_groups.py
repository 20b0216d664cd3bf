"""Groups of the cells of a series that are removed together: segments of time, single steps, whole sensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from xaibench.core.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from xaibench.core.features import FeatureLayout

SeriesGroup = Literal["segments", "sensors", "steps"]
"""Stretches of several steps across all sensors, one sensor at all steps, one step across all sensors."""
CellGroup = SeriesGroup | Literal["cells"]
"""The same, or every cell by itself."""


def series_groups(layout: FeatureLayout, group: SeriesGroup, length: int | None = None) -> Tensor:
    """Group of every cell of a series, counted from 0.

    Parameters
    ----------
    layout : FeatureLayout
    group : {"segments", "sensors", "steps"}
    length : int, optional
        Steps of a segment, which segments need and the others do not have. The last segment may be shorter.

    Returns
    -------
    Tensor (*feature_shape) of int64

    Raises
    ------
    UnsupportedError
        If the data are not series.
    UsageError
        If sensors or steps are given a length, or a length is below 1.

    Examples
    --------
    >>> from xaibench.core.features import FeatureLayout
    >>> from xaibench.core.series_groups import series_groups
    >>> layout = FeatureLayout("series", (3, 2))
    >>> series_groups(layout, "segments", 2).tolist()
    [[0, 0], [0, 0], [1, 1]]
    >>> series_groups(layout, "sensors").tolist()
    [[0, 1], [0, 1], [0, 1]]
    """
    import torch

    check_series_group(layout, group, length)
    shape, time = layout.feature_shape, layout.neighbour_axes[0]
    if group == "sensors":
        if len(shape) == 1:
            return torch.zeros(shape, dtype=torch.int64)
        along = 1 - time
        labels = torch.arange(shape[along])
    else:
        along = time
        labels = torch.arange(shape[along]) // (1 if group == "steps" else length or 1)
    return labels.view([-1 if axis == along else 1 for axis in range(len(shape))]).expand(shape).clone()


def check_series_group(layout: FeatureLayout, group: SeriesGroup, length: int | None) -> None:
    """Raise where there are no such groups of these data, or a length does not go with them; see `series_groups`."""
    if layout.kind != "series":
        raise UnsupportedError(
            f'group="{group}" is about series, and this is {layout.kind} data',
            "leave group out; patch= is the side of a patch of an image",
        )
    if length is not None and length < 1:
        raise UsageError(f"patch must be at least 1, not {length}")
    if length is not None and group != "segments":
        raise UsageError(f"patch is the length of a segment, and {group} have none", "leave patch out")


def segment_length(layout: FeatureLayout, limit: int) -> int:
    """The shortest length of segments that gives at most ``limit`` of them."""
    return max(1, math.ceil(layout.feature_shape[layout.neighbour_axes[0]] / limit))
