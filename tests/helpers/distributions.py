"""Paired differences of mean 0, from symmetric to very skewed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

MEAN_ZERO: dict[str, Draw] = {
    "normal": lambda r, size: r.normal(0, 1, size),
    "1 - exponential": lambda r, size: 1 - r.exponential(1, size),
    "e^.5 - log-normal": lambda r, size: np.exp(0.5) - r.lognormal(0, 1, size),
    ".1 in 80 %, -.4 in 20 %": lambda r, size: np.where(r.random(size) < 0.8, 0.1, -0.4),
    ".2 - beta(1/2, 2)": lambda r, size: 0.2 - r.beta(0.5, 2, size),
}
