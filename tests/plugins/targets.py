"""Data sets with one column, several labels and several values, and linear models of known weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import xaibench as xb

WEIGHTS = np.array([[2.0, -1, 0.5, 0], [0, 1, -2, 0.25], [-1, 0, 0, 1]])
BIAS = np.array([0.1, -0.2, 0.3])
LEVEL = np.array([1e8, -1e8, 0.0])
LABELS = ("rain", "snow", "north-wind")


def _rows(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(160, 4)).astype(np.float32)


def _data(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], **given: Any) -> xb.Data:
    return xb.Data("table", x[:100], y[:100], x[100:], y[100:], **given)


@xb.dataset("weather", features="table")
def weather(*, seed: int = 0) -> xb.Data:
    """Three labels that may be true together."""
    x = _rows(seed)
    return _data(x, (x @ WEIGHTS.T + BIAS > 0).astype(int), class_names=LABELS, accuracy_floor=0.95)


@xb.dataset("halves", features="table")
def halves(*, seed: int = 0) -> xb.Data:
    """Two classes."""
    x = _rows(seed)
    return _data(x, (x @ WEIGHTS[0] + BIAS[0] > 0).astype(int), class_names=("no", "yes"), accuracy_floor=0.95)


@xb.dataset("thirds", features="table")
def thirds(*, seed: int = 0) -> xb.Data:
    """Three classes."""
    x = _rows(seed)
    return _data(x, (x @ WEIGHTS.T + BIAS).argmax(axis=1), class_names=LABELS, accuracy_floor=0.95)


@xb.dataset("levels", features="table")
def levels(*, seed: int = 0, large: bool = True) -> xb.Data:
    """Three values, two of them around a hundred million."""
    x = _rows(seed)
    return _data(x, x @ WEIGHTS.T + LEVEL * large, class_names=LABELS, accuracy_floor=0.99)


def _linear(weights: np.ndarray[Any, Any], bias: np.ndarray[Any, Any]) -> nn.Linear:
    net = nn.Linear(weights.shape[1], len(weights))
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(weights))
        net.bias.copy_(torch.from_numpy(bias))
    return net


@xb.model("three", provides={"gradients", "module", "truth.weights"})
def three(data: xb.Data) -> nn.Module:
    """A module with three columns."""
    return _linear(WEIGHTS, BIAS)


@xb.model("single", provides={"gradients", "module", "truth.weights"})
def single(data: xb.Data) -> nn.Module:
    """A module with a single column."""
    return _linear(WEIGHTS[:1], BIAS[:1])


@xb.model("double", provides={"gradients", "module", "truth.weights"})
def double(data: xb.Data) -> nn.Module:
    """The same with a column for every class."""
    return _linear(np.concatenate([-WEIGHTS[:1], WEIGHTS[:1]]) / 2, np.concatenate([-BIAS[:1], BIAS[:1]]) / 2)


class _Regressor:
    """Returns values around the levels of the data, in float64."""

    def __init__(self, level: np.ndarray[Any, Any]) -> None:
        self.level = level

    def predict(self, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return inputs.astype(np.float64) @ WEIGHTS.T + self.level


@xb.model("regressor")
def regressor(data: xb.Data) -> Any:
    """A black box that returns three values."""
    assert data.train_values is not None
    return _Regressor(LEVEL * (np.abs(data.train_values).max() > 1e6))
