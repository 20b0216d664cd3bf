"""An autoencoder of two features with one hidden unit, trained on the exact loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from torch import Tensor

from xaibench.core.types import Array

N_MIDPOINTS = 40
"""Points of the quadrature over each feature where it is there."""
N_STARTS = 24


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """relu(w_i (w x) + b_i).

    Attributes
    ----------
    weights, biases : array (2,)
    """

    weights: Array
    biases: Array

    def __call__(self, inputs: Tensor) -> Tensor:
        """Reconstruct inputs (N, 2)."""
        weights, biases = (inputs.new_tensor(v.tolist()) for v in (self.weights, self.biases))
        return ((inputs @ weights)[:, None] * weights + biases).relu()


@dataclass(frozen=True, eq=False)
class FeatureDistribution:
    """Two independent features, each uniform on (0, 1) with a probability and 0 otherwise, as a quadrature.

    Attributes
    ----------
    points : array (M, 2)
    masses : array (M,)
        Sum to 1.
    """

    points: Array
    masses: Array

    @classmethod
    def of(cls, p: float) -> FeatureDistribution:
        """Each feature is there with probability p."""
        values = np.concatenate([[0.0], (np.arange(N_MIDPOINTS) + 0.5) / N_MIDPOINTS])
        mass = np.concatenate([[1 - p], np.full(N_MIDPOINTS, p / N_MIDPOINTS)])
        grid = np.stack(np.meshgrid(values, values, indexing="ij"), axis=-1).reshape(-1, 2)
        return cls(grid, np.outer(mass, mass).ravel())

    def losses(self, net: Autoencoder) -> Array:
        """Mean squared error of each feature, (2,)."""
        hidden = self.points @ net.weights
        found = np.maximum(hidden[:, None] * net.weights + net.biases, 0)
        error: Array = self.masses @ (found - self.points) ** 2
        return error

    def variances(self) -> Array:
        """Variance of each feature, (2,): what the best constant leaves."""
        mean = self.masses @ self.points
        variance: Array = self.masses @ (self.points - mean) ** 2
        return variance


def loss_and_gradient(parameters: Array, world: FeatureDistribution, r: float) -> tuple[float, Array]:
    """Loss E[(x_1 - x^_1)^2 + r (x_2 - x^_2)^2] and its gradient (4,) at weights and biases."""
    weights, biases = parameters[:2], parameters[2:]
    hidden = world.points @ weights
    before = hidden[:, None] * weights + biases
    error = np.maximum(before, 0) - world.points
    importance = np.array([1.0, r])
    slope = 2 * world.masses[:, None] * importance * error * (before > 0)
    by_weight = hidden @ slope + world.points.T @ (slope @ weights)
    return float(world.masses @ error**2 @ importance), np.concatenate([by_weight, slope.sum(axis=0)])


def train_autoencoder(p: float, r: float, rng: np.random.Generator) -> tuple[Autoencoder, float]:
    """The best of 24 solutions by L-BFGS from drawn starts, and its loss.

    Parameters
    ----------
    p, r : float
        Probability of the features, and importance of the second one.
    rng : Generator
    """
    world = FeatureDistribution.of(p)
    found = [
        minimize(
            loss_and_gradient,
            np.concatenate([rng.standard_normal(2), 0.1 * rng.standard_normal(2)]),
            args=(world, r),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-10},
        )
        for _ in range(N_STARTS)
    ]
    best = min(found, key=lambda solution: float(solution.fun))
    return Autoencoder(best.x[:2], best.x[2:]), float(best.fun)
