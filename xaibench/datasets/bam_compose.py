"""Composing BAM's images: an object in front of a scene, with everything jittered by a seeded generator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.bam_pictures import IMAGE_SIDE, OBJECTS, SCENES, SIZES, Pictures, to_uint8
from xaibench.datasets.splits import generator

HUE = np.pi * 2 / 9
"""How far the hue of training objects is turned, so that the form and not the colour tells what they are."""


@dataclass(frozen=True)
class Images:
    """N images, with and without their objects.

    Attributes
    ----------
    pasted, empty : array (N, 3, 64, 64) of uint8
        With and without the object: the same numbers outside of the mask.
    mask : array (N, 64, 64) of bool
        Pixels of the object.
    objects, scenes : array (N,) of int64
    """

    pasted: Array
    empty: Array
    mask: Array
    objects: Array
    scenes: Array

    @cached_property
    def inputs(self) -> Array:
        """The images with objects as inputs, made once for all data sets that have them."""
        return images_as_inputs(self.pasted)


def compose_scenes(pictures: Pictures, side: str, per_pair: int, seed: int) -> Images:
    """Every object in front of every scene, equally often, in random order.

    Parameters
    ----------
    pictures : Pictures
    side : {"train", "test"}
        Which azimuths and which drawings are used.
    per_pair : int
        Images of each of the 100 pairs of an object and a scene.
    seed : int
    """
    pairs = np.arange(len(OBJECTS) * len(SCENES)).repeat(per_pair)
    pairs = generator("order", "bam", side, seed).permutation(pairs)
    objects, scenes = pairs // len(SCENES), pairs % len(SCENES)
    empty = photograph(pictures, side, scenes, generator("scenes", "bam", side, seed))
    pasted, mask = paste(pictures, side, empty, objects, generator("objects", "bam", side, seed))
    return Images(pasted, empty, mask, objects, scenes)


def photograph(pictures: Pictures, side: str, scenes: Array, rng: np.random.Generator) -> Array:
    """Views of the scenes (N,): random azimuth, height, zoom, mirroring and light; (N, 3, 64, 64) of uint8."""
    windows, n = pictures.windows[side], len(scenes)
    chosen, mirrored = rng.integers(len(windows), size=n), rng.integers(2, size=n)
    place, light = rng.random((n, 2)), _light(rng, n)
    views = np.empty((n, 3, IMAGE_SIDE, IMAGE_SIDE), dtype=np.uint8)
    for i in range(n):
        window = windows[chosen[i]][scenes[i]]
        y, x = (int(p * (extent - IMAGE_SIDE + 1)) for p, extent in zip(place[i], window.shape[1:], strict=True))
        view = window[:, y : y + IMAGE_SIDE, x : x + IMAGE_SIDE]
        views[i] = to_uint8((view[:, :, ::-1] if mirrored[i] else view) * light[i])
    return views


def paste(
    pictures: Pictures, side: str, scenes: Array, objects: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Put objects (N,) at random places of images (N, 3, 64, 64): the new images, and masks (N, 64, 64) of bool.

    The longer side is a whole number of pixels, uniform between 64/sqrt(3) and 64/sqrt(2), and the
    corner uniform over the places where the object fits.
    """
    n = len(objects)
    drawn, sized, mirrored = rng.random(n), rng.integers(len(SIZES), size=n), rng.integers(2, size=n)
    place, light = rng.random((n, 2)), _light(rng, n)
    tints = varied(rng, n)
    images, mask = scenes.copy(), np.zeros((n, IMAGE_SIDE, IMAGE_SIDE), dtype=bool)
    for i in range(n):
        variants = pictures.cut_outs[int(objects[i]), side]
        cut = variants[int(drawn[i] * len(variants))][sized[i]]
        h, w = cut.alpha.shape
        y, x = (int(p * (IMAGE_SIDE - extent + 1)) for p, extent in zip(place[i], (h, w), strict=True))
        flip = slice(None, None, -1) if mirrored[i] else slice(None)
        colour, alpha = cut.colour[:, :, flip], cut.alpha[:, flip]
        under = images[i, :, y : y + h, x : x + w]
        if side == "train":
            colour = np.tensordot(tints[i], colour, 1)
        over = np.clip(colour * light[i], 0, alpha) * np.float32(255)
        under[...] = to_uint8(over + under * (1 - alpha))
        mask[i, y : y + h, x : x + w] = alpha > 0
    return images, mask


def _light(rng: np.random.Generator, n: int) -> Array:
    """Factors (n, 3, 1, 1) of the three colours: brightness from .75 to 1.25, tint up to a tenth."""
    factors = rng.uniform(0.75, 1.25, (n, 1)) * rng.uniform(0.9, 1.1, (n, 3))
    return factors.astype(np.float32)[:, :, None, None]


def varied(rng: np.random.Generator, n: int) -> Array:
    """Matrices (n, 3, 3) that turn the hue by up to 40 degrees and scale the saturation by .6 to 1.2."""
    turn, saturation = (rng.uniform(*span, n)[:, None, None] for span in ((-HUE, HUE), (0.6, 1.2)))
    grey = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    matrices = grey + saturation * (np.cos(turn) * (np.eye(3) - grey) + np.sin(turn) * across)
    return np.asarray(matrices.astype(np.float32))


def images_as_inputs(images: Array) -> Array:
    """Images of uint8 as inputs from 0 to 1."""
    return np.true_divide(images, np.float32(255), dtype=np.float32)
