"""Curves in the terminal, drawn with braille characters: eight dots to a character."""

from __future__ import annotations

import numpy as np

from xaibench.core.types import Array
from xaibench.report.labels import number

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bits of the dots of a braille character, by row and column."""


def y_range(*values: Array) -> tuple[float, float]:
    """A range that shows curves well: poles are cut off where they would flatten everything else."""
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    if not len(finite):
        return -1.0, 1.0
    low, middle_low, middle_high, high = np.quantile(finite, [0, 0.02, 0.98, 1])
    if high - low > 4 * (middle_high - middle_low) > 0:
        low, high = middle_low - (middle_high - middle_low) / 2, middle_high + (middle_high - middle_low) / 2
    margin = 0.05 * (high - low) or max(abs(high), 1.0)
    return float(low - margin), float(high + margin)


def columns_of(x: Array, low: float, high: float, width: int) -> Array:
    """Character columns (n,) of inputs, -1 where they lie outside."""
    place = np.floor((x - low) / (high - low) * width)
    place = np.where(x == high, width - 1, place)
    return np.where((place >= 0) & (place < width), place, -1).astype(int)


def plot(
    x: Array,
    y: Array,
    *,
    domain: tuple[float, float],
    limits: tuple[float, float],
    width: int,
    height: int,
    marks: tuple[Array, Array] | None = None,
) -> list[str]:
    """A curve with its axes, as lines of text.

    Parameters
    ----------
    x, y : array (n,)
        Points of the curve, ascending in x; gaps are NaN.
    domain, limits : (low, high)
        Of the axes.
    width, height : int
        Of the drawing in characters, without labels.
    marks : (array, array), optional
        Points that are marked with ``o`` where they lie off the curve.
    """
    cells = np.zeros((height, width), dtype=int)
    dots_x = columns_of(x, *domain, 2 * width)
    scaled = (limits[1] - y) / (limits[1] - limits[0]) * 4 * height
    for column in range(2 * width):
        # A column shows all that the curve does there, from where it was before.
        here = np.flatnonzero(dots_x == column)
        if not len(here):
            continue
        values = scaled[max(here[0] - 1, 0) : here[-1] + 1]
        values = values[np.isfinite(values)]
        if len(values) and np.isfinite(scaled[here]).any():
            top, bottom = max(int(np.floor(values.min())), 0), min(int(np.floor(values.max())), 4 * height - 1)
            for row in range(top, bottom + 1):
                cells[row // 4, column // 2] |= _DOTS[row % 4, column % 2]
    text = [[chr(0x2800 + c) if c else " " for c in line] for line in cells]
    if marks is not None:
        rows = np.floor((limits[1] - marks[1]) / (limits[1] - limits[0]) * height)
        for row, column in zip(rows, columns_of(marks[0], *domain, width), strict=True):
            if np.isfinite(row) and 0 <= row < height and column >= 0 and text[int(row)][column] == " ":
                text[int(row)][column] = "o"
    return _with_axes(["".join(line) for line in text], domain, limits, width)


def _with_axes(lines: list[str], domain: tuple[float, float], limits: tuple[float, float], width: int) -> list[str]:
    labels = [""] * len(lines)
    labels[0], labels[-1] = number(limits[1]), number(limits[0])
    pad = label_width(limits)
    drawn = [f"{label:>{pad}} |{line}".rstrip() for label, line in zip(labels, lines, strict=True)]
    low, high = number(domain[0]), number(domain[1])
    return [
        *drawn,
        f"{'':>{pad}} +{'-' * width}",
        f"{'':>{pad}}  {low}{' ' * (width - len(low) - len(high))}{high}",
    ]


def label_width(limits: tuple[float, float]) -> int:
    """Characters that the labels of the vertical axis take."""
    return max(len(number(v)) for v in limits)


def ticks(x: Array, *, domain: tuple[float, float], width: int) -> str:
    """A line in which points are marked with ``'``, as wide as a plot."""
    hit = set(columns_of(x, *domain, width).tolist())
    return "".join("'" if k in hit else " " for k in range(width)).rstrip()


def bar(intervals: tuple[tuple[float, float], ...], *, domain: tuple[float, float], width: int) -> str:
    """A line in which intervals are marked with ``=``, as wide as a plot."""
    line = [" "] * width
    for low, high in intervals:
        first, last = columns_of(np.clip([low, high], *domain), *domain, width)
        line[first : last + 1] = "=" * (last + 1 - first)
    return "".join(line).rstrip()
