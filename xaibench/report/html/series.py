"""Series with their explanations: the line of every sensor, the map behind it, the truth below; many as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from xaibench.core.types import Array
from xaibench.report.html.content import Gallery, Instance, Map
from xaibench.report.html.pictures import Picture, grey, heat, map_picture
from xaibench.report.html.series_pictures import AXIS_START, AXIS_WIDTH, sensor_picture
from xaibench.report.labels import number

MOST_SENSORS = 8
"""Sensors that are drawn as lines; series of more are pictures, with a row per sensor."""
_GAP, _BAR = 6.0, 3.5


@dataclass(frozen=True)
class SeriesFigure:
    """A map over a series: what it is called, what is said below, in words for those who do not see it, and drawn."""

    title: str
    below: str
    alt: str
    svg: Markup


def is_drawn_as_lines(gallery: Gallery) -> bool:
    """Whether the samples of a gallery are series of more than one step."""
    return gallery.features == "series" and all(len(i.inputs) > 1 for i in gallery.instances)


def series_figures(gallery: Gallery, instance: Instance) -> list[SeriesFigure]:
    """A figure per explainer of one sample: lines over its map.

    Of more sensors than `MOST_SENSORS` the maps are pictures, and the series is the first one.
    """
    shown = [(found, map_picture(found, "series", scored=bool(gallery.metric))) for found in instance.maps]
    if are_pictures(instance):
        return [_input_picture(instance), *(_picture(instance, found, picture) for found, picture in shown)]
    return [_figure(instance, found, picture) for found, picture in shown]


def are_pictures(instance: Instance) -> bool:
    """Whether a series has too many sensors for lines."""
    return int(by_sensor(instance.inputs).shape[1]) > MOST_SENSORS


def _true_cells(instance: Instance) -> Array | None:
    return None if instance.truth is None else by_sensor(instance.truth).astype(bool)


def _input_picture(instance: Instance) -> SeriesFigure:
    """Every sensor on a scale of its own, from its smallest number (dark) to its largest."""
    inputs = by_sensor(instance.inputs)
    low, high = (f(inputs, axis=0, keepdims=True) for f in (np.nanmin, np.nanmax))
    scaled = np.nan_to_num((inputs - low) / np.where(high > low, high - low, 1.0))
    words = f"the series: {inputs.shape[1]} sensors of {len(inputs)} steps"
    return SeriesFigure(
        "input", "dark to light: each sensor from its least to its largest number", words,
        sensor_picture(grey(scaled), _true_cells(instance), words),
    )  # fmt: skip


def _picture(instance: Instance, found: Map, picture: Picture) -> SeriesFigure:
    colours, _ = heat(by_sensor(found.values), found.kind)
    words = _in_words(found, picture.title)
    return SeriesFigure(picture.title, picture.below, words, sensor_picture(colours, _true_cells(instance), words))


def by_sensor(values: Array) -> Array:
    """Values (T,) or (T, D) as (T, D)."""
    return values.reshape(len(values), -1)


def _row_height(n_sensors: int) -> float:
    """A single line is drawn high, many are low."""
    return {1: 64.0, 2: 46.0, 3: 46.0}.get(n_sensors, 32.0)


def _figure(instance: Instance, found: Map, picture: Picture) -> SeriesFigure:
    inputs, truth = by_sensor(instance.inputs), _true_cells(instance)
    filled = None if instance.filled is None else by_sensor(instance.filled)
    # Of all sensors together, so that the colours of one figure have one scale.
    colours, _ = heat(by_sensor(found.values), found.kind)
    sensors = inputs.shape[1]
    row = _row_height(sensors)
    rows = [
        _row(k * (row + _GAP), row, lines, colours[:, k], None if truth is None else truth[:, k], k)
        for k, lines in enumerate([inputs[:, k], *([] if filled is None else [filled[:, k]])] for k in range(sensors))
    ]
    height = sensors * (row + _GAP) + 15.0
    head = Markup('<svg class="series" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">')
    words = _in_words(found, picture.title)
    parts = [
        head.format(AXIS_START + AXIS_WIDTH + 4, height, words),
        *rows,
        _axis(len(inputs), height),
        Markup("</svg>"),
    ]
    return SeriesFigure(picture.title, picture.below, words, Markup("").join(parts))


def _row(top: float, row: float, lines: Sequence[Array], colours: Array, truth: Array | None, sensor: int) -> Markup:
    """One sensor: its line, and a second one for what a masker would put there."""
    steps = len(lines[0])
    wide = AXIS_WIDTH / steps
    strip = Picture("", "", "", colours[None]).uri
    image = Markup('<image x="{:g}" y="{:g}" width="{:g}" height="{:g}" preserveAspectRatio="none" href="{}"/>')
    parts = [image.format(AXIS_START, top, AXIS_WIDTH, row, strip)]
    finite = np.concatenate([line[np.isfinite(line)] for line in lines])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    for line, kinds in reversed(list(zip(lines, (("halo", "line"), ("filled",)), strict=False))):
        at = np.where(np.isfinite(line) & (high > low), (line - low) / ((high - low) or 1.0), 0.5)
        points = " ".join(
            f"{AXIS_START + (t + 0.5) * wide:.1f},{top + 2 + (row - 4) * (1 - v):.1f}"
            for t, v in enumerate(at.tolist())
        )
        parts += [Markup('<polyline points="{}" class="{}"/>').format(points, kind) for kind in kinds]
    for value, y in ((high, top + 9), (low, top + row)):
        parts.append(
            Markup('<text x="{:g}" y="{:g}" class="end">{}</text>').format(AXIS_START - 3, y, number(value, 2))
        )
    for start, stop in [] if truth is None else _runs(truth):
        if truth is not None and truth[start]:
            bar = Markup('<rect x="{:.2f}" y="{:g}" width="{:.2f}" height="{:g}" class="truth"/>')
            parts.append(bar.format(AXIS_START + start * wide, top + row + 1, (stop - start) * wide, _BAR))
    parts.append(Markup("<title>sensor {}</title>").format(sensor + 1))
    return Markup("<g>{}</g>").format(Markup("").join(parts))


def _axis(steps: int, height: float) -> Markup:
    ends = ((AXIS_START, "start", "1"), (AXIS_START + AXIS_WIDTH, "end", f"step {steps}"))
    texts = [Markup('<text x="{:g}" y="{:g}" class="{}">{}</text>').format(x, height - 4, a, t) for x, a, t in ends]
    return Markup("").join(texts)


def _runs(values: Array) -> list[tuple[int, int]]:
    """Stretches (start, stop) of equal values."""
    flat = values.reshape(len(values), -1)
    starts = [0, *(np.flatnonzero((flat[1:] != flat[:-1]).any(axis=1)) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(values)], strict=True))


def _in_words(found: Map, title: str) -> str:
    """Where a map is largest, in words: the strongest steps, and their sensors where there are several."""
    values = by_sensor(found.values)
    size = np.abs(np.where(np.isfinite(values), values, 0.0))
    if not size.any():
        return f"{title}: 0 everywhere"
    order = np.argsort(-size.ravel(), kind="stable")[:5]
    places = [divmod(int(i), values.shape[1]) for i in order]
    said = [f"step {t + 1}" + (f" of sensor {d + 1}" if values.shape[1] > 1 else "") for t, d in places]
    return f"{title}: largest at {', '.join(said)}"
