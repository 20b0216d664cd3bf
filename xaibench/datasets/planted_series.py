"""Planted series: a bump or a wave at a random place of a series that says nothing about the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.series_backgrounds import SeriesBackground, series_backgrounds
from xaibench.datasets.splits import generator

PLANTED_CLASSES = ("bump up", "bump down", "wave")
MIN_FOLLOWED = 0.95
"""Share of the decisions that must follow an exchange of the planted part."""
MIN_SAME = 0.9
"""Share of the decisions that must stay on another background."""


@dataset("planted_series", features="series", provides={"truth.mask"})
def planted_series(
    *,
    seed: int,
    background: SeriesBackground = "sines",
    amplitude: PositiveFloat = 1.0,
    noise: NonNegativeFloat = 0.05,
    n_train: PositiveInt = 800,
    n_test: Annotated[int, Ge(2)] = 200,
) -> Data:
    """Which of three shapes is planted: one stretch of a twelfth to a ninth of a real series, at a random place.

    Class 0 is a bump up (a squared half sine), class 1 a bump down, class 2 a wave (one sine). The truth is the
    stretch. It is checked by intervention on every model: the decision follows when the shape is exchanged at its
    place, stays when the shape moves and when the background is another one; without the shape a model is at chance.

    Parameters
    ----------
    seed : int
    background : {"sines", "gunpoint", "italy_power_demand"}
        Series to plant into, other ones for training than for testing; real ones are fetched (`xaibench data fetch`).
        Of the 24 steps of ``italy_power_demand`` a stretch is 5 to 7.
    amplitude : float
        Height of the shape; backgrounds have a standard deviation of 1.
    noise : float
        Standard deviation of the noise that is added to backgrounds.
    n_train, n_test : int

    Notes
    -----
    The checks say that the stretch as a whole decides, not that each of its steps does: the truth is one about the data
    (``truth_kind`` data). A bump begins and ends near 0, so its outer steps carry next to nothing.
    """
    rng = generator("planted series", background, seed)
    train_rows, test_rows = series_backgrounds(background)
    train = _planted(train_rows, n_train, noise, rng)
    test = _planted(test_rows, n_test, noise, rng)
    rows = np.arange(n_test)
    other = (test.classes + rng.integers(1, len(PLANTED_CLASSES), size=n_test)) % len(PLANTED_CLASSES)
    moved = _places(test.lengths, test.backgrounds.shape[1], rng)
    elsewhere = _planted(test_rows, n_test, noise, rng).backgrounds

    def change(name: str, inputs: Array, targets: Array, **rule: Any) -> Intervention:
        return Intervention(name, inputs.astype(np.float32), targets, rows, **rule)

    return Data(
        "series",
        train.series(amplitude),
        train.classes,
        test.series(amplitude),
        test.classes,
        test_rows=test.series(amplitude),
        class_names=PLANTED_CLASSES,
        test_mask=test.mask(),
        truth_kind="data",
        interventions=(
            change("shape exchanged", test.series(amplitude, classes=other), other, at_least=MIN_FOLLOWED),
            change("shape moved", test.series(amplitude, starts=moved), test.classes, at_least=MIN_FOLLOWED),
            change("other background", test.series(amplitude, backgrounds=elsewhere), test.classes, at_least=MIN_SAME),
            change("shape erased (data)", test.backgrounds, test.classes, at_most=1 / 3 + 0.1),
        ),
        accuracy_floor=MIN_FOLLOWED,
        train_mask=train.mask(),
    )


@dataclass(frozen=True)
class _Planted:
    """What series are made of: backgrounds (N, T), classes, and where shapes start and how long they are (N,)."""

    backgrounds: Array
    classes: Array
    starts: Array
    lengths: Array

    def series(self, amplitude: float, **changed: Array) -> Array:
        """The series (N, T), float32, with some of the parts exchanged."""
        parts = {**self.__dict__, **changed}
        share = self._share(parts["starts"])
        inside = (share >= 0) & (share < 1)
        bump = np.sin(np.pi * share) ** 2
        wave = np.sin(2 * np.pi * share)
        shape = np.where(parts["classes"][:, None] == 2, wave, np.where(parts["classes"][:, None] == 1, -bump, bump))
        found: Array = (parts["backgrounds"] + amplitude * inside * shape).astype(np.float32)
        return found

    def mask(self) -> Array:
        share = self._share(self.starts)
        found: Array = (share >= 0) & (share < 1)
        return found

    def _share(self, starts: Array) -> Array:
        """How far (N, T) every step is inside the stretch: from 0 to 1, at the middle of the step."""
        time = np.arange(self.backgrounds.shape[1])
        found: Array = (time - starts[:, None] + 0.5) / self.lengths[:, None]
        return found


def _planted(pool: Array, n: int, noise: float, rng: np.random.Generator) -> _Planted:
    length = pool.shape[1]
    backgrounds = pool[rng.integers(len(pool), size=n)] + noise * rng.normal(size=(n, length))
    classes = rng.permutation(np.arange(n) % len(PLANTED_CLASSES))
    low, high = (12, 17) if length >= 100 else (max(3, length // 5 + 1), max(3, length * 7 // 24))
    lengths = rng.integers(low, high + 1, size=n)
    return _Planted(backgrounds, classes, _places(lengths, length, rng), lengths)


def _places(lengths: Array, n_steps: int, rng: np.random.Generator) -> Array:
    """Random starts (N,) of stretches of these lengths."""
    found: Array = rng.integers(0, n_steps - lengths + 1)
    return found
