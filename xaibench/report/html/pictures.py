"""Inputs, truths and explanations as pictures: small PNGs for the page, panels for figures."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from xaibench.core.types import Array
from xaibench.report.html.content import Gallery, Instance, Map
from xaibench.report.html.figures import INK, common_style, short
from xaibench.report.labels import number

SIGNED_PALETTE, UNSIGNED = "RdBu_r", "Purples"
"""Palettes: signed maps turn at 0, from blue (against) over white to red (for); unsigned ones start at 0."""
_GREY, _PALE = 0.55, 0.93
FLAT = frozenset({"table", "tokens"})
"""Features in a line: shown as strips below each other, not as pictures."""


@dataclass(frozen=True)
class Picture:
    """A picture with what it says: ``title``, a line below, and a text for those who do not see it."""

    title: str
    below: str
    alt: str
    rgb: Array

    def height(self, width: int) -> int:
        """Height that goes with a width on the page."""
        return max(1, round(width * int(self.rgb.shape[0]) / int(self.rgb.shape[1])))

    @property
    def uri(self) -> str:
        """The picture as a PNG in a data URI, by the shorter of its two encodings."""
        image = Image.fromarray(self.rgb)
        ways = [image, image.quantize(256, dither=Image.Dither.NONE)] if image.width * image.height > 600 else [image]
        encoded = [_png(way) for way in ways]
        return "data:image/png;base64," + base64.b64encode(min(encoded, key=len)).decode("ascii")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def is_signed(values: Array, kind: str) -> bool:
    """Whether a map turns at 0: an explainer that calls itself unsigned and is not must not lose its signs."""
    return kind != "saliency" or bool((values[np.isfinite(values)] < 0).any())


def heat(values: Array, kind: str) -> tuple[Array, str]:
    """Colours (H, W, 3) of a map (H, W), uint8, and its scale in words.

    Numbers that are not finite are grey; a map that says the same of every feature is pale, for it points at nothing.
    """
    finite = np.isfinite(values)
    reach = float(np.abs(values[finite]).max()) if finite.any() else 0.0
    if reach and finite.all() and values.size > 1 and np.ptp(values) == 0:
        same = f"{number(float(values.flat[0]), 2)} everywhere"
        return _bytes(np.full((*values.shape, 3), _PALE)), same
    shown = np.where(finite, values, 0.0) / (reach or 1.0)
    signed = is_signed(values, kind)
    colours = mpl.colormaps[SIGNED_PALETTE if signed else UNSIGNED](shown / 2 + 0.5 if signed else shown)[..., :3]
    colours[~finite] = _GREY
    scale = ("±" if signed else "0 to ") + (number(reach, 2) or "0")
    return _bytes(colours), scale if finite.all() else f"{scale}, grey: not finite"


def grey(values: Array) -> Array:
    """Colours (H, W, 3) of numbers (H, W), dark to light."""
    low, high = float(values.min()), float(values.max())
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    return _bytes(np.repeat(((values - low) / ((high - low) or 1.0))[..., None], 3, axis=-1))


def _bytes(colours: Array) -> Array:
    result: Array = (np.clip(colours, 0, 1) * 255).round().astype(np.uint8)
    return result


def plane(values: Array, features: str) -> Array:
    """Feature values as rows and columns (H, W): time runs to the right, tables and tokens are one row.

    The slices of a volume stand side by side.
    """
    if features == "volume":
        slices = values.mean(axis=0) if values.ndim == 4 else values
        return np.concatenate(list(slices), axis=1)
    if features == "series" and values.ndim == 2:
        return values.T
    return values if values.ndim == 2 else values.reshape(1, -1)


def input_picture(instance: Instance, features: str) -> Picture:
    """What was explained."""
    inputs = instance.inputs
    if features == "image" and inputs.ndim == 3:
        image = np.moveaxis(inputs, 0, -1)
        low, high = float(image.min()), float(image.max())
        low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
        scaled = (image - low) / ((high - low) or 1.0)
        rgb = _bytes(scaled if image.shape[-1] == 3 else np.repeat(scaled.mean(-1, keepdims=True), 3, axis=-1))
    else:
        rgb = grey(plane(inputs, features))
    return Picture("input", instance.target, f"Input, {instance.target}", rgb)


def truth_picture(instance: Instance, features: str) -> Picture | None:
    """What is known to matter, None where nothing is."""
    truth = instance.truth
    if truth is None:
        return None
    if truth.dtype == np.bool_:
        rgb = np.where(plane(truth, features)[..., None], np.uint8(30), np.uint8(235)).repeat(3, axis=-1)
        return Picture("truth", "dark: matters", f"Truth: {int(truth.sum())} of {truth.size} features matter", rgb)
    rgb, scale = heat(plane(truth, features), "slope")
    return Picture("truth", scale, f"Truth: weights, {_largest(truth)}", rgb)


def map_picture(found: Map, features: str, *, scored: bool = True) -> Picture:
    """An explanation, with its score where maps are scored."""
    rgb, scale = heat(plane(found.values, features), found.kind)
    score = f"score {number(found.score)}" if np.isfinite(found.score) else "score undefined"
    said = [score] if scored else []
    alt = f"{found.label}: {', '.join([*said, _largest(found.values)])}"
    return Picture(found.label, "; ".join([*said, scale]), alt, rgb)


def _largest(values: Array) -> str:
    if not np.isfinite(values).any():
        return "nothing finite"
    at = np.unravel_index(int(np.nanargmax(np.where(np.isfinite(values), np.abs(values), np.nan))), values.shape)
    place = ", ".join(str(int(i) + 1) for i in at)
    return f"largest at {'feature' if len(at) == 1 else 'row, column'} {place} ({number(float(values[at]), 2)})"


def pictures(gallery: Gallery, instance: Instance) -> list[Picture]:
    """Input, truth and all maps of one sample of a gallery."""
    features = gallery.features
    truth = truth_picture(instance, features)
    maps = [map_picture(m, features, scored=bool(gallery.metric)) for m in instance.maps]
    return [input_picture(instance, features), *([truth] if truth else []), *maps]


@common_style
def montage(gallery: Gallery) -> Figure:
    """All pictures of a gallery, one row of panels per sample."""
    rows = [pictures(gallery, instance) for instance in gallery.instances]
    across = min(8, max(map(len, rows)))
    per = [-(-len(row) // across) for row in rows]
    figure = Figure(figsize=(1.25 * across, 1.62 * sum(per)), layout="constrained")
    axes = figure.subplots(sum(per), across, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    top = 0
    for instance, row, height in zip(gallery.instances, rows, per, strict=True):
        for axis, picture in zip(axes[top : top + height].ravel(), row, strict=False):
            axis.imshow(picture.rgb, interpolation="nearest", aspect="equal")
            axis.set_title(f"{short(picture.title, 20)}\n{short(picture.below)}", fontsize=5.5, loc="center")
        axes[top, 0].text(
            0, -0.14, short(instance.reason, 90), transform=axes[top, 0].transAxes, fontsize=5.5, color=INK
        )
        top += height
    return figure


@common_style
def strips(gallery: Gallery, instance: Instance) -> Figure:
    """One sample with its features in a line: input, truth and maps below each other."""
    rows = pictures(gallery, instance)
    n = rows[0].rgb.shape[1]
    titles, scales = [short(r.title) for r in rows], [short(r.below, 40) for r in rows]
    named = len(gallery.feature_names) == n and n <= 40
    names = [short(name) for name in gallery.feature_names] if named else []
    width = 0.4 + 0.062 * max(map(len, titles)) + 0.055 * max(map(len, scales)) + max(0.2 * n, 3)
    height = 0.5 + 0.17 * len(rows) + 0.055 * max(map(len, names), default=0)
    figure = Figure(figsize=(min(width, 12), height), layout="constrained")
    axis = figure.subplots()
    axis.imshow(np.concatenate([r.rgb for r in rows]), interpolation="nearest", aspect="auto")
    axis.set_yticks(range(len(rows)), titles, fontsize=7)
    right = axis.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), scales, fontsize=6)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    if not named:
        axis.set_xlabel(f"{n} features, in their order", fontsize=7)
    for side in (axis, right):
        side.spines[:].set_visible(False)
        side.tick_params(length=0)
    axis.hlines(np.arange(1, len(rows)) - 0.5, -0.5, n - 0.5, color="#ffffff", linewidth=1)
    return figure


def is_flat(gallery: Gallery) -> bool:
    """Whether the features of a gallery stand in a line."""
    shapes: list[tuple[Any, ...]] = [m.values.shape for i in gallery.instances for m in i.maps]
    return gallery.features in FLAT or any(len(shape) == 1 for shape in shapes)
