"""Measuring the gates of a problem on its fitted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from xaibench.core.data import Check, Data
from xaibench.core.gates import Findings, Gate
from xaibench.core.outputs import select_output
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array


def accuracy(model: Predictor, inputs: Array, targets: Array, context: Mapping[str, Array] | None = None) -> float:
    """Share of inputs (N, *input_shape) that the model assigns to their class (N,)."""
    predicted = predict_raw(model, inputs, context).argmax(dim=1).cpu().numpy()
    return float((predicted == targets).mean())


def margins(model: Predictor, inputs: Array, targets: Array, context: Mapping[str, Array] | None = None) -> Array:
    """Output of the class minus the largest other one, for each input: array (N,) of float32."""
    raw = predict_raw(model, inputs, context)
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
        Finds out what a check says, such as `CachedFindings.measure`; by default the check is asked.
    """
    gates = []
    if data.accuracy_floor is not None:
        name = "R2" if data.test_values is not None else "accuracy" if data.test_labels is None else "F1"
        gates.append(Gate(name, score, data.accuracy_floor))
    for check in data.interventions:
        own = {name: values[check.rows] for name, values in data.test_context.items()}
        changed = accuracy(model, check.inputs, check.targets, own if check.context is None else check.context)
        if check.max_drop is not None:
            clean = accuracy(model, data.test_inputs[check.rows], check.targets, own)
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
