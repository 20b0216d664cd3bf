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
            within = (torch.cov(positives.T) + torch.cov(negatives.T)) / 2
            found = torch.linalg.solve(within + FILTER_RIDGE * torch.eye(len(within), dtype=within.dtype), found)
        if method == "pattern":
            found = torch.cov(torch.cat([positives, negatives]).T) @ found
    found /= found.norm()
    return found
