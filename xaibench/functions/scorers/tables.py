"""Scores of binary descriptions of a binary neuron, from the counts of their two-by-two tables.

In this literature *recall* is P(c | a), the share of active inputs that the description c covers, and
*precision* is P(a | c). Every score but Spearman's with ties broken at random is a function of four counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xaibench.core.types import Array

CLAMP = 1e-8
"""Smallest membership of a word in a description, for the logarithm of WPMI."""


@dataclass(frozen=True)
class Tables:
    """Counts of J descriptions; every array is (J,) of float64.

    Attributes
    ----------
    both : array
        Inputs at which neuron and description are active.
    description_only, neuron_only, neither : array
    """

    both: Array
    description_only: Array
    neuron_only: Array
    neither: Array

    @classmethod
    def of(cls, activation: Array, candidates: Array) -> Tables:
        """Tables of a neuron (n,) and descriptions (J, n), both of bool."""
        active = np.asarray(activation, dtype=bool)
        both = np.count_nonzero(candidates[:, active], axis=1).astype(np.float64)
        size = np.count_nonzero(candidates, axis=1).astype(np.float64)
        n, k = float(active.size), float(active.sum())
        return cls(both, size - both, k - both, n - k - size + both)

    @property
    def n(self) -> Array:
        """Number of inputs."""
        return self.both + self.description_only + self.neuron_only + self.neither

    @property
    def size(self) -> Array:
        """Inputs at which the description is active."""
        return self.both + self.description_only

    @property
    def firing(self) -> Array:
        """Inputs at which the neuron is active."""
        return self.both + self.neuron_only

    @property
    def swapped(self) -> Tables:
        """Neuron and description in each other's place."""
        return Tables(self.both, self.neuron_only, self.description_only, self.neither)


def _ratio(a: Array, b: Array) -> Array:
    """a / b, NaN where b is 0."""
    return np.asarray(np.divide(a, b, out=np.full(np.shape(b), np.nan), where=b > 0))


def _recall(t: Tables) -> Array:
    return _ratio(t.both, t.firing)


def _precision(t: Tables) -> Array:
    return _ratio(t.both, t.size)


def _f1(t: Tables) -> Array:
    return _ratio(2 * t.both, t.size + t.firing)


def _iou(t: Tables) -> Array:
    return _ratio(t.both, t.size + t.neuron_only)


def _accuracy(t: Tables) -> Array:
    return _ratio(t.both + t.neither, t.n)


def _balanced_accuracy(t: Tables) -> Array:
    return np.asarray((_recall(t) + _ratio(t.neither, t.neither + t.description_only)) / 2)


def _difference_of_means(t: Tables) -> Array:
    """Mean activation where the description holds less that where it does not, from -1 to 1."""
    return _precision(t) - _ratio(t.neuron_only, t.n - t.size)


def _correlation(t: Tables) -> Array:
    """Pearson's, which for binary variables is Spearman's with average ranks too."""
    spread = t.size * (t.n - t.size) * t.firing * (t.n - t.firing)
    return _ratio(t.both * t.neither - t.description_only * t.neuron_only, np.sqrt(spread))


def _cosine(t: Tables) -> Array:
    return _ratio(t.both, np.sqrt(t.size * t.firing))


def _auprc(t: Tables) -> Array:
    """Average precision: the sum over steps of the recall, with equal scores as one step.

    The description ranks its own inputs first; all others follow at the base rate.
    """
    recall, base = _recall(t), _ratio(t.firing, t.n)
    first = np.where(t.size > 0, np.nan_to_num(_precision(t)), base)
    return np.asarray(recall * first + (1 - recall) * base)


def _wpmi(t: Tables) -> Array:
    """Mean log of the membership over the active inputs, minus the log of the mean membership; both at least 1e-8."""
    inside = _ratio(t.neuron_only, t.firing) * np.log(CLAMP)
    return np.asarray(inside - np.log(np.maximum(_ratio(t.size, t.n), CLAMP)))


@dataclass(frozen=True)
class DescriptionScore:
    """A score of descriptions.

    Attributes
    ----------
    of : callable
        `Tables` -> scores (J,), larger meaning a better description; NaN where it is not defined.
    range : float or None
        Largest less smallest possible value; None where there is no bound.
    """

    of: Callable[[Tables], Array]
    range: float | None = 1.0


TABLE_SCORES: Mapping[str, DescriptionScore] = {
    "recall": DescriptionScore(_recall),
    "precision": DescriptionScore(_precision),
    "f1": DescriptionScore(_f1),
    "iou": DescriptionScore(_iou),
    "accuracy": DescriptionScore(_accuracy),
    "balanced_accuracy": DescriptionScore(_balanced_accuracy),
    "inverse_balanced_accuracy": DescriptionScore(lambda t: _balanced_accuracy(t.swapped)),
    "auc": DescriptionScore(_balanced_accuracy),
    "inverse_auc": DescriptionScore(lambda t: _balanced_accuracy(t.swapped)),
    "difference_of_means": DescriptionScore(_difference_of_means, 2.0),
    "correlation": DescriptionScore(_correlation, 2.0),
    "spearman": DescriptionScore(_correlation, 2.0),
    "cosine": DescriptionScore(_cosine, 2.0),
    "auprc": DescriptionScore(_auprc),
    "inverse_auprc": DescriptionScore(lambda t: _auprc(t.swapped)),
    "wpmi": DescriptionScore(_wpmi, None),
}
"""Scores by name. The area under the ROC curve of a binary ranking is its balanced accuracy; *inverse* swaps
which of the two is the label."""
