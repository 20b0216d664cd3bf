"""Mean removal curves: means and Student's intervals point by point."""

from __future__ import annotations

import numpy as np
import pytest

from xaibench.analysis.mean_curves import mean_curve


def test_mean_and_interval_by_hand() -> None:
    found = mean_curve(np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [3.0, 5.0, 4.0]]))
    np.testing.assert_array_equal(found.mean, [2.0, 5.0, 4.0])
    half = 4.302652729749462 / np.sqrt(3)  # Student's t of 2 degrees of freedom, standard deviation 1
    assert (found.low[0], found.high[0]) == pytest.approx((2 - half, 2 + half))
    assert np.isnan(found.low[1:]).all(), "no interval without spread, nor of one value"
    assert np.isnan(found.high[1:]).all()
