"""Series with their explanations: the line of every sensor, the map behind it, the truth below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from xaibench.core.types import Array
from xaibench.report.html.content import Gallery, Instance, Map
from xaibench.report.html.pictures import Picture, heat, map_picture
from xaibench.report.labels import number

MOST_SENSORS = 8
"""Sensors that are drawn as lines, those with the largest mass of the shown maps; more are counted."""
_LEFT, _WIDTH, _GAP, _BAR = 34.0, 330.0, 6.0, 3.5


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
    """A figure per explainer of one sample; all show the same sensors.

    Of more sensors than `MOST_SENSORS`, those with the largest magnitudes in the shown maps and the true ones first, in
    their own order.
    """
    shown = shown_sensors(instance)
    scored = bool(gallery.metric)
    return [_figure(instance, found, shown, map_picture(found, "series", scored=scored)) for found in instance.maps]


def shown_sensors(instance: Instance) -> list[int]:
    """Numbers of the sensors that are drawn, rising."""
    total = by_sensor(instance.inputs).shape[1]
    mass = np.zeros(total)
    for found in instance.maps:
        size = np.abs(np.nan_to_num(by_sensor(found.values), nan=0.0, posinf=0.0, neginf=0.0)).sum(axis=0)
        mass += size / (size.sum() or 1.0)
    if instance.truth is not None:
        mass += by_sensor(instance.truth).any(axis=0) * (mass.sum() + 1)
    largest = np.argsort(-mass, kind="stable")[:MOST_SENSORS]
    return sorted(int(i) for i in largest)


def by_sensor(values: Array) -> Array:
    """Values (T,) or (T, D) as (T, D)."""
    return values.reshape(len(values), -1)


def _row_height(n_sensors: int) -> float:
    """A single line is drawn high, many are low."""
    return {1: 64.0, 2: 46.0, 3: 46.0}.get(n_sensors, 32.0)


def _figure(instance: Instance, found: Map, shown: Sequence[int], picture: Picture) -> SeriesFigure:
    inputs, values = by_sensor(instance.inputs), by_sensor(found.values)
    truth = None if instance.truth is None else by_sensor(instance.truth).astype(bool)
    # Of all sensors together, so that the colours of one figure have one scale.
    colours, _ = heat(values, found.kind)
    row = _row_height(len(shown))
    rows = [
        _row(k * (row + _GAP), row, inputs[:, d], colours[:, d], None if truth is None else truth[:, d], d)
        for k, d in enumerate(shown)
    ]
    left_out = inputs.shape[1] - len(shown)
    height = len(shown) * (row + _GAP) + 15.0
    parts = [*rows, _axis(len(inputs), height)]
    head = Markup('<svg class="series" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">')
    below = picture.below + (f"; {left_out} more sensors not shown" if left_out else "")
    words = _in_words(found, picture.title)
    svg = Markup("").join([head.format(_LEFT + _WIDTH + 4, height, words), *parts, Markup("</svg>")])
    return SeriesFigure(picture.title, below, words, svg)


def _row(top: float, row: float, line: Array, colours: Array, truth: Array | None, sensor: int) -> Markup:
    steps = len(line)
    wide = _WIDTH / steps
    strip = Picture("", "", "", colours[None]).uri
    image = Markup('<image x="{:g}" y="{:g}" width="{:g}" height="{:g}" preserveAspectRatio="none" href="{}"/>')
    parts = [image.format(_LEFT, top, _WIDTH, row, strip)]
    finite = line[np.isfinite(line)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    span = (high - low) or 1.0
    at = np.where(np.isfinite(line), (line - low) / span if high > low else 0.5, 0.5)
    points = " ".join(
        f"{_LEFT + (t + 0.5) * wide:.1f},{top + 2 + (row - 4) * (1 - v):.1f}" for t, v in enumerate(at.tolist())
    )
    parts += [Markup('<polyline points="{}" class="{}"/>').format(points, kind) for kind in ("halo", "line")]
    for value, y in ((high, top + 9), (low, top + row)):
        parts.append(Markup('<text x="{:g}" y="{:g}" class="end">{}</text>').format(_LEFT - 3, y, number(value, 2)))
    for start, stop in [] if truth is None else _runs(truth):
        if truth is not None and truth[start]:
            bar = Markup('<rect x="{:.2f}" y="{:g}" width="{:.2f}" height="{:g}" class="truth"/>')
            parts.append(bar.format(_LEFT + start * wide, top + row + 1, (stop - start) * wide, _BAR))
    parts.append(Markup("<title>sensor {}</title>").format(sensor + 1))
    return Markup("<g>{}</g>").format(Markup("").join(parts))


def _axis(steps: int, height: float) -> Markup:
    ends = ((_LEFT, "start", "1"), (_LEFT + _WIDTH, "end", f"step {steps}"))
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
