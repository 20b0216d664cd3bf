"""Drawing pictures of five chosen factors from the shipped pictures of BAM."""

from __future__ import annotations

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.bam_pictures import IMAGE_SIDE, TILTS, load_pictures, to_uint8

_STRAIGHT = TILTS.index(0)
_WINDOW = 1
"""Which of the zooms and parts of a panorama is the background."""


def draw_pictures(specs: Array) -> Array:
    """Pictures (n, 3, 64, 64) of uint8 for choices (n, 5) of object, scene, style, hue and place."""
    found = np.empty((len(specs), 3, IMAGE_SIDE, IMAGE_SIDE), dtype=np.uint8)
    for image, spec in zip(found, np.asarray(specs), strict=True):
        image[...] = _draw(*(int(value) for value in spec))
    return found


def _draw(thing: int, scene: int, style: int, hue: int, place: int) -> Array:
    pictures = load_pictures()
    window = pictures.windows["train"][_WINDOW][scene]
    image = window[:, :IMAGE_SIDE, :IMAGE_SIDE].astype(np.float32)
    drawings = pictures.cut_outs[thing, "train"] if style < 2 else pictures.cut_outs[thing, "test"]
    cut = drawings[style * len(TILTS) + _STRAIGHT if style < 2 else 0][0]
    colour = np.tensordot(_turned(hue * np.pi / 2), cut.colour, 1)
    h, w = cut.alpha.shape
    y, x = (place // 2) * (IMAGE_SIDE - h), (place % 2) * (IMAGE_SIDE - w)
    under = image[:, y : y + h, x : x + w]
    under[...] = np.clip(colour, 0, cut.alpha) * 255 + under * (1 - cut.alpha)
    return to_uint8(image)


def _turned(angle: float) -> Array:
    """Matrix (3, 3) that turns the hue of a colour and leaves grey as it is."""
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    grey = np.full((3, 3), 1 / 3)
    found: Array = grey + np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * across
    return found.astype(np.float32)
