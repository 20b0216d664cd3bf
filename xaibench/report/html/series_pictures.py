"""Series of many sensors with their explanations: a picture of sensors by steps, the truth as an outline."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from xaibench.core.types import Array
from xaibench.report.html.pictures import Picture

AXIS_START, AXIS_WIDTH = 34.0, 330.0
"""Where a figure of a series begins, and the width of its time axis."""
_ROWS = 216.0
_LEAST, _MOST = 4.0, 12.0
"""Height of all sensors together, and of one at least and at most."""


def sensor_picture(colours: Array, truth: Array | None, words: str) -> Markup:
    """A picture with a row per sensor and a column per step, and a line around the truth.

    Parameters
    ----------
    colours : array (T, D, 3) of uint8
    truth : array (T, D) of bool, or None
    words : str
        For those who do not see it.
    """
    steps, sensors = colours.shape[:2]
    row = min(max(_ROWS / sensors, _LEAST), _MOST)
    high = row * sensors
    strip = Picture("", "", "", np.swapaxes(colours, 0, 1)).uri
    image = Markup('<image x="{:g}" y="2" width="{:g}" height="{:g}" preserveAspectRatio="none" href="{}"/>')
    parts = [image.format(AXIS_START, AXIS_WIDTH, high, strip)]
    frame = Markup('<rect x="{:g}" y="2" width="{:g}" height="{:g}" class="frame"/>')
    parts.append(frame.format(AXIS_START, AXIS_WIDTH, high))
    if truth is not None and truth.any():
        drawn = outline(truth, AXIS_WIDTH / steps, row)
        path = Markup('<path d="{}" transform="translate({:g} 2)" class="{}"/>')
        parts += [path.format(drawn, AXIS_START, kind) for kind in ("halo", "outline")]
    text = Markup('<text x="{:g}" y="{:g}" class="{}">{}</text>')
    labels = [(AXIS_START - 3, 11.0, "end", "1"), (AXIS_START - 3, high + 2, "end", str(sensors))]
    labels += [(AXIS_START, high + 14, "start", "1"), (AXIS_START + AXIS_WIDTH, high + 14, "end", f"step {steps}")]
    parts += [text.format(*label) for label in labels]
    middle = 2 + high / 2
    turned = Markup('<text x="{0:g}" y="{1:g}" class="middle" transform="rotate(-90 {0:g} {1:g})">sensor</text>')
    parts.append(turned.format(AXIS_START - 8, middle))
    head = Markup('<svg class="series" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">')
    return Markup("").join([head.format(AXIS_START + AXIS_WIDTH + 4, high + 18, words), *parts, Markup("</svg>")])


def outline(truth: Array, wide: float, high: float) -> str:
    """The border of what is true, as an SVG path: steps to the right, sensors downwards.

    Parameters
    ----------
    truth : array (T, D) of bool
    wide, high : float
        Size of a cell.

    Examples
    --------
    >>> import numpy as np
    >>> outline(np.array([[True]]), 2, 3)
    'M0 0h2M0 3h2M0 0v3M2 0v3'
    """
    cells = np.pad(truth.T, 1)
    across, down = cells[1:] != cells[:-1], cells[:, 1:] != cells[:, :-1]
    lines = [f"M{a * wide:g} {k * high:g}h{(b - a) * wide:g}" for k, a, b in _stretches(across[:, 1:-1])]
    lines += [f"M{k * wide:g} {a * high:g}v{(b - a) * high:g}" for k, a, b in _stretches(down[1:-1].T)]
    return "".join(lines)


def _stretches(borders: Array) -> list[tuple[int, int, int]]:
    """Line, start and stop of every stretch of true ones in the rows (lines, length)."""
    padded = np.pad(borders.astype(np.int8), ((0, 0), (1, 1)))
    change = np.diff(padded, axis=1)
    starts, stops = np.argwhere(change == 1), np.argwhere(change == -1)
    return [(int(k), int(a), int(b)) for (k, a), (_, b) in zip(starts, stops, strict=True)]
