"""The shipped pictures of BAM as arrays: scenes at several zooms, split by azimuth, and drawings at every size."""

from __future__ import annotations

import functools
import io
import math
from dataclasses import dataclass

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.cards import read_shipped

SCENES = ("apartment", "bridge", "city", "dawn", "forest", "hall", "lab", "lobby", "park", "workshop")
OBJECTS = ("backpack", "bird", "dog", "elephant", "kite", "pizza", "stop_sign", "toilet", "truck", "zebra")
DRAWING_STYLES = ("noto", "fluent-emoji-flat", "fluent-emoji")
"""Drawing styles; the last one is for testing."""
BAND = 96
"""Height of the shipped panoramas."""
WIDTH = 512
IMAGE_SIDE = 64
SPRITE_SIDE = 64
"""Side of the shipped drawings' cells."""
ZOOMS = (56, 64, 72, 80)
"""Side of the part of a panorama that becomes an image of 64x64: a field of view of 39 to 56 degrees."""
WINDOWS = {"train": ((192, 176), (448, 176)), "test": ((112, 80), (368, 80))}
"""First column and width of the parts of the panoramas, which wrap around."""
SIZES = range(math.ceil(IMAGE_SIDE / math.sqrt(3)), math.floor(IMAGE_SIDE / math.sqrt(2)) + 1)
"""Longer sides of the pasted objects, in pixels (Yang & Kim 2019)."""

TILTS = (-30, -15, 0, 15, 30)
"""Degrees by which training objects are turned."""


@dataclass(frozen=True)
class Glyph:
    """A drawing: what it shows, its style, its icon's name, and its cell of the shipped sheet."""

    label: str
    style: str
    icon: str
    row: int
    column: int


GLYPHS = tuple(
    Glyph(label, style, label.replace("_", "-").replace("truck", "delivery-truck"), row, column)
    for row, label in enumerate(OBJECTS)
    for column, style in enumerate(DRAWING_STYLES)
)


@dataclass(frozen=True)
class CutOut:
    """A drawing at one size.

    Attributes
    ----------
    colour : array (3, h, w) of float32
        From 0 to 1, already multiplied with alpha.
    alpha : array (h, w) of float32
        From 0 to 1, and 0 exactly where nothing is drawn.
    """

    colour: Array
    alpha: Array


@dataclass(frozen=True)
class Pictures:
    """What images are composed of.

    Attributes
    ----------
    windows : mapping of {"train", "test"} to tuple of array (10, 3, h, w) of uint8
        Parts of all ten scenes, at every zoom.
    cut_outs : mapping of (object, {"train", "test"}) to tuple of tuple of CutOut
        For every drawing and tilt of the object, one cut-out per size.
    """

    windows: dict[str, tuple[Array, ...]]
    cut_outs: dict[tuple[int, str], tuple[tuple[CutOut, ...], ...]]


def load_pictures() -> Pictures:
    """The shipped pictures, verified against their card at every call and decoded at the first."""
    return _decode(read_shipped("bam", "scenes.png"), read_shipped("bam", "objects.png"))


@functools.lru_cache(maxsize=1)
def _decode(scenes: bytes, objects: bytes) -> Pictures:
    from skimage.io import imread

    bands = imread(io.BytesIO(scenes)).reshape(len(SCENES), BAND, WIDTH, 3).transpose(0, 3, 1, 2)
    windows: dict[str, tuple[Array, ...]] = {}
    for side, parts in WINDOWS.items():
        cut = [np.take(bands, np.arange(first, first + width) % WIDTH, axis=3) for first, width in parts]
        windows[side] = tuple(
            to_uint8(zoomed(part.astype(np.float32), IMAGE_SIDE / zoom)) for zoom in ZOOMS for part in cut
        )
    sheet = imread(io.BytesIO(objects)).astype(np.float32) / 255
    cut_outs: dict[tuple[int, str], tuple[tuple[CutOut, ...], ...]] = {}
    for glyph in GLYPHS:
        key = (glyph.row, "test" if glyph.style == DRAWING_STYLES[-1] else "train")
        cell = sheet[glyph.row * SPRITE_SIDE :, glyph.column * SPRITE_SIDE :][:SPRITE_SIDE, :SPRITE_SIDE].transpose(
            2, 0, 1
        )
        cell = np.concatenate([cell[:3] * cell[3], cell[3:]])
        tilts = TILTS if key[1] == "train" else (0,)
        turned = tuple(tuple(cut_out(turn(cell, tilt), size) for size in SIZES) for tilt in tilts)
        cut_outs[key] = (*cut_outs.get(key, ()), *turned)
    return Pictures(windows, cut_outs)


def turn(cell: Array, degrees: float) -> Array:
    """A drawing (4, 64, 64), colours multiplied with alpha, turned about its centre, without empty margins."""
    from scipy.ndimage import rotate

    turned = np.stack([rotate(c, degrees, order=1, reshape=True) for c in cell]) if degrees else cell
    kept = turned[3] > 1 / 8
    return np.asarray(turned[:, kept.any(axis=1)][:, :, kept.any(axis=0)])


def cut_out(drawing: Array, size: int) -> CutOut:
    """A drawing (4, h, w) with its longer side scaled to ``size`` pixels."""
    scaled = zoomed(drawing, size / max(drawing.shape))
    scaled[:, scaled[3] < 1 / 8] = 0
    return CutOut(scaled[:3], scaled[3])


def zoomed(image: Array, scale: float) -> Array:
    """Resize (..., h, w) by averaging over the pixels that each new one covers: (..., round(h * scale), ...)."""
    rows, columns = (_averaging(n, max(round(n * scale), 1)) for n in image.shape[-2:])
    made: Array = rows @ image @ columns.T
    return made


def _averaging(old: int, new: int) -> Array:
    """Weights (new, old) of the old pixels in each new one: how much of it they cover, at least a pixel's reach."""
    step = old / new
    centres = (np.arange(new) + 0.5) * step
    reach = max(step, 1.0) / 2
    low, high = centres[:, None] - reach, centres[:, None] + reach
    edges = np.arange(old)
    overlap = np.clip(np.minimum(high, edges + 1) - np.maximum(low, edges), 0, None)
    weights: Array = (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def to_uint8(values: Array) -> Array:
    """Values from 0 to 255 as uint8."""
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
