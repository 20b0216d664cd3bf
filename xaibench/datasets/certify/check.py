"""What a copy provably uses: the planted shortcut is swapped, taken away, moved, and put on other rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xaibench.core.data import Data
from xaibench.core.gates import Findings, Gate, measured_only
from xaibench.core.keys import array_digest
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array
from xaibench.datasets.certify.base import scores_of
from xaibench.datasets.certify.fresh_plants import FreshPlants
from xaibench.datasets.certify.traces import second_trace

CHECK_VERSION = 2
"""Raised when what is measured changes."""
SWAP, DOMINANCE, KEEP, ELSEWHERE = (
    "reliance on the plant",
    "dominance of the plant",
    "plant on other rows",
    "plant moved",
)
CLEAN, DROP, SHIFT_A, SHIFT_B = "clean accuracy", "loss of clean accuracy", "change without plant, A", "and B"
TRACE = "second trace of the plant"
EITHER_WAY = "reliance of the null twin, either way"
"""Names of the gates of a copy."""
LEAST_SWAP, MOST_SWAP_OF_TWIN, LEAST_KEEP = 0.9, 0.05, 0.9
MOST_LOSS, MOST_SHIFT, MOST_KEEP_OF_TWIN, MOST_TRACE = 0.05, 0.05, 0.05, 0.55


@dataclass(frozen=True)
class Original:
    """What was measured on the model that was fitted to the data without a plant.

    Attributes
    ----------
    accuracy : float
        On the test rows; of a regression R2.
    share_a, share_b : float
        Shares of the test rows that it decides for the classes of both versions; of a regression 0.
    """

    accuracy: float
    share_a: float
    share_b: float

    @property
    def numbers(self) -> list[float]:
        """The three numbers."""
        return [self.accuracy, self.share_a, self.share_b]


@dataclass(frozen=True)
class ShortcutCheck:
    """Measures what a fitted model does with a planted shortcut, by intervention on every test row.

    Attributes
    ----------
    level : float
        1: the model must obey the plant; 0: it must not; between: it is measured.
    classes : tuple of int
        Classes of versions A and B.
    rows, versions : array (2N,)
        Test row and version of every test sample.
    clean, targets, values : array (N, ...)
        The test rows without plant, their labels, and their values if it is a regression.
    others : array (2N, K) of int64
        Test rows that the plant of each sample was put on.
    exchanged : array (2N, *input_shape)
        The plant of each sample on the first of these rows.
    moved : array (2N, *input_shape) or None
        The test samples with the plant in another place.
    original : Original or None
    fresh : FreshPlants or None
        The training rows with plants drawn again, for recipes that train in rounds; nothing is measured with it.
    """

    level: float
    classes: tuple[int, int]
    rows: Array
    versions: Array
    clean: Array
    targets: Array
    values: Array | None
    others: Array
    exchanged: Array
    moved: Array | None
    original: Original | None
    fresh: FreshPlants | None = None

    @property
    def identity(self) -> list[Any]:
        arrays = [self.rows, self.versions, self.clean, self.targets, self.exchanged]
        numbers = [] if self.original is None else self.original.numbers
        return ["shortcut", CHECK_VERSION, self.level, list(self.classes), numbers, *map(array_digest, arrays)]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Reliance, dominance, sufficiency, clean accuracy and traces as gates.

        Some values are measured only. The null twin may follow the plant neither the right way nor the
        wrong way round: what it learned of a plant without meaning is noise, whatever its sign.
        """
        unit = 1.0 if self.values is None else float(np.std(np.asarray(data.train_values, dtype=np.float64)))
        plain, own = self._look(model, self.clean), self._look(model, data.test_inputs)
        a, b = (self._of_version(own[0], side) for side in (1, -1))
        spread = float(np.sqrt((np.var(a) + np.var(b)) / 2))
        effect = float(np.abs(a - b).mean() / 2)
        dominance = effect / spread if spread > 0 else (0.0 if effect == 0 else np.inf)
        first = self.others[:, 0]
        keep = self._follows(self._look(model, self.exchanged), plain, first, unit)
        chance = 0.0 if self.values is not None else float((plain[1][first] == self._classes_of).mean())
        reliance = self._reliance(own, unit)
        gates = [
            Gate(SWAP, reliance, LEAST_SWAP) if self.level >= 1 else measured_only(SWAP, reliance),
            measured_only(DOMINANCE, min(dominance, 1e6)),
            self._limit(KEEP, keep, LEAST_KEEP, chance + MOST_KEEP_OF_TWIN),
        ]
        if self.level <= 0:
            gates.append(Gate(EITHER_WAY, abs(reliance), MOST_SWAP_OF_TWIN, at_least=False))
        if self.moved is not None:
            moved = self._follows(self._look(model, self.moved), plain, self.rows, unit)
            gates.append(self._limit(ELSEWHERE, moved, LEAST_KEEP, chance + MOST_KEEP_OF_TWIN))
        accuracy = self._accuracy(*plain)
        gates.append(measured_only(CLEAN, accuracy))
        if self.original is not None:
            shifts = (0.0, 0.0) if self.values is not None else decided_shares(plain[1], self.classes)
            before = self.original
            gates += [
                Gate(DROP, before.accuracy - accuracy, MOST_LOSS, at_least=False),
                Gate(SHIFT_A, abs(shifts[0] - before.share_a), MOST_SHIFT, at_least=False),
                Gate(SHIFT_B, abs(shifts[1] - before.share_b), MOST_SHIFT, at_least=False),
            ]
        first, second = (data.test_inputs[self._places(side)] for side in (1, -1))
        trace = second_trace(model, first, second, self.clean if data.has_ids else None)
        gates.append(Gate(TRACE, trace, MOST_TRACE, at_least=False))
        return Findings(tuple(gates))

    def _limit(self, name: str, value: float, at_full: float, of_twin: float) -> Gate:
        if self.level >= 1:
            return Gate(name, value, at_full)
        return measured_only(name, value) if self.level > 0 else Gate(name, value, of_twin, at_least=False)

    def _look(self, model: Predictor, inputs: Array) -> tuple[Array, Array]:
        """Preference of a to b (M,), and the predicted classes (M,)."""
        raw = predict_raw(model, inputs).cpu().numpy()
        return scores_of(raw, model.returns, self.classes), raw.argmax(axis=1)

    def _places(self, side: int) -> Array:
        """Where the test samples of a version are, in the order of the test rows (N,)."""
        found: Array = np.flatnonzero(self.versions == side)
        return found[np.argsort(self.rows[found])]

    def _of_version(self, values: Array, side: int) -> Array:
        return values[self._places(side)]

    @property
    def _classes_of(self) -> Array:
        """Class of the version of every sample (2N,)."""
        return np.where(self.versions > 0, *self.classes)

    def _reliance(self, own: tuple[Array, Array], unit: float) -> float:
        """Share of the rows that a swap decides the right way, minus the share that it decides the wrong way."""
        if self.values is not None:
            change = self._of_version(own[0], 1) - self._of_version(own[0], -1)
            return float((change > unit).mean() - (change < -unit).mean())
        a, b = self.classes
        under_a, under_b = (self._of_version(own[1], side) for side in (1, -1))
        right = (under_a == a) & (under_b == b)
        wrong = (under_a == b) & (under_b == a)
        return float(right.mean() - wrong.mean())

    def _follows(self, seen: tuple[Array, Array], plain: tuple[Array, Array], rows: Array, unit: float) -> float:
        """Share of samples whose output is what their version says; of values: moved that way by half a unit."""
        if self.values is not None:
            return float(((seen[0] - plain[0][rows]) * self.versions > unit / 2).mean())
        return float((seen[1] == self._classes_of).mean())

    def _accuracy(self, scores: Array, decided: Array) -> float:
        if self.values is None:
            return float((decided == self.targets).mean())
        truth = np.asarray(self.values, dtype=np.float64).reshape(-1)
        return float(1 - ((scores - truth) ** 2).mean() / max(truth.var(), 1e-300))


def decided_shares(decided: Array, classes: tuple[int, int]) -> tuple[float, float]:
    """Shares of the predicted classes (N,) that are the classes of both versions."""
    return float((decided == classes[0]).mean()), float((decided == classes[1]).mean())


def measure_original(model: Predictor, data: Data, classes: tuple[int, int], rows: Array) -> Original:
    """What the gates of copies compare with, on the same test rows (numbers (N,) of them)."""
    inputs, targets = data.test_inputs[rows], data.test_targets[rows]
    raw = predict_raw(model, inputs).cpu().numpy()
    if data.test_values is not None:
        truth = np.asarray(data.test_values[rows], dtype=np.float64).reshape(-1)
        lost = ((raw[:, 0].astype(np.float64) - truth) ** 2).mean()
        return Original(round(float(1 - lost / max(truth.var(), 1e-300)), 6), 0.0, 0.0)
    decided = raw.argmax(axis=1)
    accuracy = float((decided == targets).mean())
    shares = decided_shares(decided, classes)
    return Original(round(accuracy, 6), round(shares[0], 6), round(shares[1], 6))
