"""A table whose labels follow a sum of splines of one and two columns, so that every contribution is known."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le, Lt
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import UsageError
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

KNOTS = np.linspace(-4.0, 4.0, 17)
"""Centres of the splines: half a standard deviation apart, beyond the range of almost all values."""
SINGLE_SCALE, PAIR_SCALE = 1.0, 1.5
"""Standard deviation of every term of one column and of two, over the training rows."""


@dataset("additive_table", features="table")
def additive_table(
    *,
    seed: int,
    features: Annotated[int, Ge(2), Le(100)] = 12,
    pairs: Annotated[int, Ge(0)] = 0,
    correlation: Annotated[float, Ge(0), Lt(1)] = 0.0,
    train: PositiveInt = 2000,
    test: PositiveInt = 500,
) -> Data:
    """Normal columns; the log odds of the label are a sum of random cubic splines of single columns and of pairs.

    The model ``additive_terms`` is that sum, so contributions against any baseline have closed forms
    (`xaibench.core.additive.exact_contributions`). Every spline has independent normal coefficients and the same
    standard deviation over the training rows; a term of two columns is the product of two splines. xaibench's own
    definition, see docs/suites/additive.md.

    Parameters
    ----------
    seed : int
    features : int
        Columns; each has a term of its own.
    pairs : int
        Terms of two columns, which share no column.
    correlation : float
        Of every two columns.
    train, test : int
        Rows.

    Raises
    ------
    UsageError
        If there are more pairs than the columns have room for.
    """
    if 2 * pairs > features:
        raise UsageError(f"{pairs} pairs without a common column need {2 * pairs} columns, not {features}")
    rng = generator("additive_table", seed, features, pairs, correlation)
    shared = rng.standard_normal((train + test, 1))
    own = rng.standard_normal((train + test, features))
    inputs = (np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own).astype(np.float32)
    bases = cubic_bases(inputs)
    fitted = bases[:train]
    coefficients = _scaled(rng.standard_normal((features, len(KNOTS))), fitted, SINGLE_SCALE)
    members = rng.permutation(features)[: 2 * pairs].reshape(pairs, 2)
    pair_coefficients = np.stack(
        [_scaled(rng.standard_normal((pairs, len(KNOTS))), fitted[:, members[:, side]], 1.0) for side in (0, 1)], axis=1
    ) if pairs else np.zeros((0, 2, len(KNOTS)))  # fmt: skip
    pair_coefficients[:, 0] *= PAIR_SCALE
    odds = np.einsum("njk,jk->n", bases, coefficients)
    for (i, j), (a, b) in zip(members, pair_coefficients, strict=True):
        odds += (bases[:, i] @ a) * (bases[:, j] @ b)
    intercept = -float(np.median(odds[:train]))
    labels = (rng.random(train + test) < 1 / (1 + np.exp(-(odds + intercept)))).astype(np.int64)
    right = float((labels[train:] == (odds[train:] + intercept > 0)).mean())
    return Data(
        "table",
        inputs[:train],
        labels[:train],
        inputs[train:],
        labels[train:],
        test_rows=inputs[train:],
        feature_names=tuple(f"x{j}" for j in range(features)),
        class_names=("no", "yes"),
        accuracy_floor=right - 0.04,
        facts={
            "knots": KNOTS,
            "coefficients": coefficients,
            "pairs": members,
            "pair_coefficients": pair_coefficients,
            "intercept": intercept,
        },
    )


def cubic_bases(inputs: Array) -> Array:
    """Cubic B-splines (N, d, K) around every knot, float64."""
    away = np.abs(inputs.astype(np.float64)[..., None] - KNOTS) / (KNOTS[1] - KNOTS[0])
    near = (4 - 6 * away**2 + 3 * away**3) / 6
    found: Array = np.where(away < 1, near, np.maximum(2 - away, 0) ** 3 / 6)
    return found


def _scaled(coefficients: Array, bases: Array, scale: float) -> Array:
    """Coefficients (T, K) of splines with this standard deviation over rows with these bases (N, T, K)."""
    values = np.einsum("njk,jk->nj", bases, coefficients)
    found: Array = coefficients * (scale / values.std(axis=0))[:, None]
    return found
