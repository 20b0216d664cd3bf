"""Plants for images: a patch, a faint texture, or the tint of the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.types import Array

ImagePlantName = Literal["patch", "texture", "tint"]
LEAST_SIDE = 3
"""Pixels that a patch has at least along each side."""


@dataclass(frozen=True)
class PatchPlant:
    """A square of P x P pixels at a uniform place.

    Attributes
    ----------
    a, b : array (P, P)
        The pixels of both versions.
    contrast : float
        Weight of the plant; the rest is that of the pixels underneath.
    shape : tuple of int
        Of an image: (C, H, W) or (H, W).
    """

    a: Array
    b: Array
    contrast: float
    shape: tuple[int, ...]
    moves: bool = True
    n_draws: int = 2

    def _corners(self, noise: Array) -> tuple[Array, Array]:
        side = len(self.a)
        rows, columns = (
            np.minimum((noise[:, i] * (n - side + 1)).astype(np.int64), n - side) for i, n in enumerate(self.shape[-2:])
        )
        return rows, columns

    def put(self, rows: Array, versions: Array, noise: Array) -> Array:
        """Images (N, *shape) with the plant in the versions (N,) 1, -1 or 0; ``noise`` (N, 2) from U[0, 1)."""
        changed, side = rows.copy(), len(self.a)
        top, left = self._corners(noise)
        for i in np.flatnonzero(versions):
            pixels = self.a if versions[i] > 0 else self.b
            place = (..., slice(top[i], top[i] + side), slice(left[i], left[i] + side))
            changed[i][place] = (1 - self.contrast) * rows[i][place] + self.contrast * pixels
        return changed

    def natural(self, rows: Array) -> Array:
        """Rows (N,) that have a version by themselves: none."""
        return np.zeros(len(rows), dtype=bool)

    def mask(self, rows: Array, noise: Array) -> Array:
        """The truth (N, H, W) of bool."""
        found = np.zeros((len(noise), *self.shape[-2:]), dtype=bool)
        side, (top, left) = len(self.a), self._corners(noise)
        for i in range(len(noise)):
            found[i, top[i] : top[i] + side, left[i] : left[i] + side] = True
        return found


@dataclass(frozen=True)
class TintPlant:
    """A shift of the whole image on one channel; no pixel of a map can show it.

    Attributes
    ----------
    height : float
        What is added in version A, and taken away in version B.
    channel : int
    shape : tuple of int
    """

    height: float
    channel: int
    shape: tuple[int, ...]
    moves: bool = False
    n_draws: int = 1

    def put(self, rows: Array, versions: Array, noise: Array) -> Array:
        """Images (N, *shape) with the plant in the versions (N,) 1, -1 or 0."""
        changed = rows.copy()
        shift = (self.height * versions).astype(rows.dtype)
        if len(self.shape) == 3:
            changed[:, self.channel] += shift[:, None, None]
        else:
            changed += shift[:, None, None]
        return changed

    def natural(self, rows: Array) -> Array:
        """Rows (N,) that have a version by themselves: none."""
        return np.zeros(len(rows), dtype=bool)

    def mask(self, rows: Array, noise: Array) -> Array:
        """All pixels (N, H, W): no smaller unit is the cause, so nothing is ranked."""
        return np.ones((len(noise), *self.shape[-2:]), dtype=bool)


def image_plant(data: Data, plant: ImagePlantName, *, side: int, contrast: float) -> PatchPlant | TintPlant:
    """The plant for images like those of a data set.

    Parameters
    ----------
    data : Data
    plant : {"patch", "texture", "tint"}
        A checker or stripes; gratings of 0 or 90 degrees over a quarter of the side; or one channel shifted.
    side : int
        Side of the square in pixels; 0: an eighth of the image's, at least 3, for a texture a quarter.
    contrast : float
        Weight of the plant, of a tint the shift in units of the range of pixels; 0: 1, of a texture and a tint .3.

    Raises
    ------
    UsageError
        If the square does not fit.
    """
    shape = data.input_shape
    low, high = float(data.train_inputs.min()), float(data.train_inputs.max())
    smallest = min(shape[-2:])
    if plant == "tint":
        return TintPlant((contrast or 0.3) * (high - low), 0, shape)
    chosen = side or max(LEAST_SIDE, smallest // (4 if plant == "texture" else 8))
    if chosen > smallest // 2 + 1 or chosen < 2:
        raise UsageError(
            f"a square of {chosen} pixels cannot be planted in images of {smallest}", "at least 2, at most half a side"
        )
    i, j = np.indices((chosen, chosen))
    versions: tuple[Array, Array] = (i + j + 1) % 2, (i + 1) % 2
    if plant == "texture":
        period = 4 if chosen >= 8 else 2
        versions = (i % period) < period // 2, (j % period) < period // 2
    pixels = [low + (high - low) * version.astype(np.float32) for version in versions]
    return PatchPlant(pixels[0], pixels[1], contrast or (1.0 if plant == "patch" else 0.3), shape)
