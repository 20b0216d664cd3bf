"""A coloured square on noise beside a grey one: where class activation maps look, on any architecture."""

from __future__ import annotations

import numpy as np
from pydantic import PositiveInt

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

CANVAS, SQUARE = 32, 10
COLOURS = {"red": (0.9, 0.2, 0.2), "green": (0.2, 0.8, 0.2), "blue": (0.2, 0.3, 0.9), "yellow": (0.9, 0.9, 0.1)}
GREY = (0.6, 0.6, 0.6)


@dataset("coloured_square", features="image", provides={"truth.mask", "truth.distractors"})
def coloured_square(*, seed: int, train: PositiveInt = 1200, test: PositiveInt = 200) -> Data:
    """Name the colour of a square of 10 x 10 pixels on grey noise; a grey square is there too, and says nothing.

    The truth is the coloured square, a tenth of the image, and the grey one a distractor. Checked by intervention:
    with another colour the prediction must follow, with the grey square elsewhere it must stay, and with both squares
    grey it must be at chance.

    Parameters
    ----------
    seed : int
    train, test : int
        Images.
    """
    names = tuple(COLOURS)
    rng = generator("coloured square", seed)
    colours = np.array([*COLOURS.values(), GREY], dtype=np.float32)
    train_labels, train_places = _labels(rng, train), _places(rng, train)
    train_inputs = _drawn(_noise(rng, train), train_places, colours[train_labels], colours)
    labels, places, noise = _labels(rng, test), _places(rng, test), _noise(rng, test)
    others = (labels + rng.integers(1, len(names), test)) % len(names)
    elsewhere = _places(rng, test, coloured=places[:, 0])
    rows = np.arange(test)
    inputs = _drawn(noise, places, colours[labels], colours)
    grey = np.full(test, len(names))
    return Data(
        "image",
        train_inputs,
        train_labels,
        inputs,
        labels,
        test_rows=inputs,
        class_names=names,
        test_mask=_mask(places[:, 0]),
        test_distractors=_mask(places[:, 1]),
        truth_kind="model",
        interventions=(
            Intervention(
                "another colour", _drawn(noise, places, colours[others], colours), others, rows, at_least=0.95
            ),
            Intervention(
                "grey square elsewhere", _drawn(noise, elsewhere, colours[labels], colours), labels, rows, max_drop=0.05
            ),
            Intervention(
                "no colour", _drawn(noise, places, colours[grey], colours), labels, rows, at_most=1 / len(names) + 0.1
            ),
        ),
        accuracy_floor=0.95,
    )


def _labels(rng: np.random.Generator, n: int) -> Array:
    """Classes (n,), equally frequent, in random order."""
    return rng.permutation(np.arange(n, dtype=np.int64) % len(COLOURS))


def _noise(rng: np.random.Generator, n: int) -> Array:
    """Grey noise (n, 3, 32, 32)."""
    found: Array = rng.normal(0.4, 0.1, (n, 3, CANVAS, CANVAS)).astype(np.float32)
    return found


def _places(rng: np.random.Generator, n: int, coloured: Array | None = None) -> Array:
    """Upper left corners (n, 2, 2) of the coloured and the grey square, which do not touch each other."""
    found = np.empty((n, 2, 2), dtype=np.int64)
    for i in range(n):
        first = rng.integers(0, CANVAS - SQUARE + 1, 2) if coloured is None else coloured[i]
        second = first
        while np.abs(second - first).max() <= SQUARE:
            second = rng.integers(0, CANVAS - SQUARE + 1, 2)
        found[i] = first, second
    return found


def _drawn(noise: Array, places: Array, coloured: Array, colours: Array) -> Array:
    """Images (n, 3, 32, 32) from 0 to 1 with a square of a colour (n, 3) and a grey one; noise is over everything."""
    images = noise.copy()
    soft = noise - 0.4
    for square, shown in ((places[:, 0], coloured), (places[:, 1], np.broadcast_to(colours[-1], coloured.shape))):
        images = np.where(_mask(square)[:, None], shown[:, :, None, None] + 0.5 * soft, images)
    return np.clip(images, 0, 1).astype(np.float32)


def _mask(corners: Array) -> Array:
    """Pixels of squares (n, 32, 32) of bool."""
    at = np.arange(CANVAS)
    inside = (at >= corners[:, :, None]) & (at < corners[:, :, None] + SQUARE)
    found: Array = inside[:, 0, :, None] & inside[:, 1, None, :]
    return found
