"""Closed forms of two features in one hidden unit: the loss of each kind of solution, and where the best changes."""

from __future__ import annotations

from typing import Literal

SolutionKind = Literal["first only", "second only", "both"]
"""Which features an autoencoder represents; both: in opposite directions, w = (1, -1)."""
REPRESENTED: dict[SolutionKind, tuple[float, float]] = {
    "first only": (1.0, 0.0),
    "second only": (0.0, 1.0),
    "both": (1.0, 1.0),
}
"""By kind of solution, which of the two features are represented."""


def closed_form_losses(p: float, r: float) -> dict[SolutionKind, float]:
    """Loss of each kind of solution.

    A feature is uniform on (0, 1) with probability p, and 0 otherwise. A feature that is not
    represented is reconstructed by its mean p/2, which leaves its variance p/3 - p^2/4. In opposite
    directions, without biases, a feature is lost only where both are there: each then costs the square of the
    smaller one, 1/6 on average.

    Parameters
    ----------
    p : float
        Probability that a feature is there.
    r : float
        Importance of the second feature; that of the first is 1.

    Examples
    --------
    >>> {kind: round(loss, 4) for kind, loss in closed_form_losses(0.5, 1.0).items()}
    {'first only': 0.1042, 'second only': 0.1042, 'both': 0.0833}
    """
    variance = p / 3 - p**2 / 4
    return {"first only": r * variance, "second only": variance, "both": (1 + r) * p**2 / 6}


def predicted_kind(p: float, r: float) -> SolutionKind:
    """The kind of solution with the smallest loss; of equal ones the first."""
    losses = closed_form_losses(p, r)
    return min(losses, key=lambda kind: losses[kind])


def switching_probability(r: float) -> float:
    """The probability above which features no longer share a hidden unit: 4r/(2 + 5r), or 4/(5 + 2r) for r > 1.

    Examples
    --------
    >>> [round(switching_probability(r), 3) for r in (0.1, 0.5, 1, 2)]
    [0.16, 0.444, 0.571, 0.444]
    """
    return 4 * r / (2 + 5 * r) if r <= 1 else 4 / (5 + 2 * r)
