"""Gates: measured conditions that make a problem's truth true, and the checks that measure them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from xaibench.core.outputs import select_output
from xaibench.core.predictor import Predictor

if TYPE_CHECKING:
    from xaibench.core.data import Array, Data


@dataclass(frozen=True)
class Gate:
    """A measured condition that makes a problem's truth true."""

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


class Check(Protocol):
    """Measures a fitted model: whether the truth that its data set claims is true of it."""

    @property
    def identity(self) -> list[Any]:
        """Name, version and everything that the findings depend on besides model and data, as plain values."""
        ...

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Look at the model; deterministic, and without changing it."""
        ...


def accuracy(model: Predictor, inputs: Array, targets: Array) -> float:
    """Share of inputs (N, *input_shape) that the model assigns to their class (N,)."""
    predicted = model.predict(torch.from_numpy(inputs)).argmax(dim=1).cpu().numpy()
    return float((predicted == targets).mean())


def margins(model: Predictor, inputs: Array, targets: Array) -> Array:
    """Output of the class less the largest other one, for each input: array (N,) of float32."""
    raw = model.predict(torch.from_numpy(inputs))
    picked = select_output(raw, torch.from_numpy(targets).to(raw.device), "margin", model.returns)
    found: Array = picked.cpu().numpy()
    return found


def measure_gates(
    data: Data, model: Predictor, score: float, measure: Callable[[Check, Predictor, Data], Findings] | None = None
) -> Findings:
    """Held-out score against the floor, interventions, and every other check that the data set brings.

    Parameters
    ----------
    data : Data
    model : Predictor
    score : float
        Accuracy on the test split; for regression, R2.
    measure : callable, optional
        Finds out what a check says, such as `KeptFindings.measure`; by default the check is asked.
    """
    gates = []
    if data.accuracy_floor is not None:
        gates.append(Gate("R2" if data.test_values is not None else "accuracy", score, data.accuracy_floor))
    for check in data.interventions:
        changed = accuracy(model, check.inputs, check.targets)
        if check.max_drop is not None:
            clean = accuracy(model, data.test_inputs[check.rows], check.targets)
            gates.append(Gate(f"accuracy drop, {check.name}", clean - changed, check.max_drop, at_least=False))
        if check.at_most is not None:
            gates.append(Gate(f"accuracy, {check.name}", changed, check.at_most, at_least=False))
        if check.at_least is not None:
            gates.append(Gate(f"accuracy, {check.name}", changed, check.at_least))
    inputs: dict[str, Array] = {}
    for probe in data.checks:
        found = probe.measure(model, data) if measure is None else measure(probe, model, data)
        gates += found.gates
        inputs |= found.inputs
    return Findings(tuple(gates), inputs)
