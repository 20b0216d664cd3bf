"""An estimate with its interval, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_SAMPLES = 6
"""With fewer samples nothing is said: no test of so few could pass."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, and how many samples it comes from."""

    value: float
    low: float
    high: float
    n: int


NOTHING = Estimate(np.nan, np.nan, np.nan, 0)
