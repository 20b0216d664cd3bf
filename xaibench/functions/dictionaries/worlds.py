"""Worlds of sparse features in superposition: directions, rates, a forest of parents and children, magnitudes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from xaibench.core.types import Array

N_ROOTS, N_CHILDREN, DEPTH = 4, 4, 3
"""Trees, children of a parent, and generations below a root."""
N_FACTORS, FACTOR_SCALE = 25, 0.1
"""Factors of the Gaussian copula that correlates features, and the standard deviation of loadings."""
LARGEST_DRAWN_RATE = 0.99
FIRST_MAGNITUDE, LAST_MAGNITUDE = 5.0, 4.0
ORTHOGONALISATION_STEPS = 100
ROWS_AT_ONCE = 4000


@dataclass(frozen=True, eq=False)
class FeatureWorld:
    """x = sum_i a_i D_i, where few of the activations a_i are not 0.

    Attributes
    ----------
    directions : Tensor (n, d)
        D, of unit length.
    rates : array (n,)
        p_i, of features without parent and siblings; those of others are below.
    parents : array (n,) of int
        -1 for roots and for features outside of the forest.
    loadings : array (n, 25)
        F of the copula: feature i is drawn where F_i e + sqrt(1 - |F_i|^2) u_i is large.
    means, deviations : array (n,)
        Of magnitudes, before they are cut off at 0.
    """

    directions: Tensor
    rates: Array
    parents: Array
    loadings: Array
    means: Array
    deviations: Array

    def root_rates(self) -> Array:
        """Rates (4,) at which the roots are active: p_i times the probability of a magnitude above 0."""
        mean, deviation = self.means[:N_ROOTS], np.maximum(self.deviations[:N_ROOTS], 1e-12)
        found: Array = self.rates[:N_ROOTS] * norm.cdf(mean / deviation)
        return found

    def drawn_rates(self) -> Array:
        """Rates (n,) with which features are drawn before siblings exclude each other.

        That of a child is p_i / p_parent, times 1 plus the sum of its siblings', at most .99.
        """
        child = self.parents >= 0
        rates = self.rates.copy()
        rates[child] = self.rates[child] / self.rates[self.parents[child]]
        groups = rates[child].reshape(-1, N_CHILDREN)
        raised = groups * (1 + groups.sum(axis=1, keepdims=True) - groups)
        rates[child] = np.minimum(raised, LARGEST_DRAWN_RATE).ravel()
        return rates

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (n, d) and the activations (n, features) behind them, float32."""
        parts = [self._activations(min(ROWS_AT_ONCE, n - first), rng) for first in range(0, n, ROWS_AT_ONCE)]
        activations = torch.from_numpy(np.concatenate(parts))
        return activations @ self.directions, activations

    def _activations(self, n: int, rng: np.random.Generator) -> Array:
        """Activations (n, features)."""
        common = rng.standard_normal((n, N_FACTORS), dtype=np.float32) @ self.loadings.T.astype(np.float32)
        own = np.sqrt(1 - (self.loadings**2).sum(axis=1)).astype(np.float32)
        z = common + own * rng.standard_normal((n, len(self.rates)), dtype=np.float32)
        active = z > norm.isf(self.drawn_rates()).astype(np.float32)
        children = np.flatnonzero(self.parents >= 0).reshape(-1, N_CHILDREN)
        for group in children:
            alive = active[:, group] & active[:, self.parents[group[:1]]]
            several = np.flatnonzero(alive.sum(axis=1) > 1)
            order = np.where(alive[several], rng.random((len(several), N_CHILDREN)), -1.0)
            alive[several] = np.arange(N_CHILDREN) == order.argmax(axis=1)[:, None]
            active[:, group] = alive
        rows, features = np.nonzero(active)
        noise = self.deviations[features] * rng.standard_normal(len(features))
        found = np.zeros(active.shape, dtype=np.float32)
        found[rows, features] = np.maximum(self.means[features] + noise, 0)
        for group in children:
            parent = self.parents[group[0]]
            found[:, group] *= found[:, parent : parent + 1] / np.float32(self.means[parent])
        return found


def feature_world(rng: np.random.Generator, *, d: int, n: int, p_max: float, p_min: float) -> FeatureWorld:
    """A world of n features in d dimensions, the most frequent first.

    Parameters
    ----------
    rng : Generator
    d, n : int
    p_max, p_min : float
        Rates of the first and of the last feature; between them they fall as i^(-1/2).
    """
    directions = _nearly_orthogonal(torch.from_numpy(rng.standard_normal((n, d))))
    decay = np.arange(1, n + 1) ** -0.5
    rates = p_min + (p_max - p_min) * (decay - decay[-1]) / (decay[0] - decay[-1])
    return FeatureWorld(
        directions.float(),
        rates,
        forest(n),
        FACTOR_SCALE * rng.standard_normal((n, N_FACTORS)),
        np.linspace(FIRST_MAGNITUDE, LAST_MAGNITUDE, n),
        np.abs(rng.normal(0.5, 0.5, n)),
    )


def forest(n: int) -> Array:
    """Parent (n,) of every feature, -1 for none: 4 trees with 3 generations of 4 children below each root.

    Features are numbered generation after generation, over all trees. Where they end before the forest does, the
    last generation has whole groups of siblings only; what is left of a group has no parent.

    Examples
    --------
    >>> forest(22).tolist()
    [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, -1, -1]
    """
    inner = sum(N_ROOTS * N_CHILDREN**generation for generation in range(DEPTH))
    children = min(inner * N_CHILDREN, max(n - N_ROOTS, 0) // N_CHILDREN * N_CHILDREN)
    parents = np.full(n, -1)
    parents[N_ROOTS : N_ROOTS + children] = np.arange(children) // N_CHILDREN
    return parents


def _nearly_orthogonal(rows: Tensor) -> Tensor:
    """Unit vectors (n, d) with smaller products than random ones have, by 100 steps of Adam."""
    rows = (rows / rows.norm(dim=1, keepdim=True)).requires_grad_()
    optimiser = torch.optim.Adam([rows], lr=0.01)
    n = len(rows)
    for _ in range(ORTHOGONALISATION_STEPS):
        products = rows @ rows.T
        lengths = products.diagonal()
        loss = (products**2).sum() - (lengths**2).sum() + n * ((lengths - 1) ** 2).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        found: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return found
