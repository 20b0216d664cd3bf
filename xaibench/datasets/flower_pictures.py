"""Drawing flowers of four parts: exact masks, and any part in another colour with all else as it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.splits import generator

FLOWER_SIDE = 48
"""Pixels along each side of an image."""
FLOWER_PARTS = ("petals", "disc", "stem", "leaves")
"""Parts, in the order of their numbers."""
NEUTRAL_HUES = (40.0, 200.0)
"""Degrees between which a part says nothing."""
SIGNAL_HUES = (0.0, 280.0)
"""Degrees of the two signals, each with `SIGNAL_SPREAD` to either side."""
SIGNAL_SPREAD = 12.0
BACKGROUND_NOISE = 0.10
PIXEL_NOISE = 0.06


@dataclass(frozen=True)
class Flowers:
    """N flowers, all but the hues of their parts: these are what labels are about, and what interventions change.

    Attributes
    ----------
    parts : array (N, 48, 48) of int8
        Number of the part that is seen at each pixel; -1 for the background.
    shades : array (N, 4, 2), float32
        Saturation and value of each part.
    backgrounds : array (N, 3, 48, 48), float32
        Before the noise of pixels.
    noise : array (N, 3, 48, 48), float32
        Noise of pixels, over everything; the same however the parts are coloured.
    """

    parts: Array
    shades: Array
    backgrounds: Array
    noise: Array

    def __len__(self) -> int:
        return len(self.parts)

    def mask(self, part: str) -> Array:
        """Pixels of a part (N, 48, 48) of bool."""
        found: Array = self.parts == FLOWER_PARTS.index(part)
        return found

    def drawn(self, hues: Array) -> Array:
        """The images (N, 3, 48, 48), float32 from 0 to 1, with these hues (N, 4) in degrees."""
        found: Array = np.clip(self.without_noise(hues) + self.noise, 0, 1).astype(np.float32)
        return found

    def without_noise(self, hues: Array) -> Array:
        """The same without the noise of pixels."""
        colours = hsv_to_rgb(hues, self.shades[:, :, 0], self.shades[:, :, 1])
        images = self.backgrounds.copy()
        for part in range(len(FLOWER_PARTS)):
            images = np.where((self.parts == part)[:, None], colours[:, part, :, None, None], images)
        return images


def grow_flowers(n: int, *names: object) -> Flowers:
    """Draw ``n`` flowers; number i depends on the names and i alone."""
    parts = np.empty((n, FLOWER_SIDE, FLOWER_SIDE), dtype=np.int8)
    shades = np.empty((n, len(FLOWER_PARTS), 2), dtype=np.float32)
    backgrounds = np.empty((n, 3, FLOWER_SIDE, FLOWER_SIDE), dtype=np.float32)
    noise = np.empty_like(backgrounds)
    for i in range(n):
        rng = generator("flower", *names, i)
        parts[i] = _shape(rng)
        shades[i] = rng.uniform(0.55, 0.95, (len(FLOWER_PARTS), 2))
        # A stem and its leaves are one green, or whatever their hue is.
        shades[i, FLOWER_PARTS.index("leaves")] = shades[i, FLOWER_PARTS.index("stem")]
        backgrounds[i] = _background(rng)
        noise[i] = PIXEL_NOISE * rng.standard_normal((3, FLOWER_SIDE, FLOWER_SIDE))
    return Flowers(parts, shades, backgrounds, noise)


def hsv_to_rgb(hues: Array, saturation: Array, value: Array) -> Array:
    """Colours (..., 3), float32, of hues in degrees, saturations and values from 0 to 1."""
    sector = hues[..., None] / 60 + np.array([0.0, 4.0, 2.0])
    ramp = np.clip(np.abs(sector % 6 - 3) - 1, 0, 1)
    found: Array = (value[..., None] * (1 - saturation[..., None] * (1 - ramp))).astype(np.float32)
    return found


def _shape(rng: np.random.Generator) -> Array:
    """Number of the part at each pixel (48, 48); coordinates are shares of the side, downwards and to the right."""
    at = (np.arange(FLOWER_SIDE) + 0.5) / FLOWER_SIDE
    y, x = np.meshgrid(at, at, indexing="ij")
    centre_x, centre_y = rng.uniform(0.38, 0.62), rng.uniform(0.30, 0.42)
    radius = rng.uniform(0.20, 0.27)
    disc = radius * rng.uniform(0.36, 0.46)
    count, turn, depth = int(rng.integers(5, 9)), rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.5)
    distance = np.hypot(x - centre_x, y - centre_y)
    angle = np.arctan2(y - centre_y, x - centre_x)
    edge = radius * (1 - depth * (1 - np.abs(np.cos(count * angle / 2 + turn))))
    # Along the stem u goes from 0 at the centre of the flower to 1 at the lower border.
    bend, width = rng.uniform(-0.12, 0.12), rng.uniform(0.03, 0.045)
    u = (y - centre_y) / (1 - centre_y)
    found = np.full((FLOWER_SIDE, FLOWER_SIDE), -1, dtype=np.int8)
    for to_side in (-1, 1):
        along, length = rng.uniform(0.45, 0.75), rng.uniform(0.10, 0.14)
        leaf_x = centre_x + bend * along**2 + to_side * length
        leaf_y = centre_y + along * (1 - centre_y)
        inside = ((x - leaf_x) / length) ** 2 + ((y - leaf_y) / (0.4 * length)) ** 2 <= 1
        found[inside] = FLOWER_PARTS.index("leaves")
    found[(u >= 0) & (np.abs(x - (centre_x + bend * u**2)) <= width)] = FLOWER_PARTS.index("stem")
    found[distance <= edge] = FLOWER_PARTS.index("petals")
    found[distance <= disc] = FLOWER_PARTS.index("disc")
    return found


def _background(rng: np.random.Generator) -> Array:
    """A pale colour with soft noise (3, 48, 48)."""
    hue, saturation, value = rng.uniform(0, 360), rng.uniform(0, 0.15), rng.uniform(0.3, 0.7)
    colour = hsv_to_rgb(np.array(hue), np.array(saturation), np.array(value))
    coarse = BACKGROUND_NOISE * rng.standard_normal((6, 6))
    found: Array = (colour[:, None, None] + _enlarged(coarse)).astype(np.float32)
    return found


def _enlarged(coarse: Array) -> Array:
    """A square grid enlarged bilinearly to the side of an image."""
    at = np.linspace(0, len(coarse) - 1, FLOWER_SIDE)
    low = np.minimum(at.astype(int), len(coarse) - 2)
    share = at - low
    weights = np.zeros((FLOWER_SIDE, len(coarse)))
    rows = np.arange(FLOWER_SIDE)
    weights[rows, low], weights[rows, low + 1] = 1 - share, share
    found: Array = weights @ coarse @ weights.T
    return found
