"""Exact contributions of additive models: sums of terms of one or two columns, against a stated baseline."""

from __future__ import annotations

from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np

from xaibench.core.types import Array

TruthBaseline = Literal["zero", "mean", "marginal"]
"""Baselines that contributions are known for: zero, the mean of the background, and the mean over its rows."""
TRUTH_BASELINES: tuple[TruthBaseline, ...] = get_args(TruthBaseline)


@runtime_checkable
class KnowsTerms(Protocol):
    """A model of two classes whose log odds are an intercept plus terms of one or two columns each.

    Its outputs are minus and plus half of the log odds.
    """

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """The columns of every term, one or two of them."""
        ...

    def terms(self, inputs: Array) -> Array:
        """Value of every term (N, T), float64, for inputs (N, d)."""
        ...


def exact_contributions(model: KnowsTerms, inputs: Array, baselines: Array) -> Array:
    """Shapley values of the log odds of an additive model, exact but for rounding, averaged over baselines.

    Against one baseline z, a term of one column contributes ``f_j(x_j) - f_j(z_j)`` to it, and a term of two gives
    each half of ``[f(x_i, z_j) - f(z)] + [f(x) - f(z_i, x_j)]`` and of its mirror image. Terms never interact with each
    other, so that these are the Shapley values of the whole sum (Lundberg & Lee 2017, equation 4). The truth is about
    the model: how a fit splits an effect between correlated columns is arbitrary.

    Parameters
    ----------
    model : KnowsTerms
    inputs : array (N, d)
    baselines : array (M, d)
        One row, or several whose contributions are averaged.

    Returns
    -------
    array (N, d), float64
        The sum of a row is its log odds minus the mean log odds of the baselines.

    Examples
    --------
    >>> class Product:
    ...     members = ((0,), (0, 1))
    ...     def terms(self, inputs):
    ...         return np.stack([2 * inputs[:, 0], inputs[:, 0] * inputs[:, 1]], axis=1)
    >>> exact_contributions(Product(), np.array([[1.0, 3.0]]), np.zeros((1, 2))).tolist()
    [[3.5, 1.5]]
    """
    found = np.zeros(inputs.shape, dtype=np.float64)
    own = model.terms(inputs)
    for baseline in baselines:
        at_baseline = model.terms(baseline[None])[0]
        mixed: dict[int, Array] = {}
        for t, columns in enumerate(model.members):
            rise = own[:, t] - at_baseline[t]
            if len(columns) == 1:
                found[:, columns[0]] += rise
                continue
            first, second = columns
            if first not in mixed:  # everything at the baseline but this column
                rows = np.repeat(baseline[None], len(inputs), axis=0)
                rows[:, first] = inputs[:, first]
                mixed[first] = model.terms(rows)
            if second not in mixed:
                rows = np.repeat(baseline[None], len(inputs), axis=0)
                rows[:, second] = inputs[:, second]
                mixed[second] = model.terms(rows)
            alone = mixed[first][:, t] - at_baseline[t], mixed[second][:, t] - at_baseline[t]
            found[:, first] += (alone[0] + rise - alone[1]) / 2
            found[:, second] += (alone[1] + rise - alone[0]) / 2
    return found / len(baselines)
