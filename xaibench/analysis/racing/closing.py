"""When a comparison needs no more samples without a decision: shown to be tied, or unlikely ever to be decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from xaibench.analysis.regressions.tolerances import Bounds, HasUnit, output_units, practical_deltas
from xaibench.analysis.statistics.mean_tests import mean_tests
from xaibench.core.types import Array

FUTILE = 0.05
"""A comparison is closed when its chance of a decision is below this."""
FROM_SHARE = 0.1
"""Share of all samples from which on trends are extrapolated."""
Delta = Callable[[float], float]
"""From the mean absolute score of the best explainer to the practical delta."""


def delta_of(
    metric: str, family: str, aggregate: str, output: str | None, params: str, *, bounds: Bounds, has_unit: HasUnit
) -> Delta:
    """The practical delta of a metric as a function of the size of its scores; the deltas of `xaibench compare`.

    Parameters
    ----------
    metric, family, aggregate : str
    output : str or None
        The measured output.
    params : str
        Parameters of the metric, as JSON.
    bounds : (float or None, float or None)
        Of its scores.
    has_unit : callable
        From the parameters to whether scores have the unit of the output.
    """
    entry = pd.DataFrame(
        {"metric": [metric], "family": [family], "aggregate": [aggregate], "params": [params], "output": [output]}
    )
    unit = output_units(entry, {metric: has_unit})

    def delta(size: float) -> float:
        found = practical_deltas(
            entry, pd.Series([size]), unit=unit, rounding=np.zeros(1), exact=pd.Series([False]),
            bounds={metric: bounds}, given={},
        )  # fmt: skip
        return float(found.iloc[0])

    return delta


def deltas_of(heads: pd.DataFrame, bounds: Mapping[str, Bounds], in_output_unit: Mapping[str, HasUnit]) -> list[Delta]:
    """`delta_of` of every row of a frame with columns ``metric, family, aggregate, output, params``."""
    columns = (heads[c] for c in ("metric", "family", "aggregate", "output", "params"))
    return [
        delta_of(
            metric, family, aggregate, output, params,
            bounds=bounds.get(metric, (None, None)), has_unit=in_output_unit.get(metric, lambda _: False),
        )
        for metric, family, aggregate, output, params in zip(*columns, strict=True)
    ]  # fmt: skip


def tied_within(differences: Array, delta: float, level: Array | float, *, by_signs: bool) -> Array:
    """By row: whether the true difference is shown to be smaller than a delta, by two one-sided tests.

    Both tests have half of the level, as the two sides of the test of a difference: the interval of the
    difference at this level lies between -delta and delta, so ties and decisions share one error.

    Parameters
    ----------
    differences : array (P, n)
        Paired differences; NaN is left out.
    delta : float
        Nothing is tied within 0.
    level : float or array (P,)
        Two-sided.
    by_signs : bool
        Test the median of the differences by signs, not their mean.
    """
    if not delta > 0:
        return np.zeros(len(differences), dtype=bool)
    if by_signs:
        above, below = (
            _more_than_half(differences + delta > 0, differences),
            _more_than_half(differences - delta < 0, differences),
        )
    else:
        above, below = mean_tests(differences + delta)[0], mean_tests(differences - delta)[1]
    larger: Array = np.fmax(np.nan_to_num(above, nan=1.0), np.nan_to_num(below, nan=1.0))
    return larger < np.asarray(level) / 2


def _more_than_half(holds: Array, differences: Array) -> Array:
    """By row: p-value of "holds for at most half", by the exact sign test."""
    from scipy.stats import binom

    n = np.isfinite(differences).sum(axis=1)
    found: Array = binom.sf(np.count_nonzero(holds, axis=1) - 1, n, 0.5)
    return found


def final_chances(p: Array, ahead: Array, share: float, final_level: float) -> tuple[Array, Array]:
    """By comparison: the chance that the left one, and that the right one, is shown to be better by all samples.

    The statistic is taken for a random walk that goes on with the drift it has had so far, and the last look for the
    only one that is left (conditional power under the current trend, Lan & Wittes 1988).

    Parameters
    ----------
    p : array (P,)
        Two-sided p-values of this look; NaN counts as 1.
    ahead : array (P,)
        1 where the left one is better so far, -1 where the right one is.
    share : float
        Samples that are there, of all.
    final_level : float
        Two-sided level of the last look.

    Examples
    --------
    >>> left, right = final_chances(np.array([1.0, 1e-4]), np.array([0, 1]), 0.25, 0.001)
    >>> [round(float(c), 3) for c in left], [round(float(c), 3) for c in right]
    ([0.0, 1.0], [0.0, 0.0])
    """
    z = np.sign(ahead) * -ndtri(np.clip(np.nan_to_num(p, nan=1.0), 1e-300, 1.0) / 2)
    bound, spread = -ndtri(final_level / 2), np.sqrt(1 - share)
    trend = z / np.sqrt(share)
    return ndtr((trend - bound) / spread), ndtr((-trend - bound) / spread)
