"""The plant for series: a bump on one sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.types import Array

LEAST_STEPS = 3
"""Steps that a bump has at least."""


@dataclass(frozen=True)
class BumpPlant:
    """Half a sine wave over some steps of one sensor, at a uniform place: upwards in version A, downwards in B.

    Attributes
    ----------
    wave : array (L,)
        What is added.
    sensor : int or None
        The sensor; None of series of shape (T,).
    time_axis : int
        Axis of the time in one sample.
    shape : tuple of int
        Of one sample.
    """

    wave: Array
    sensor: int | None
    time_axis: int
    shape: tuple[int, ...]
    moves: bool = True
    n_draws: int = 1

    def _places(self, noise: Array) -> list[tuple[slice | int, ...]]:
        n, steps = self.shape[self.time_axis], len(self.wave)
        starts = np.minimum((noise[:, 0] * (n - steps + 1)).astype(np.int64), n - steps).tolist()
        spans = [slice(start, start + steps) for start in starts]
        if self.sensor is None:
            return [(span,) for span in spans]
        return [(span, self.sensor) if self.time_axis == 0 else (self.sensor, span) for span in spans]

    def put(self, rows: Array, versions: Array, noise: Array) -> Array:
        """Series (N, *shape) with the plant in the versions (N,) 1, -1 or 0; ``noise`` (N, 1) from U[0, 1)."""
        changed = rows.copy()
        for i, place in enumerate(self._places(noise)):
            changed[i][place] += (float(versions[i]) * self.wave).astype(rows.dtype)
        return changed

    def natural(self, rows: Array) -> Array:
        """Rows (N,) that have a version by themselves: none."""
        return np.zeros(len(rows), dtype=bool)

    def mask(self, rows: Array, noise: Array) -> Array:
        """The truth (N, *shape) of bool."""
        found = np.zeros((len(noise), *self.shape), dtype=bool)
        for i, place in enumerate(self._places(noise)):
            found[i][place] = True
        return found


def bump_plant(data: Data, *, steps: int, height: float, sensor: int) -> BumpPlant:
    """The plant for series like those of a data set.

    Parameters
    ----------
    data : Data
    steps : int
        Steps of the bump; 0: a sixteenth of the series, at least 3.
    height : float
        Its height in standard deviations of the sensor.
    sensor : int

    Raises
    ------
    UsageError
        If there is no such sensor, or the bump does not fit.
    """
    layout, shape = data.layout, data.input_shape
    (time,) = layout.neighbour_axes
    n = shape[time]
    chosen = steps or max(LEAST_STEPS, n // 16)
    n_sensors = 1 if len(shape) == 1 else shape[1 - time]
    if not 0 <= sensor < n_sensors:
        raise UsageError(f"sensor = {sensor} is not among the {n_sensors} sensors", "they are counted from 0")
    if not 2 <= chosen <= n // 2:
        raise UsageError(f"a bump of {chosen} steps does not fit into {n}", "at least 2, at most half of the series")
    alone = None if len(shape) == 1 else sensor
    values = data.train_inputs if alone is None else np.take(data.train_inputs, alone, axis=2 - time)
    wave = height * float(values.std()) * np.sin(np.pi * (np.arange(chosen) + 0.5) / chosen)
    return BumpPlant(wave, alone, time, shape)
