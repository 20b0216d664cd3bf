"""Square waves fitted to points: fold them over a period, and find the half that holds the ones."""

from __future__ import annotations

import math

import numpy as np

from xaibench.core.types import Array


def fit_square_wave(x: Array, y: Array, frequencies: Array, *, step: float) -> tuple[float, float]:
    """Period and shift of the square wave (0 and 1) with the least squared error.

    Parameters
    ----------
    x, y : array (n,)
    frequencies : array (k,)
        Angular frequencies to start from.
    step : float
        How far from them the frequency may be.

    Returns
    -------
    period, shift : float
        In the middle of what the points leave open.
    """
    candidates = (frequencies[:, None] + step * np.linspace(-1, 1, 241)).ravel()
    for width in (step / 100, step / 2000):
        error, room, _ = _fold(x, y, candidates)
        best = candidates[np.lexsort((-room, error))[:6]]
        candidates = (best[:, None] + width * np.linspace(-1, 1, 41)).ravel()
    error, room, start = _fold(x, y, candidates)
    k = np.lexsort((-room, error))[0]
    period = 2 * math.pi / candidates[k]
    return float(period), float(start[k] * period)


def _fold(x: Array, y: Array, frequencies: Array) -> tuple[Array, Array, Array]:
    """For each frequency (k,): the least squared error, how far the start may move, and the start, in periods."""
    n, k = len(x), len(frequencies)
    phases = np.mod(x * (frequencies[:, None] / (2 * math.pi)), 1.0)
    order = np.argsort(phases, axis=1, kind="stable")
    phases = np.take_along_axis(phases, order, axis=1)
    twice = np.concatenate([phases, phases + 1], axis=1)
    cost = np.concatenate([np.zeros((k, 1)), np.cumsum(np.tile(1 - 2 * y[order], 2), axis=1)], axis=1)
    rows = 4.0 * np.arange(k)[:, None]
    flat = (twice + rows).ravel()
    ends = np.searchsorted(flat, (phases + 0.5 + rows).ravel()).reshape(k, n) - 2 * n * np.arange(k)[:, None]
    errors = (y**2).sum() + np.take_along_axis(cost, ends, axis=1) - cost[:, :n]
    first = np.argmin(errors, axis=1)
    row = np.arange(k)
    end = ends[row, first]
    before = np.where(first > 0, phases[row, first - 1], phases[row, -1] - 1)
    low = np.maximum(before, twice[row, end - 1] - 0.5)
    high = np.minimum(phases[row, first], twice[row, np.minimum(end, 2 * n - 1)] - 0.5)
    return errors[row, first], high - low, (low + high) / 2
