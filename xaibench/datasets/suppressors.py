"""Suppressor variable with closed forms (Haufe et al. 2014; Wilming et al. 2023): unrelated to the label, and used.

With labels ``z`` of -1 and +1, equally likely, the columns are ``x1 = z + n1`` and ``x2 = n2``, the
noise being normal with standard deviations ``s1`` and ``s2`` and correlation ``c``. The best rule is
the sign of ``f(x) = w @ x`` with ``w`` proportional to the inverse covariance of the noise times
(1, 0): it uses ``x2`` to take the noise out of ``x1`` (Haufe et al. 2014; Wilming et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt
from pydantic import PositiveFloat, PositiveInt
from scipy.stats import norm

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

Correlation = Annotated[float, Ge(0), Lt(1)]


@dataset("suppressor", features="table", provides={"truth.mask", "truth.distractors"})
def suppressor(
    *,
    seed: int,
    c: Correlation = 0.8,
    s1: PositiveFloat = 0.8,
    s2: PositiveFloat = 0.5,
    train: PositiveInt = 10_000,
    test: PositiveInt = 2_000,
) -> Data:
    """Two columns: a signal with noise, and a suppressor, which shares the noise and is unrelated to the label.

    Parameters
    ----------
    seed : int
    c : float
        Correlation of the noise in the two columns, from 0 to below 1. At 0 there is no suppressor.
    s1, s2 : float
        Standard deviations of the noise.
    train, test : int
        Rows.

    Notes
    -----
    The truth is about the data: which column is associated with the label. A model that is worth
    its name uses the other column as well, so a method that is faithful to the model finds both;
    this problem asks another question (Haufe et al. 2014; Wilming et al. 2023). Two checks: with the
    sign of the label's part of the first column flipped, the decision must flip (on the model); and
    without that part accuracy is at chance, so that the second column by itself says nothing (on the
    data: it holds for every model that has not seen the test labels).
    """
    rng = generator("suppressor", seed, c, s1, s2)
    theory = Theory(c, s1, s2)
    train_inputs, train_targets, _ = theory.draw(train, rng)
    test_inputs, test_targets, noise = theory.draw(test, rng)
    chance, floor = 0.5 + 4 * math.sqrt(0.25 / test), max(theory.accuracy - 0.04, 0.52)
    flipped = noise + np.outer(1 - 2 * test_targets, [1, 0]).astype(np.float32)
    rows = np.arange(test)
    return Data(
        "table",
        train_inputs,
        train_targets,
        test_inputs,
        test_targets,
        test_rows=test_inputs,
        feature_names=("signal", "suppressor"),
        class_names=("-1", "+1"),
        test_mask=np.tile([True, False], (test, 1)),
        train_mask=np.tile([True, False], (train, 1)),
        test_distractors=np.tile([False, True], (test, 1)),
        truth_kind="data",
        interventions=(
            Intervention("signal flipped", flipped, 1 - test_targets, rows, at_least=floor),
            Intervention("signal removed (data)", noise, test_targets, rows, at_most=chance),
        ),
        accuracy_floor=floor,
        facts={"bayes_weights": theory.weights, "c": c, "s1": s1, "s2": s2},
    )


@dataclass(frozen=True)
class Theory:
    """What is known exactly of the suppressor problem, for the output ``f(x) = weights @ x`` of the best rule.

    Parameters
    ----------
    c, s1, s2 : float
        As in `suppressor`.
    """

    c: float
    s1: float = 0.8
    s2: float = 0.5

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Inputs (n, 2) of float32, labels (n,) of 0 and 1, and the noise in the inputs (n, 2) of float32."""
        labels = rng.integers(2, size=n)
        first, second = rng.standard_normal((2, n))
        noise = np.stack([self.s1 * first, self.s2 * (self.c * first + math.sqrt(1 - self.c**2) * second)], axis=1)
        inputs = noise.copy()
        inputs[:, 0] += 2 * labels - 1
        return inputs.astype(np.float32), labels, noise.astype(np.float32)

    @property
    def ratio(self) -> float:
        """Weight of the suppressor relative to that of the signal, without its sign."""
        return self.c * self.s1 / self.s2

    @property
    def weights(self) -> Array:
        """Slopes of the output, of length 1: also what the gradient, PDP and ALE slopes are (2,)."""
        found: Array = np.array([1.0, 0.0 - self.ratio]) / math.hypot(1.0, self.ratio)
        return found

    @property
    def accuracy(self) -> float:
        """Accuracy of the best rule."""
        return float(norm.cdf(1 / (self.s1 * math.sqrt(1 - self.c**2))))

    @property
    def accuracy_without(self) -> float:
        """Accuracy of the best rule that sees the signal only."""
        return float(norm.cdf(1 / self.s1))

    @property
    def pattern(self) -> Array:
        """Covariance of each column with the output (2,); that of the suppressor is 0."""
        return np.array([self.weights[0] * (1 + self.s1**2 * (1 - self.c**2)), 0.0])

    @property
    def permutation_importance(self) -> Array:
        """Accuracy lost when a column is permuted (2,).

        Without the signal the output is independent of the label. A suppressor from another row
        adds its variance to the noise instead of taking it out.
        """
        permuted = norm.cdf(1 / (self.s1 * math.sqrt(1 + self.c**2)))
        return np.array([self.accuracy - 0.5, self.accuracy - permuted])

    @property
    def slope_share(self) -> float:
        """Share of the suppressor in the magnitudes of the weights."""
        return self.ratio / (1 + self.ratio)

    def mean_share(self, maps: Callable[[Array], Array], points: int = 1_000) -> float:
        """Mean over the data of the suppressor's share in the magnitudes of maps.

        Parameters
        ----------
        maps : callable
            From inputs (N, 2) to maps (N, 2), which may change sign with the inputs but not size.
        points : int
            Quadrature points for each of the two sources of noise, at evenly spaced quantiles.
        """
        levels = norm.ppf((np.arange(points) + 0.5) / points)
        first, second = (a.reshape(-1) for a in np.meshgrid(levels, levels))
        x2 = self.s2 * (self.c * first + math.sqrt(1 - self.c**2) * second)
        sizes = abs(maps(np.stack([1 + self.s1 * first, x2], axis=1)))
        return float((sizes[:, 1] / sizes.sum(axis=1)).mean())

    def expected_suppressor(self, x1: Array) -> Array:
        """Mean of the suppressor given the signal (N,); a posterior mean of the label, hence the tanh."""
        return self.c * self.s2 / self.s1 * (x1 - np.tanh(x1 / self.s1**2))

    def contributions(self, inputs: Array) -> Array:
        """Slope times input (N, 2): also integrated gradients from 0 and marginal Shapley values."""
        found: Array = self.weights * inputs
        return found

    def conditional_means(self, inputs: Array) -> Array:
        """Mean of the output given each column (N, 2), the M-plots; that given the suppressor is 0."""
        first, second = self.weights
        given = first * inputs[:, 0] + second * self.expected_suppressor(inputs[:, 0])
        return np.stack([given, np.zeros_like(given)], axis=1)

    def conditional_shapley(self, inputs: Array) -> Array:
        """Shapley values (N, 2) of the game whose coalitions are worth the mean output given their columns."""
        output = inputs @ self.weights
        alone = self.conditional_means(inputs)[:, 0]
        return np.stack([(output + alone) / 2, (output - alone) / 2], axis=1)
