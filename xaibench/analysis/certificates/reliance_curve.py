"""Psychometric curves of explainers: how often they show a shortcut, against how much the model relies on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from xaibench.core.types import Array

HALF = 0.5
"""Share of decisive rows from which on a shortcut counts as noticed."""
Censored = Literal["", "below", "never"]


@dataclass(frozen=True)
class RelianceCurve:
    """An isotonic curve through copies.

    Attributes
    ----------
    reliance, net : array (P,)
        Knots: reliance of the copies, rising, and the share found beyond the null twin, never falling.
    n_anchors : int
        How many of the first knots are null twins, where nothing is to be found.
    """

    reliance: Array
    net: Array
    n_anchors: int

    @property
    def threshold(self) -> tuple[float, Censored]:
        """Reliance at which the curve first reaches one half, linear between knots.

        ``below`` if it is there at the weakest copy already: the threshold is at most that; ``never`` with infinity.
        """
        reached = np.flatnonzero(self.net >= HALF)
        if not len(reached):
            return float("inf"), "never"
        first = int(reached[0])
        if first <= self.n_anchors:
            return float(self.reliance[first]), "below"
        x, y = self.reliance[first - 1 : first + 1], self.net[first - 1 : first + 1]
        return float(x[0] + (HALF - y[0]) / (y[1] - y[0]) * (x[1] - x[0])), ""

    @property
    def area(self) -> float:
        """Mean height of the curve between its first and its last knot; NaN of a single one."""
        width = self.reliance[-1] - self.reliance[0]
        return float(np.trapezoid(self.net, self.reliance) / width) if width > 0 else float("nan")


def isotonic(values: Array, weights: Array) -> Array:
    """Nearest never falling sequence to values (P,), by weighted squares: pool adjacent violators (Ayer et al. 1955).

    Examples
    --------
    >>> import numpy as np
    >>> from xaibench.analysis.certificates.reliance_curve import isotonic
    >>> isotonic(np.array([0.0, 0.6, 0.4, 1.0]), np.ones(4)).tolist()
    [0.0, 0.5, 0.5, 1.0]
    """
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        means.append(value)
        masses.append(weight)
        counts.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            mass = masses[-2] + masses[-1]
            means[-2] = (means[-2] * masses[-2] + means[-1] * masses[-1]) / mass if mass else means[-2]
            masses[-2], counts[-2] = mass, counts[-2] + counts[-1]
            del means[-1], masses[-1], counts[-1]
    return np.repeat(means, counts)


def reliance_curve(anchors: Array, reliance: Array, net: Array, weights: Array | None = None) -> RelianceCurve:
    """The curve through copies, anchored at 0 where the null twins are.

    Parameters
    ----------
    anchors : array (A,)
        Reliance of the null twins, of which the mean counts; at most that of the weakest copy.
    reliance, net : array (P,)
        Of the copies; those without decisive rows (NaN) are left out. Copies of equal reliance become one knot.
    weights : array (P,), optional
        How much each copy counts.
    """
    weights = np.ones(len(net)) if weights is None else weights
    known = np.isfinite(net) & (weights > 0)
    x, y, w = reliance[known], net[known], weights[known]
    start = float(anchors.mean()) if len(anchors) else 0.0
    if not len(x):
        return RelianceCurve(np.array([start]), np.zeros(1), 1)
    places, which = np.unique(x, return_inverse=True)
    mass = np.bincount(which, w)
    means = np.bincount(which, w * y) / mass
    fitted = np.maximum(isotonic(means, mass), 0.0)
    start = min(start, float(places[0]))
    return RelianceCurve(np.concatenate([[start], places]), np.concatenate([[0.0], fitted]), 1)
