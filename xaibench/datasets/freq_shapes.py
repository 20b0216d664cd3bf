"""FreqShapes (Queen et al. 2023): spikes that repeat, with isolated spikes beside them that do not."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from pydantic import NonNegativeFloat, PositiveInt

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

SPIKED_STEPS = 50
PERIODS = (10, 17)
SHAPE = np.array([1.75, 2.0, 1.75])
"""A spike: three steps, upwards."""
SPIKE_CLASSES = ("down, every 10", "up, every 10", "down, every 17", "up, every 17")
MIN_KEPT = 0.95
"""Share of the decisions that must follow the spikes, and stay without what is beside them."""


@dataset("freq_shapes", features="series", provides={"truth.mask", "truth.distractors"})
def freq_shapes(
    *,
    seed: int,
    distractors: Annotated[int, Ge(0), Le(4)] = 0,
    noise: NonNegativeFloat = 0.25,
    n_train: PositiveInt = 800,
    n_test: Annotated[int, Ge(2)] = 200,
) -> Data:
    """Which way spikes point, and how often they come (Queen et al. 2023): four classes, 50 steps of noise.

    Spikes of three steps (1.75, 2, 1.75) or their negative repeat every 10 or 17 steps; the truth are their steps. As
    published they are the only large values, so that the input itself finds them. With ``distractors`` there are
    isolated spikes of the same height and of either sign, at no distance of 10 or 17 steps from any other spike: height
    says nothing then, and only repetition does.

    Parameters
    ----------
    seed : int
    distractors : int
        Isolated spikes in every series.
    noise : float
        Standard deviation of the noise at every step.
    n_train, n_test : int

    Notes
    -----
    Checked by intervention on every model: the decision stays with other noise and with other distractors, and follows
    when spikes are turned round and when they come at the other period; without the repeated spikes a model is at
    chance. The checks say that the repeated spikes as a whole decide (``truth_kind`` data): to tell a period, two of
    three spikes are enough.
    """
    rng = generator("freq shapes", distractors, seed)
    train = _Spikes.drawn(n_train, distractors, rng)
    test = _Spikes.drawn(n_test, distractors, rng)
    noise_of = {name: noise * rng.normal(size=(n, SPIKED_STEPS)) for name, n in (("train", n_train), ("test", n_test))}
    again = noise * rng.normal(size=(n_test, SPIKED_STEPS))
    turned = test.with_classes(test.classes ^ 1, rng)
    other_period = test.with_classes(test.classes ^ 2, rng)
    rows = np.arange(n_test)

    def change(name: str, inputs: Array, targets: Array, **rule: Any) -> Intervention:
        return Intervention(name, inputs.astype(np.float32), targets, rows, **rule)

    clean = noise_of["test"]
    checks = [
        change("other noise", test.series() + again, test.classes, at_least=MIN_KEPT),
        change("spikes turned round", turned.series() + clean, turned.classes, at_least=MIN_KEPT),
        change("other period", other_period.series() + clean, other_period.classes, at_least=MIN_KEPT),
        change("spikes erased (data)", test.beside() + clean, test.classes, at_most=0.35),
    ]
    if distractors:
        redrawn = test.redrawn(rng)
        checks.append(change("other distractors", redrawn.series() + clean, test.classes, at_least=MIN_KEPT))
    return Data(
        "series",
        (train.series() + noise_of["train"]).astype(np.float32),
        train.classes,
        (test.series() + clean).astype(np.float32),
        test.classes,
        test_rows=(test.series() + clean).astype(np.float32),
        class_names=SPIKE_CLASSES,
        test_mask=test.mask(),
        truth_kind="data",
        interventions=tuple(checks),
        accuracy_floor=MIN_KEPT,
        train_mask=train.mask(),
        test_distractors=test.beside() != 0 if distractors else None,
    )


class _Spikes:
    """Spikes of N series.

    Parameters
    ----------
    classes : array (N,) of int64
        Bit 0: upwards; bit 1: the longer period.
    firsts : array (N,) of float64
        Where in its period the first spike is, from 0 to 1.
    n_distractors : int
    rng : numpy.random.Generator
        Draws places and signs of distractors.
    """

    def __init__(self, classes: Array, firsts: Array, n_distractors: int, rng: np.random.Generator) -> None:
        self.classes, self.firsts, self.n_distractors = classes, firsts, n_distractors
        self.centres = [self._repeated(c, f) for c, f in zip(classes, firsts, strict=True)]
        self.isolated = [_isolated(own, n_distractors, rng) for own in self.centres]
        self.signs = rng.choice([-1.0, 1.0], size=(len(classes), n_distractors))

    @classmethod
    def drawn(cls, n: int, n_distractors: int, rng: np.random.Generator) -> _Spikes:
        return cls(rng.permutation(np.arange(n) % len(SPIKE_CLASSES)), rng.random(n), n_distractors, rng)

    def with_classes(self, classes: Array, rng: np.random.Generator) -> _Spikes:
        """The same places in the period with other classes; distractors are drawn again, since places are taken."""
        return _Spikes(classes, self.firsts, self.n_distractors, rng)

    def redrawn(self, rng: np.random.Generator) -> _Spikes:
        """The same spikes with other distractors."""
        return self.with_classes(self.classes, rng)

    @staticmethod
    def _repeated(label: int, first: float) -> Array:
        period = PERIODS[label >> 1]
        return np.arange(1 + int(first * period), SPIKED_STEPS - 1, period)

    def series(self) -> Array:
        """All spikes (N, T), without noise."""
        repeated = _spread(self.centres, [np.full(len(c), 1.0) for c in self.centres])
        return repeated * np.where(self.classes & 1, 1.0, -1.0)[:, None] + self.beside()

    def beside(self) -> Array:
        """The distractors alone (N, T)."""
        return _spread(self.isolated, [s[: len(c)] for c, s in zip(self.isolated, self.signs, strict=True)])

    def mask(self) -> Array:
        found: Array = _spread(self.centres, [np.full(len(c), 1.0) for c in self.centres]) != 0
        return found


def _spread(centres: list[Array], signs: list[Array]) -> Array:
    found = np.zeros((len(centres), SPIKED_STEPS))
    for row, (own, sign) in enumerate(zip(centres, signs, strict=True)):
        for centre, s in zip(own, sign, strict=True):
            found[row, centre - 1 : centre + 2] += s * SHAPE
    return found


def _isolated(taken: Array, n: int, rng: np.random.Generator) -> Array:
    """Centres of up to n spikes that touch no other and repeat none; fewer where there is no more room."""
    chosen: list[int] = []
    near = {0, 1, 2, *PERIODS}
    for place in rng.permutation(np.arange(1, SPIKED_STEPS - 1)):
        if len(chosen) == n:
            break
        if all(abs(int(place) - int(other)) not in near for other in (*taken, *chosen)):
            chosen.append(int(place))
    found: Array = np.array(sorted(chosen), dtype=np.int64)
    return found
