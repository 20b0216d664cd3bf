"""How directions and firing of a dictionary agree with those of the features of a world."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from xaibench.core.cases.answers import Dictionary
from xaibench.core.types import Array

NEGLIGIBLE_CODE = 1e-6
"""Codes below this share of the largest one of the dictionary are rounding, and count as 0."""


def absolute_cosines(directions: Tensor, features: Tensor) -> Array:
    """|cosine| (m, n) of directions (m, d) and features (n, d); 0 for a direction of length 0.

    Features and directions are lines: the sign of a direction has no meaning without its codes.
    """
    a, b = directions.double(), features.double()
    a = a / a.norm(dim=1, keepdim=True).clamp_min(1e-300)
    b = b / b.norm(dim=1, keepdim=True).clamp_min(1e-300)
    found: Array = (a @ b.T).abs().numpy()
    return found


def mean_cosine(directions: Tensor, features: Tensor) -> float:
    """Mean |cosine| of the directions with the features, matched one to one so that it is largest (Hungarian)."""
    cosines = absolute_cosines(directions, features)
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    return float(cosines[rows, columns].sum() / min(cosines.shape))


def firing(codes: Tensor) -> Tensor:
    """Where codes (T, m) are active: not 0, up to rounding."""
    sizes = codes.abs()
    return sizes > NEGLIGIBLE_CODE * sizes.max()


def firing_f1(dictionary: Dictionary, features: Tensor, activations: Tensor) -> float:
    """Mean over directions of F1 of their firing against that of the nearest feature; 0 for directions that never fire.

    Parameters
    ----------
    dictionary : Dictionary
    features : Tensor (n, d)
    activations : Tensor (T, n)
        Of the features at the test inputs.
    """
    nearest = torch.from_numpy(absolute_cosines(dictionary.directions, features).argmax(axis=1))
    found, wanted = firing(dictionary.codes).double(), (activations[:, nearest] > 0).double()
    both = (found * wanted).sum(dim=0)
    either = found.sum(dim=0) + wanted.sum(dim=0)
    return float(np.where(both > 0, 2 * both / either.clamp_min(1), 0.0).mean())
