"""Gates: conditions measured on a fitted model, on which a problem's ground truth depends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xaibench.core.types import Array


@dataclass(frozen=True)
class Gate:
    """A measured condition on which a problem's ground truth depends."""

    name: str
    value: float
    threshold: float
    at_least: bool = True

    @property
    def passed(self) -> bool:
        return self.value >= self.threshold if self.at_least else self.value <= self.threshold

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.name} {self.value:.3f} {sign} {self.threshold:.3f}: {'ok' if self.passed else 'FAILED'}"


@dataclass(frozen=True)
class Findings:
    """What only the fitted model could tell.

    Attributes
    ----------
    gates : tuple of Gate
    inputs : mapping of str to array (N, *input_shape), float32
        Other inputs for the test samples, by the need that they meet, such as ``input_pair.patched``.
        Fewer rows than the test set has are for its first rows.
    """

    gates: tuple[Gate, ...] = ()
    inputs: Mapping[str, Array] = field(default_factory=dict)
