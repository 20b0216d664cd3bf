"""A series in the terminal: its line in braille, a shade row for what an explainer says, the truth below."""

from __future__ import annotations

import numpy as np

from xaibench.core.types import Array
from xaibench.report.braille import bar, columns_of, label_width, plot, y_range

SHADE_CHARACTERS = " ░▒▓█"
MOST_LINES = 3
"""Sensors that are drawn, those with the largest magnitudes of the map."""
_WIDTH, _HEIGHT = 60, 5


def series_lines(inputs: Array, values: Array, truth: Array | None = None) -> list[str]:
    """A series with a map, as lines of text: for every sensor its curve, the magnitudes of the map, the true steps.

    Parameters
    ----------
    inputs, values : array (T,) or (T, D)
        The series and its map.
    truth : array of bool, optional
        Same shape.
    """
    rows, maps = (a.reshape(len(a), -1) for a in (inputs, values))
    true = None if truth is None else truth.reshape(len(truth), -1)
    size = np.abs(np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0))
    chosen = sorted(np.argsort(-size.sum(axis=0), kind="stable")[:MOST_LINES].tolist())
    width, time = min(_WIDTH, max(2 * len(rows), 8)), np.arange(len(rows)) + 1.0
    domain = (1.0, float(max(len(rows), 2)))
    lines: list[str] = []
    for sensor in chosen:
        limits = y_range(rows[:, sensor])
        pad = " " * (label_width(limits) + 2)
        if rows.shape[1] > 1:
            lines.append(f"sensor {sensor + 1} of {rows.shape[1]}")
        lines += plot(time, rows[:, sensor], domain=domain, limits=limits, width=width, height=_HEIGHT)
        lines.append(f"{pad}{shade_row(size[:, sensor], width, float(size.max()))}".rstrip())
        if true is not None:
            lines.append(f"{pad}{bar(_runs(true[:, sensor]), domain=domain, width=width)}".rstrip())
    return lines


def shade_row(size: Array, width: int, largest: float) -> str:
    """Magnitudes (T,) as characters from light to dark, each as far to the right as its step is in a plot.

    Of several steps behind one character the largest counts.
    """
    steps = len(size)
    nearest = np.rint((np.arange(width) + 0.5) / width * (steps - 1)).astype(int)
    cells = size[nearest].astype(float)
    np.maximum.at(cells, columns_of(np.arange(steps), 0.0, float(max(steps - 1, 1)), width), size)
    shades = np.ceil(cells / (largest or 1.0) * (len(SHADE_CHARACTERS) - 1) - 1e-9).astype(int)
    return "".join(SHADE_CHARACTERS[k] for k in shades.clip(0, len(SHADE_CHARACTERS) - 1))


def _runs(true: Array) -> tuple[tuple[float, float], ...]:
    """First and last step, counted from 1, of every stretch of true ones (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return tuple((float(a) + 1, float(b)) for a, b in edges.reshape(-1, 2))
