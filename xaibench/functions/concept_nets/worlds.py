"""Worlds of eight binary concepts with a direction each, and nets that use some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xaibench.core.types import Array

N_CONCEPTS, N_DIMENSIONS = 8, 32
NOISE = 0.3
"""Standard deviation of the noise on each coordinate."""
COPYING = 0.6
"""Probability with which the second concept of a pair copies the first one, where they are correlated."""
OBLIQUE = (0.6, 0.8)
"""Parts of the second direction of a pair along the first one and across it, where directions are oblique."""
STEEPNESS = 6.0
PAIRED_WEIGHTS = ((2.0, 1.0), (-1.5, 0.0), (0.0, 0.0), (0.5, 0.0))
"""Weights of the net on the two concepts of each pair."""


@dataclass(frozen=True, eq=False)
class ConceptWorld:
    """Inputs x = sum_j c_j v_j + noise with concepts c_j of 0 or 1.

    Attributes
    ----------
    directions : Tensor (K, d)
    correlated : bool
        Whether concept 2k + 1 copies concept 2k with probability .6; else all are independent.
    """

    directions: Tensor
    correlated: bool

    def sample(self, n: int, rng: np.random.Generator, *, correlated: bool | None = None) -> tuple[Tensor, Tensor]:
        """Inputs (n, d) and their concepts (n, K).

        Parameters
        ----------
        n : int
        rng : Generator
        correlated : bool, optional
            Instead of what is so in this world.
        """
        concepts = rng.integers(0, 2, size=(n, N_CONCEPTS)).astype(np.float64)
        copied = rng.random((n, N_CONCEPTS // 2)) < COPYING
        if self.correlated if correlated is None else correlated:
            concepts[:, 1::2] = np.where(copied, concepts[:, ::2], concepts[:, 1::2])
        noise = NOISE * rng.standard_normal((n, N_DIMENSIONS))
        found = torch.from_numpy(concepts)
        return found @ self.directions + torch.from_numpy(noise), found

    def redraw(self, concepts: Tensor, rng: np.random.Generator, *, conditional: bool = True) -> Tensor:
        """Each concept (n, K) drawn again given all others, that is, given its partner; or regardless of them."""
        rate = torch.full_like(concepts, 0.5)
        if self.correlated and conditional:
            partners = concepts.view(len(concepts), -1, 2).flip(2).flatten(1)
            rate += COPYING * (partners - 0.5)
        return (torch.from_numpy(rng.random(tuple(concepts.shape))) < rate).to(concepts.dtype)


@dataclass(frozen=True, eq=False)
class ConceptNet:
    """f(x) = sum_j w_j sigmoid(6 (u_j x - 1/2)), where u_j v_k is 1 for j = k and else 0.

    Attributes
    ----------
    duals : Tensor (K, d)
        u_j.
    weights : Tensor (K,)
    """

    duals: Tensor
    weights: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs (n,) for inputs (n, d); differentiable."""
        found: Tensor = (STEEPNESS * (inputs @ self.duals.T - 0.5)).sigmoid() @ self.weights
        return found

    def effects(self) -> Tensor:
        """Mean change of the output (K,) when a concept is put in instead of taken out, by Gauss-Hermite quadrature.

        Concept j moves u_j x by 1 and no other one, so the effect is w_j E[s(1/2 + e) - s(-1/2 + e)] for
        s(z) = sigmoid(6 z), where e is the noise along u_j.
        """
        points, masses = np.polynomial.hermite_e.hermegauss(64)
        noise = NOISE * self.duals.norm(dim=1, keepdim=True) * torch.from_numpy(points)
        rise = (STEEPNESS * (0.5 + noise)).sigmoid() - (STEEPNESS * (noise - 0.5)).sigmoid()
        found: Tensor = self.weights * (rise @ torch.from_numpy(masses / masses.sum()))
        return found


def concept_directions(rng: np.random.Generator, *, oblique: bool) -> Tensor:
    """Unit vectors (K, d): orthogonal, or with the two of each pair at a cosine of .6."""
    q: Array = np.linalg.qr(rng.standard_normal((N_DIMENSIONS, N_CONCEPTS)))[0].T
    if oblique:
        q = q.copy()
        q[1::2] = OBLIQUE[0] * q[::2] + OBLIQUE[1] * q[1::2]
    return torch.from_numpy(np.ascontiguousarray(q))


def dual_directions(directions: Tensor) -> Tensor:
    """Vectors (K, d) in the span of the directions whose product with each of them is 1, and 0 with all others."""
    found: Tensor = torch.linalg.pinv(directions).T
    return found
