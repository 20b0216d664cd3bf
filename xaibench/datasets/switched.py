"""Switched regimes: one column decides which few other columns decide the class, so truth differs by sample."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from pydantic import NonNegativeInt, PositiveInt

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.masking.conditional import Gaussian
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

DECIDING_COLUMNS = 2
"""Columns that decide the class in each regime: the larger of both names it."""
MIN_ACCURACY_BY_DESIGN = 0.9
"""Least accuracy of a model that is worth explaining, on the data and where the decision must follow."""


@dataset("switched_regimes", features="table", provides={"truth.mask"})
def switched_regimes(
    *,
    seed: int,
    regimes: Annotated[int, Ge(2), Le(10)] = 3,
    idle: NonNegativeInt = 4,
    correlation: Annotated[float, Ge(0), Lt(1)] = 0.7,
    offset: float = 1.0,
    n_train: PositiveInt = 8000,
    n_test: Annotated[int, Gt(1)] = 1000,
) -> Data:
    """Which of two numbers is larger, where a switch says which two.

    The switch is one column, cut into as many equally likely ranges as there are regimes. In each
    regime two columns of its own decide: the class is 1 where the first is larger. The truth of a
    sample are the switch and these two; the columns of the other regimes, and those of none, say
    nothing. All columns but the switch share a common cause, so that a sample with one of them set
    to 0 is like no other, while what it does to the others says nothing about the class.

    Parameters
    ----------
    seed : int
    regimes : int
    idle : int
        Columns that never matter.
    correlation : float
        Between any two columns except the switch.
    offset : float
        Mean of every column, in standard deviations: inputs are not centred, so 0 is not their mean.
    n_train, n_test : int

    Notes
    -----
    Follows the idea of the switched synthetic sets S1 to S3 of L2X (Chen et al. 2018) and INVASE
    (Yoon et al. 2019), on which LEX (Senetaire et al. 2023) compares imputations, with columns that
    depend on each other. The distribution is exactly Gaussian, so conditional draws are exact: the
    causal checks redraw the columns that should not matter, those that should, and the switch, each
    given all others, and ask for the class that the redrawn row has: it stays, or the decision must
    follow.
    """
    d = 1 + DECIDING_COLUMNS * regimes + idle
    covariance = np.full((d, d), correlation)
    covariance[0, :] = covariance[:, 0] = 0
    np.fill_diagonal(covariance, 1)
    model = Gaussian(torch.full((d,), offset), torch.from_numpy(covariance))
    rng = generator("samples", "switched_regimes", seed)
    rows = model.sample(torch.from_numpy(rng.standard_normal((n_train + n_test, d)))).float().numpy()
    regime = _regime(rows, regimes, offset)
    labels, mask = _labels(rows, regime), _mask(regime, d)
    test, rest = slice(n_train, None), np.arange(n_test)
    x, matters = rows[test], mask[test]
    switch = np.arange(d) == 0

    def redrawn(name: str, gone: Array, **rule: Any) -> Intervention:
        drawn = model.sample(torch.from_numpy(rng.standard_normal((n_test, d))))
        given = torch.from_numpy(np.broadcast_to(~gone, x.shape).copy())
        changed = model.redraw(torch.from_numpy(x), given, drawn).numpy()
        return Intervention(name, changed, _labels(changed, _regime(changed, regimes, offset)), rest, **rule)

    return Data(
        "table",
        rows[:n_train],
        labels[:n_train],
        x,
        labels[test],
        test_rows=x,
        feature_names=_names(regimes, idle),
        class_names=("second is larger", "first is larger"),
        test_mask=matters,
        truth_kind="model",
        interventions=(
            redrawn("other columns redrawn", ~matters, max_drop=0.05),
            redrawn("deciding columns redrawn", matters & ~switch, at_least=MIN_ACCURACY_BY_DESIGN),
            redrawn("switch redrawn", np.broadcast_to(switch, x.shape), at_least=MIN_ACCURACY_BY_DESIGN),
        ),
        accuracy_floor=MIN_ACCURACY_BY_DESIGN,
        train_mask=mask[:n_train],
    )


def _regime(rows: Array, regimes: int, offset: float) -> Array:
    """Regime of every row (N,): between which quantiles of a normal distribution the switch lies."""
    from scipy.stats import norm

    return np.searchsorted(norm.ppf(np.arange(1, regimes) / regimes) + offset, rows[:, 0])


def _labels(rows: Array, regime: Array) -> Array:
    first = 1 + DECIDING_COLUMNS * regime
    own = np.take_along_axis(rows, np.stack([first, first + 1], axis=1), axis=1)
    return (own[:, 0] > own[:, 1]).astype(np.int64)


def _mask(regime: Array, d: int) -> Array:
    """The switch and the two columns of the regime (N, d) of bool."""
    column, first = np.arange(d), 1 + DECIDING_COLUMNS * regime[:, None]
    mask: Array = (column == 0) | ((column >= first) & (column < first + DECIDING_COLUMNS))
    return mask


def _names(regimes: int, idle: int) -> tuple[str, ...]:
    pairs = (f"regime {r} {which}" for r in range(regimes) for which in ("first", "second"))
    return ("switch", *pairs, *(f"idle {i}" for i in range(idle)))
