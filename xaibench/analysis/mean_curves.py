"""Mean removal curves with pointwise intervals over samples."""

from __future__ import annotations

from dataclasses import dataclass

from xaibench.analysis.statistics.intervals import nanmean, t_interval
from xaibench.core.types import Array


@dataclass(frozen=True)
class MeanCurve:
    """A mean curve; every array is (points,).

    Attributes
    ----------
    mean : array
        NaN where no sample has a value.
    low, high : array
        95 % interval of the mean at each point by itself (Student's t); NaN with fewer than two values, and where
        all values are equal.
    """

    mean: Array
    low: Array
    high: Array


def mean_curve(values: Array) -> MeanCurve:
    """Average the curves of samples.

    Parameters
    ----------
    values : array (N, points)
        One curve per sample; NaN is left out.
    """
    return MeanCurve(nanmean(values.T), *t_interval(values.T))
