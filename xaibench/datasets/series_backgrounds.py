"""Series that say nothing about a planted class: real ones of the UCR archive, or sums of sines."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

from xaibench.core.errors import DataError
from xaibench.core.types import Array
from xaibench.datasets.fetch import read_fetched
from xaibench.datasets.splits import generator

SeriesBackground = Literal["sines", "gunpoint", "italy_power_demand"]
"""``sines``: made up, nothing to fetch. The others are fetched by `xaibench data fetch NAME`."""
N_SINES = 200
SINES_LENGTH = 150
_FILES = {"gunpoint": "GunPoint", "italy_power_demand": "ItalyPowerDemand"}


@cache
def series_backgrounds(name: SeriesBackground) -> tuple[Array, Array]:
    """Series for training and for testing, (M, T) float64 each, every one with mean 0 and variance 1.

    Raises
    ------
    DataError
        If real series were not fetched, or a file is not what it should be.
    """
    if name == "sines":
        return _sines("train"), _sines("test")
    stem = _FILES[name]
    train, test = (read_ts(read_fetched(name, f"{stem}_{part}.ts").decode()) for part in ("TRAIN", "TEST"))
    return train, test


def read_ts(text: str) -> Array:
    """Univariate series (M, T) of equal length in the ts format: a line each, the class behind the last colon.

    Raises
    ------
    DataError
        If a line is not numbers, or lengths differ.

    Examples
    --------
    >>> from xaibench.datasets.series_backgrounds import read_ts
    >>> read_ts("@seriesLength 2\\n@data\\n1.0,2.0:a\\n3.0,4.0:b\\n").tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    lines = [line for line in text.splitlines() if line.strip() and line[0] not in "@#"]
    try:
        rows = [[float(value) for value in line.rpartition(":")[0].split(",")] for line in lines]
    except ValueError as error:
        raise DataError(f"a line is not a univariate series: {error}", "fetch the data again") from error
    if len({len(row) for row in rows}) != 1:
        raise DataError(f"{len(rows)} series have different lengths, or there are none", "fetch the data again")
    found: Array = np.array(rows)
    return found


def _sines(part: str) -> Array:
    """Sums of four sines of half a period to three: slower than what is planted, and never the same twice."""
    rng = generator("series backgrounds", "sines", part)
    time = np.arange(SINES_LENGTH) / SINES_LENGTH
    periods, phases = rng.uniform(0.5, 3, size=(N_SINES, 4, 1)), rng.uniform(0, 1, size=(N_SINES, 4, 1))
    sums = (rng.normal(size=(N_SINES, 4, 1)) * np.sin(2 * np.pi * (periods * time + phases))).sum(axis=1)
    found: Array = (sums - sums.mean(axis=1, keepdims=True)) / sums.std(axis=1, keepdims=True)
    return found
