"""Piecewise linear functions for the impossibility theorem of Bilodeau et al. (2024), with known local slopes."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import UsageError
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

BEYOND = 8
"""Cells on the far side of the samples, for questions about steps that leave the samples' own cell."""
JITTER = 1e-3
"""Samples lie within this distance of the point that has all cells behind it; it makes them distinct."""


@dataset("piecewise", features="table")
def piecewise(
    *,
    seed: int,
    cells: Annotated[int, Ge(1), Le(1000)] = 10,
    features: Annotated[int, Ge(2)] = 400,
    functions: Annotated[int, Ge(2)] = 20,
    flat: Annotated[float, Ge(0), Le(1)] = 0.0,
    bump: bool = False,
) -> Data:
    """Sums of random piecewise linear functions, one sum per output, and one sample for each of them.

    Output c is ``f_c(x) = g_c1(x_1) + ... + g_cd(x_d)``; every g is 0 at 0, continuous, and linear on
    cells with independent slopes from N(0, 1). The sample of an output has ``x_j = cells`` (within
    0.001) in every feature, in the middle of its last cell: the cells end at 1, 2, ..., cells - 1,
    cells + 1, ... So steps of less than 1 in either direction see one slope, the last of ``cells``
    that lie between the baseline 0 and the sample. Explain the class of the label: then all pairs
    of sample and feature are independent draws.

    The contributions of f are ``g_cj(x_j)``, by integrated gradients as by Shapley values, and with
    probability ``1/2 + asin(1 / sqrt(cells)) / pi`` their sign is that of the local slope: a sum
    of ``cells`` independent normal slopes and one of them correlate by ``1 / sqrt(cells)``. xaibench's
    own definition, see docs/suites/impossibility.md.

    Parameters
    ----------
    seed : int
    cells : int
        Cells between the baseline and the samples.
    features : int
    functions : int
        Outputs, and as many samples for testing.
    flat : float
        Probability that a function is constant in the cell of the sample: a feature that matters,
        and not there.
    bump : bool
        The worst case instead of the average: the slopes of one cell strictly between baseline and
        sample are set so that every contribution is 1. Half of the local slopes of an output are
        positive and half negative, and those of outputs 2i and 2i + 1 are opposite.

    Raises
    ------
    UsageError
        If there is no room for a bump: fewer than 3 cells, or odd numbers of features or functions;
        or if half of the slopes of a bump should be flat.
    """
    if bump and (cells < 3 or features % 2 or functions % 2 or flat):
        raise UsageError("a bump needs at least 3 cells, even numbers of features and functions, and flat = 0")
    rng = generator("piecewise", seed)
    slopes = rng.standard_normal((functions, features, cells + BEYOND))
    slopes[rng.random((functions, features)) < flat, cells - 1] = 0
    train, test = (
        (cells + JITTER * rng.uniform(-1, 1, (functions, features))).astype(np.float32) for _ in ("train", "test")
    )
    if bump:
        slopes = bumped(slopes, test, rng)
    columns, order = np.arange(functions), rng.permutation(functions)
    return Data(
        "table",
        train,
        columns,
        test[order],
        columns[order],
        test_rows=test[order],
        feature_names=tuple(f"x{j}" for j in range(features)),
        class_names=tuple(f"f{c}" for c in columns),
        accuracy_floor=None,
        facts={"slopes": slopes.astype(np.float32), "knots": knots(cells)},
    )


def knots(cells: int) -> Array:
    """Where the cells begin, array (cells + BEYOND,), float32: the first one goes on to minus infinity."""
    starts = np.arange(cells + BEYOND, dtype=np.float32)
    starts[cells:] += 1
    return starts


def bumped(slopes: Array, samples: Array, rng: np.random.Generator) -> Array:
    """The same functions with every contribution 1, and with local slopes that are balanced and come in opposite pairs.

    Parameters
    ----------
    slopes : array (C, d, cells + BEYOND)
    samples : array (C, d)
        Sample of every output.
    rng : numpy.random.Generator

    Returns
    -------
    array (C, d, cells + BEYOND)
    """
    functions, features, _ = slopes.shape
    last = slopes.shape[2] - BEYOND - 1
    changed = slopes.copy()
    changed[1::2] = changed[::2]
    halves = np.tile(np.repeat([1.0, -1.0], features // 2), (functions // 2, 1))
    signs = rng.permuted(halves, axis=1)
    size = np.abs(changed[::2, :, last])
    changed[::2, :, last], changed[1::2, :, last] = signs * size, -signs * size
    # Every cell before the last one is 1 wide, so the middle one makes up what is missing with its slope.
    middle = last // 2
    changed[..., middle] = 0
    path = changed[..., :last].sum(axis=2) + changed[..., last] * (samples.astype(np.float64) - last)
    changed[..., middle] = 1 - path
    return changed
