"""Concept activation vectors: the direction of a concept from inputs that have it and inputs that do not."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

VectorMethod = Literal["mean difference", "filter", "pattern", "logistic", "random"]
"""Difference in means, linear discriminant, its pattern, logistic regression, or a direction drawn at random."""
FILTER_RIDGE = 0.01


def concept_vector(positives: Tensor, negatives: Tensor, method: VectorMethod, rng: np.random.Generator) -> Tensor:
    """Unit vector (d,) that points to the concept.

    Parameters
    ----------
    positives, negatives : Tensor (n, d)
    method : {"mean difference", "filter", "pattern", "logistic", "random"}
        ``filter`` is (S_w + .01 I)^-1 (m_1 - m_0), ``pattern`` the covariance of the inputs times the filter
        (Haufe et al. 2014).
    rng : Generator
        For ``random``.
    """
    found: Tensor
    if method == "random":
        found = torch.from_numpy(rng.standard_normal(positives.shape[1]))
    elif method == "logistic":
        x = torch.cat([positives, negatives]).numpy()
        y = np.repeat([1, 0], [len(positives), len(negatives)])
        found = torch.from_numpy(LogisticRegression(max_iter=1000).fit(x, y).coef_[0])
    else:
        found = positives.mean(dim=0) - negatives.mean(dim=0)
        if method != "mean difference":
            found = _filtered(positives, negatives, found)
        if method == "pattern":
            found = _times_covariance(torch.cat([positives, negatives]), found)
    found /= found.norm()
    return found


def _filtered(positives: Tensor, negatives: Tensor, difference: Tensor) -> Tensor:
    """(S_w + .01 I)^-1 times the difference in means (d,).

    Where there are fewer inputs than dimensions, S_w = A A' has the rank of A (d, n) at most, and by Woodbury's
    identity a system of n equations is enough.
    """
    d, n = len(difference), len(positives) + len(negatives)
    if d <= n:
        within = (torch.cov(positives.T) + torch.cov(negatives.T)) / 2
        found: Tensor = torch.linalg.solve(within + FILTER_RIDGE * torch.eye(d, dtype=within.dtype), difference)
        return found
    parts = [(part - part.mean(dim=0)).T / (2 * (len(part) - 1)) ** 0.5 for part in (positives, negatives)]
    a = torch.cat(parts, dim=1)
    inner = a.T @ a + FILTER_RIDGE * torch.eye(n, dtype=a.dtype)
    low_rank: Tensor = (difference - a @ torch.linalg.solve(inner, a.T @ difference)) / FILTER_RIDGE
    return low_rank


def _times_covariance(inputs: Tensor, direction: Tensor) -> Tensor:
    """Covariance of the inputs (n, d) times a direction (d,)."""
    n, d = inputs.shape
    if d <= n:
        found: Tensor = torch.cov(inputs.T) @ direction
        return found
    centred = inputs - inputs.mean(dim=0)
    product: Tensor = centred.T @ (centred @ direction) / (n - 1)
    return product
