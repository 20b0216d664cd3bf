"""XAI-TRIS at 8x8 (Clark et al. 2024): two tetrominoes in noise, in one linear and three non-linear scenarios."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from scipy.ndimage import gaussian_filter

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

Scenario = Literal["linear", "multiplicative", "translations_rotations", "xor"]
Background = Literal["white", "correlated"]
GRID_SIDE = 8
TETROMINOES = (np.array([[1, 0], [1, 1], [1, 0]]), np.array([[1, 0], [1, 0], [1, 1]]))
"""T and L: what class 0 and class 1 show, where a sample shows one of them."""
PLACES = ((1, 1), (4, 5))
"""Row and column of their top left corners, where they do not move."""
WHITE_NOISE = 0.5
"""Standard deviation of the white noise."""
BACKGROUND_SMOOTHING = 3.0
"""Standard deviation, in pixels, of the Gaussian filter that correlates it."""
TEST_SHARE = 0.2
ACCURACY_FLOOR = 0.8
"""Below it a model is not worth explaining, nor where the tetrominoes are those of the other class."""
WEIGHTS: dict[tuple[Scenario, Background], float] = {
    ("linear", "white"): 0.18,
    ("linear", "correlated"): 0.0125,
    ("multiplicative", "white"): 0.7,
    ("multiplicative", "correlated"): 0.1,
    ("translations_rotations", "white"): 0.65,
    ("translations_rotations", "correlated"): 0.2,
    ("xor", "white"): 0.35,
    ("xor", "correlated"): 0.15,
}
"""Weight of the tetrominoes against the noise."""


@dataset("xai_tris", features="image", provides={"truth.mask"})
def xai_tris(
    *,
    seed: int,
    scenario: Scenario = "linear",
    background: Background = "white",
    samples: Annotated[int, Ge(20)] = 10_000,
) -> Data:
    """Tell a T from an L in noise, 8x8 pixels: in place, as a factor, moved and turned, or both with signs.

    Parameters
    ----------
    seed : int
    scenario : {"linear", "multiplicative", "translations_rotations", "xor"}
        The tetromino is added to the noise in its place; the noise is dimmed where it is; it is
        added at any place, turned by any quarters; or both are added in their places, each with a
        random sign, and the class is whether the signs differ.
    background : {"white", "correlated"}
        Independent pixels, or the same noise through a Gaussian filter. In correlated noise, pixels
        beside the tetrominoes are suppressors: they tell the noise that lies on them.
    samples : int
        Images, half of each class (the published number by default); a fifth of them is for testing.

    Notes
    -----
    The truth is about the data: the pixels of both tetrominoes, for the class of the missing one
    shows in its place too; where it moves, those of the sample's own. Noise and class are drawn
    apart, so the other pixels say nothing about the class by themselves. Two checks: with
    tetrominoes of the other class in the same noise, the decision must follow them (on the model);
    and without any, accuracy is at chance (on the data: it holds for every model that has not seen
    the test labels).

    As published, the amounts of signal and noise are set by their norms over the whole data set,
    which is then divided by its largest magnitude. The published test and validation tenths are one
    test fifth here, as nothing is tuned.
    """
    rng = generator("xai_tris", seed, scenario, background, samples)
    labels = rng.permutation(np.arange(samples) % 2)
    signal, mask = _tetrominoes(labels, scenario, rng)
    noise = rng.normal(0, WHITE_NOISE, (samples, GRID_SIDE, GRID_SIDE))
    if background == "correlated":
        noise = gaussian_filter(noise, (0, BACKGROUND_SMOOTHING, BACKGROUND_SMOOTHING))
    noise /= np.linalg.norm(noise)
    weight = WEIGHTS[scenario, background]
    images, erased = _compose(signal, noise, scenario, weight)
    largest = abs(images).max()
    train, test = _stratified(labels, rng)
    others, _ = _compose(_tetrominoes(1 - labels, scenario, rng)[0], noise, scenario, weight)
    inputs, without, exchanged = ((a / largest).astype(np.float32)[:, None] for a in (images, erased, others))
    chance, rows = 0.5 + 4 * math.sqrt(0.25 / len(test)), np.arange(len(test))
    return Data(
        "image",
        inputs[train],
        labels[train],
        inputs[test],
        labels[test],
        test_rows=inputs[test],
        class_names=("same signs", "other signs") if scenario == "xor" else ("T", "L"),
        test_mask=mask[test],
        train_mask=mask[train],
        truth_kind="data",
        interventions=(
            Intervention("tetrominoes exchanged", exchanged[test], 1 - labels[test], rows, at_least=ACCURACY_FLOOR),
            Intervention("tetrominoes removed (data)", without[test], labels[test], rows, at_most=chance),
        ),
        accuracy_floor=ACCURACY_FLOOR,
    )


def _compose(signal: Array, noise: Array, scenario: Scenario, weight: float) -> tuple[Array, Array]:
    """Images, and the noise in them (N, 8, 8)."""
    if scenario == "multiplicative":
        signal = 1 - weight * signal
        norm = np.linalg.norm(signal)
        return signal / norm * noise, noise / norm
    erased = (1 - weight) * noise
    return weight * signal / np.linalg.norm(signal) + erased, erased


def _tetrominoes(labels: Array, scenario: Scenario, rng: np.random.Generator) -> tuple[Array, Array]:
    """Tetrominoes on empty ground, and where the truth is, both (N, 8, 8): float and bool."""
    n = len(labels)
    if scenario == "translations_rotations":
        canvases = np.stack([_everywhere(shape) for shape in TETROMINOES])
        signal = canvases[labels, rng.integers(canvases.shape[1], size=n)]
        return signal, signal > 0
    in_place = np.stack([_canvas(shape, *place) for shape, place in zip(TETROMINOES, PLACES, strict=True)])
    union = np.broadcast_to(in_place.sum(axis=0) > 0, (n, GRID_SIDE, GRID_SIDE)).copy()
    if scenario == "xor":
        first = rng.choice([-1.0, 1.0], n)
        second = first * (1 - 2 * labels)
        return first[:, None, None] * in_place[0] + second[:, None, None] * in_place[1], union
    return in_place[labels], union


def _everywhere(shape: Array) -> Array:
    """A tetromino, turned by every number of quarters, at every place: canvases (P, 8, 8)."""
    found = []
    for quarters in range(4):
        turned = np.rot90(shape, quarters)
        height, width = turned.shape
        places = np.ndindex(GRID_SIDE - height + 1, GRID_SIDE - width + 1)
        found += [_canvas(turned, row, column) for row, column in places]
    return np.stack(found)


def _canvas(shape: Array, row: int, column: int) -> Array:
    canvas = np.zeros((GRID_SIDE, GRID_SIDE))
    height, width = shape.shape
    canvas[row : row + height, column : column + width] = shape
    return canvas


def _stratified(labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows for training and for testing, both in random order, with the same share of every class."""
    order = rng.permutation(len(labels))
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        test[members[: round(TEST_SHARE * len(members))]] = True
    return order[~test[order]], order[test[order]]
