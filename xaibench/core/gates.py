"""Gates: conditions measured on a fitted model, on which a problem's ground truth depends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from xaibench.core.types import Array

NO_LIMIT = -1.0
"""Least value of a gate whose value is measured and may be anything from -1 on, such as a difference of shares."""


@dataclass(frozen=True)
class Gate:
    """A measured condition on which a problem's ground truth depends.

    Attributes
    ----------
    name : str
    value, threshold : float
    at_least : bool
        Whether the value must be at least the threshold, else at most.
    case : str
        Name of the function or case whose truth depends on it; empty where all of the problem's does.
    limited : bool
        Whether the threshold is a condition. False where the value is only shown, and is at least `NO_LIMIT` anyway.
    """

    name: str
    value: float
    threshold: float
    at_least: bool = True
    case: str = ""
    limited: bool = True

    @property
    def passed(self) -> bool:
        return self.value >= self.threshold if self.at_least else self.value <= self.threshold

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        value, threshold = _digits(self.value), _digits(self.threshold)
        if not self.limited and self.passed:
            return f"{self.label} {value}"
        return f"{self.label} {value} {sign} {threshold}: {'ok' if self.passed else 'FAILED'}"

    @property
    def label(self) -> str:
        """The name, after that of the case if it is about one."""
        return f"{self.case}: {self.name}" if self.case else self.name

    @property
    def document(self) -> dict[str, Any]:
        """The gate and whether it passed, as plain values; without ``case`` and ``limited`` where they say nothing."""
        found = {**asdict(self), "passed": self.passed}
        silent = {name for name, says in (("case", self.case != ""), ("limited", not self.limited)) if not says}
        return {name: value for name, value in found.items() if name not in silent}


def _digits(value: float) -> str:
    """A number with three decimals, or three digits where it is smaller than they can show."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.0005 else f"{value:.3g}"


def measured_only(name: str, value: float) -> Gate:
    """A gate without a condition, for a value that is to be shown.

    >>> print(measured_only("dominance", 0.25))
    dominance 0.250
    >>> print(Gate("gain", 0.25, -1.0))
    gain 0.250 >= -1.000: ok
    """
    return Gate(name, value, NO_LIMIT, limited=False)


def gate_of(document: Mapping[str, Any]) -> Gate:
    """The gate that `Gate.document` describes; ``at_least``, ``case`` and ``limited`` may be missing."""
    known = {name: document[name] for name in ("at_least", "case", "limited") if name in document}
    return Gate(document["name"], document["value"], document["threshold"], **known)


def gates_hold(gates: Iterable[Gate], n_cases: int | None) -> bool:
    """Whether anything may be ranked: every gate of the problem passed, and not every case failed one of its own."""
    failed = [gate for gate in gates if not gate.passed]
    if any(not gate.case for gate in failed):
        return False
    return n_cases is None or len({gate.case for gate in failed}) < n_cases


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
