"""Planted ground truth: real digits at a known position, with checks that nothing else matters."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.images import DIGIT_NAMES, load_digits
from xaibench.datasets.splits import generator, split

DIGIT_SIDE = 8
N_BLOCKS = 4
DIGITS_TEST_SHARE = 500 / 1797
"""Share of the digits that are for testing, as in the data set `digits`."""


@dataset("planted_digits", features="image", provides={"truth.mask"})
def planted_digits(
    *,
    seed: int,
    classes: Annotated[int, Ge(2), Le(10)] = 5,
    copies: Annotated[int, Ge(1)] = 10,
    test_copies: Annotated[int, Ge(1)] = 2,
) -> Data:
    """Find the digit: one real 8x8 digit in a random quadrant, ink of other digits without shape in the rest.

    The three null quadrants hold digits of random classes with their pixels shuffled: the same ink
    and the same grey levels, no shape. So neither brightness nor an edge filter finds the digit,
    and the nulls say nothing about the label: they are drawn apart from it. The truth is the
    digit's quadrant, 64 of 256 pixels. It is checked by intervention on every model: redrawing or
    exchanging the nulls must leave the accuracy, and erasing the digit must bring it to chance.

    Parameters
    ----------
    seed : int
    classes : int
        Digits 0 to ``classes - 1``.
    copies, test_copies : int
        Placements of every digit, each with its own quadrant and nulls. Train and test digits are
        split before. The first placements of all test digits come before the second ones.

    Notes
    -----
    The truth is about decisions: which quadrant holds what the class is decided by. The logits of
    a trained network still move a little with the nulls, because it compares the quadrants: with
    the nulls redrawn, 0.4 % of the predictions of a CNN change and 8 % of those of an MLP, and
    the old and new logits correlate by .81 and .61. So a faithful explanation may give the nulls
    some relevance, and the oracle is the best possible for finding the quadrant, not for every
    measure of faithfulness. A linear model stays below the accuracy floor.

    The randomised nulls follow what BlockMNIST (Shah et al. 2021, arXiv:2102.12781) lacks: with one
    fixed null glyph, the glyph's place tells where the digit is, and models do use it.
    """
    images, labels = load_digits()
    chosen = labels < classes
    images, labels = images[chosen], labels[chosen]
    train, pool = split(images, labels, DIGITS_TEST_SHARE, generator("split", "planted_digits", seed))
    rng = generator("placement", "planted_digits", seed)
    train = rng.permutation(np.repeat(train, copies))
    train_images, _, train_mask = place_digits(
        images[train], shuffled(images[train], (len(train), N_BLOCKS - 1), rng), rng
    )
    test = np.concatenate([rng.permutation(pool) for _ in range(test_copies)])
    digits, n = images[test], len(test)
    nulls = shuffled(images[pool], (n, N_BLOCKS - 1), rng)
    test_images, quadrants, mask = place_digits(digits, nulls, rng)
    redrawn, erased = shuffled(images[pool], nulls.shape[:2], rng), shuffled(images[pool], (n,), rng)

    def change(name: str, block: Array, others: Array, **rule: Any) -> Intervention:
        return Intervention(
            name, scaled(compose_quadrants(block, others, quadrants)), labels[test], np.arange(n), **rule
        )

    return Data(
        "image",
        scaled(train_images),
        labels[train],
        scaled(test_images),
        labels[test],
        test_rows=test_images,
        class_names=DIGIT_NAMES[:classes],
        test_mask=mask,
        truth_kind="model",
        interventions=(
            change("nulls redrawn", digits, redrawn, max_drop=0.05),
            change("nulls of another image", digits, nulls[rng.permutation(n)], max_drop=0.05),
            change("digit erased", erased, nulls, at_most=1 / classes + 0.1),
        ),
        accuracy_floor=0.90,
        train_mask=train_mask,
    )


def shuffled(pool: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw images from ``pool`` (N, 8, 8) and shuffle the pixels of each: array (*shape, 8, 8)."""
    drawn = pool[rng.integers(len(pool), size=shape)]
    return rng.permuted(drawn.reshape(*shape, DIGIT_SIDE * DIGIT_SIDE), axis=-1).reshape(drawn.shape)


def place_digits(digits: Array, nulls: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Compose images with the digit in a random quadrant: images and masks (N, 16, 16), and the quadrants (N,)."""
    quadrants = rng.integers(N_BLOCKS, size=len(digits))
    ones = np.ones_like(digits)
    mask = compose_quadrants(ones, np.zeros_like(nulls), quadrants).astype(bool)
    return compose_quadrants(digits, nulls, quadrants), quadrants, mask


def compose_quadrants(digits: Array, nulls: Array, quadrants: Array) -> Array:
    """Put digits (N, 8, 8) into their quadrant (N,) and nulls (N, 3, 8, 8) into the others: (N, 16, 16).

    Quadrants are counted in reading order.
    """
    n = len(digits)
    signal = np.arange(N_BLOCKS) == quadrants[:, None]
    blocks = np.empty((n, N_BLOCKS, DIGIT_SIDE, DIGIT_SIDE), dtype=digits.dtype)
    blocks[signal] = digits
    blocks[~signal] = nulls.reshape(-1, DIGIT_SIDE, DIGIT_SIDE)
    return (
        blocks.reshape(n, 2, 2, DIGIT_SIDE, DIGIT_SIDE)
        .transpose(0, 1, 3, 2, 4)
        .reshape(n, 2 * DIGIT_SIDE, 2 * DIGIT_SIDE)
    )


def scaled(images: Array) -> Array:
    """Grey levels 0 to 16 as inputs (N, 1, 16, 16) from 0 to 1."""
    return images[:, None].astype(np.float32) / np.float32(16)
