"""Networks that stand in for formulas: one hidden layer of 64 ReLU units, fitted in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xaibench.core.programs.black_box import Domain, Values
from xaibench.core.types import Array

HIDDEN_UNITS = 64
GRID = 2048


@dataclass(frozen=True, eq=False)
class Network:
    """``bias + sum_k a_k relu(w_k x + b_k)``, where the formula has a value.

    Attributes
    ----------
    formula : callable
        What was approximated.
    weights, biases, outputs : array (64,)
    bias : float
    """

    formula: Callable[[Values], Array]
    weights: Array
    biases: Array
    outputs: Array
    bias: float

    def __call__(self, inputs: Values) -> Array:
        x = np.asarray(inputs, dtype=np.float64)
        return np.where(np.isfinite(self.formula(x)), self.smooth(x), np.nan)

    def smooth(self, x: Array) -> Array:
        """The network everywhere."""
        out: Array = hidden(x, self.weights, self.biases) @ self.outputs + self.bias
        return out


def hidden(x: Array, weights: Array, biases: Array) -> Array:
    """Activations (n, 64)."""
    units: Array = np.maximum(x[:, None] * weights + biases, 0)
    return units


def fit_network(formula: Callable[[Values], Array], domain: Domain, rng: np.random.Generator) -> Network:
    """Fit the output layer by least squares, above hidden units whose kinks are spread over the domain at random.

    FIND trains 10,000 steps of Adam on all weights, about a minute for each function. What matters
    here is a function that is close to the formula and not it, in known weights; this is exact,
    takes milliseconds, and is measured against Adam in the acceptance tests.
    """
    x = np.linspace(domain.low, domain.high, GRID)
    y = formula(x)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    weights = rng.choice([-1.0, 1.0], size=HIDDEN_UNITS)
    biases = -weights * (
        domain.low + (np.arange(HIDDEN_UNITS) + rng.random(HIDDEN_UNITS)) * (domain.high - domain.low) / HIDDEN_UNITS
    )
    design = np.column_stack([hidden(x, weights, biases), np.ones(len(x))])
    outputs = np.linalg.lstsq(design, y, rcond=1e-10)[0] if len(x) else np.zeros(HIDDEN_UNITS + 1)
    return Network(formula, weights, biases, outputs[:-1], float(outputs[-1]))
