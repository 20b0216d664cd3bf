"""Small figures for the page: one SVG per panel, so that they reflow from a wide screen to a phone and stay legible.

Figures for files are drawn by matplotlib (`figures`); one drawing of many panels cannot reflow, and its letters shrink
with the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from xaibench.core.types import Array
from xaibench.report.html.content import Curves, ExplainerCurves
from xaibench.report.html.figures import short
from xaibench.report.labels import number

_DASHES = ("d1", "d2", "d3")
_ALONG = {0.0: "middle", 0.5: "middle", 1.0: "end"}
"""Shares that are written below a curve, and where the text is anchored."""


def _svg(width: float, height: float, parts: Iterable[Markup]) -> Markup:
    head = Markup('<svg class="panel" viewBox="0 0 {:g} {:g}" aria-hidden="true" focusable="false">')
    return Markup("").join([head.format(width, height), *parts, Markup("</svg>")])


def _text(x: float, y: float, text: str, kind: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>').format(x, y, kind, text)


def _path(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline points="{}" class="{}"/>').format(drawn, kind)


def _tick(value: float) -> str:
    """A number at an axis: two decimals where that is short."""
    return f"{value:.2f}" if abs(value) < 100 else number(value, 2)


def curve_range(curves: Curves) -> tuple[float, float]:
    """Lowest and highest value of all mean curves and their intervals; a range of its own where they are all equal."""
    lines = [line for x in curves.lines for line in (x.curve.mean, x.curve.low, x.curve.high)]
    values = np.concatenate(lines)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def curve_panels(curves: Curves) -> list[tuple[str, Markup]]:
    """A panel per explainer, all of one scale: its mean curve with the 95 % band, beside those of random and oracle.

    Returns
    -------
    list of (str, Markup)
        Name of the explainer and its figure, the lowest mean curve first.
    """
    beside = [x for x in curves.lines if x.control]
    own = [x for x in curves.lines if not x.control]
    reach = curve_range(curves)
    return [(line.label, _curve_panel(line, beside, curves.share, reach)) for line in own]


def _curve_panel(
    line: ExplainerCurves, beside: Sequence[ExplainerCurves], share: Array, reach: tuple[float, float]
) -> Markup:
    left, top, width, height = 34.0, 6.0, 160.0, 92.0
    low, high = reach

    def points(values: Array) -> list[tuple[float, float]]:
        at = np.isfinite(values)
        x, y = left + width * share[at], top + height * (1 - (values[at] - low) / (high - low))
        return list(zip(x.tolist(), y.tolist(), strict=True))

    parts = [
        _path([(left, top), (left, top + height), (left + width, top + height)], "axis"),
        *(_text(left - 4, top + height * (1 - k) + 4, _tick(low + k * (high - low)), "end") for k in (0, 1)),
        *(_text(left + width * k, top + height + 14, f"{100 * k:.0f} %", a) for k, a in _ALONG.items()),
    ]
    band = [*points(line.curve.low), *reversed(points(line.curve.high))]
    if band:
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in band)
        parts.append(Markup('<polygon points="{}" class="band"/>').format(drawn))
    parts += [_path(points(x.curve.mean), f"beside {d}") for x, d in zip(beside, _DASHES, strict=False)]
    return _svg(202, 116, [*parts, _path(points(line.curve.mean), "own")])


def drawn_rank_panels(panels: dict[str, pd.DataFrame]) -> list[tuple[str, str, Markup]]:
    """Rank intervals of the explainers, a panel per problem, all of one scale; the axis below says rank.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        Problem to ``label, rank, rank_low, rank_high``, in the order that is drawn.

    Returns
    -------
    list of (str, str, Markup)
        The problem, the panel in words, and its figure.
    """
    longest = max(len(short(label, 24)) for rows in panels.values() for label in rows["label"])
    most = max([2.0, *(float(rows["rank_high"].max()) for rows in panels.values())])
    return [(title, _panel_alt(rows), _rank_panel(rows, longest, most)) for title, rows in panels.items()]


def _rank_panel(rows: pd.DataFrame, longest: int, most: float) -> Markup:
    names = [short(label, 24) for label in rows["label"]]
    left, step, width, top = 8 + 6.4 * longest, 17.0, 150.0, 4.0
    bottom = top + step * len(rows)

    def x(rank: float) -> float:
        return left + width * (rank - 0.5) / most

    ticks = sorted({1, round((1 + most) / 2), round(most)})
    parts = [Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="{1:g}" y2="{2:g}" class="grid"/>').format(x(t), top, bottom)
             for t in ticks]  # fmt: skip
    for i, (name, row) in enumerate(zip(names, rows.to_dict("records"), strict=True)):
        y = top + step * (i + 0.5)
        bar = Markup('<line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}" class="bar"/>')
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" class="dot"/>')
        ends = x(row["rank_low"] - 0.15), x(row["rank_high"] + 0.15)
        parts += [_text(left - 6, y + 4, name, "end"), bar.format(*ends, y, y), dot.format(x(row["rank"]), y)]
    parts += [_text(x(t), bottom + 13, str(t), "middle") for t in ticks]
    parts.append(_text(left + width / 2, bottom + 27, "rank (1 is best)", "middle"))
    return _svg(left + width + 6, bottom + 32, parts)


def _panel_alt(rows: pd.DataFrame) -> str:
    """A rank panel in words."""
    said = [f"{r['label']} {r['rank_low']:.0f} to {r['rank_high']:.0f}" for r in rows.to_dict("records")]
    return f"Rank intervals: {', '.join(said)}"
