"""Images of four glyphs, each in a quadrant of its own, the second of which may copy the first."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xaibench.core.types import Array

SIDE, QUADRANT, GLYPH_SIDE = 12, 6, 3
BRIGHTEST_BACKGROUND, INTENSITY = 0.3, 0.7
GLYPH_COPYING = 0.8
"""Probability with which a cross is there just where a plus is, where they are correlated; else by chance."""
GLYPH_SHAPES: dict[str, Array] = {
    name: np.array([list(map(int, row)) for row in rows], dtype=np.float32)
    for name, rows in {
        "plus": ("010", "111", "010"),
        "cross": ("101", "010", "101"),
        "box": ("111", "101", "111"),
        "bars": ("101", "101", "101"),
    }.items()
}
N_GLYPHS = len(GLYPH_SHAPES)


def drawn_presence(n: int, rng: np.random.Generator, *, correlated: bool) -> Array:
    """Which glyphs (n, 4) are there, each with probability 1/2."""
    present = rng.integers(0, 2, size=(n, N_GLYPHS))
    copied = rng.random(n) < GLYPH_COPYING
    if correlated:
        present[copied, 1] = present[copied, 0]
    return present


def glyph_images(present: Array, rng: np.random.Generator, *, background: bool = True) -> tuple[Tensor, Tensor]:
    """Images with these glyphs (n, 4), and each without one of them.

    Parameters
    ----------
    present : array (n, 4)
    rng : Generator
        Of background, quadrants and shifts.
    background : bool
        Whether there is one; else what is not a glyph is 0.

    Returns
    -------
    Tensor (n, 1, 12, 12) of float32
    Tensor (n, 4, 1, 12, 12) of float32
        The same images with the pixels of each glyph replaced by the background, also where it is not there.
    """
    n = len(present)
    empty = rng.uniform(0, BRIGHTEST_BACKGROUND, (n, SIDE, SIDE)).astype(np.float32) * background
    quadrants = rng.permuted(np.tile(np.arange(N_GLYPHS), (n, 1)), axis=1)
    shifts = rng.integers(0, QUADRANT - GLYPH_SIDE + 1, size=(n, N_GLYPHS, 2))
    layers = np.zeros((n, N_GLYPHS, SIDE, SIDE), dtype=np.float32)
    for j, glyph in enumerate(GLYPH_SHAPES.values()):
        for i in np.flatnonzero(present[:, j]):
            y, x = (QUADRANT * np.array(divmod(int(quadrants[i, j]), 2)) + shifts[i, j]).tolist()
            layers[i, j, y : y + GLYPH_SIDE, x : x + GLYPH_SIDE] = INTENSITY * glyph
    whole = layers.sum(axis=1)
    erased = empty[:, None] + whole[:, None] - layers
    return torch.from_numpy(empty + whole)[:, None], torch.from_numpy(erased)[:, :, None]
