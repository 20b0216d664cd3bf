"""White-box series (Crabbé and van der Schaar 2021): the output is a sum of squares of known cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

N_RARE = 5
"""Sensors, or steps, that matter."""
NUMERATOR, DENOMINATOR = (2.0,), (2.0, 0.5, 0.2, 0.1)
"""Of the filter that makes a series from noise."""


@dataset("white_box", features="series", provides={"truth.mask"})
def white_box(
    *,
    seed: int,
    rare: Literal["feature", "time"] = "feature",
    steps: Annotated[int, Ge(2 * N_RARE)] = 50,
    sensors: Annotated[int, Ge(2 * N_RARE)] = 50,
    n_train: PositiveInt = 64,
    n_test: PositiveInt = 10,
) -> Data:
    """Series whose output is the sum of squares of known cells, the same cells for all series of a seed.

    Every sensor solves ``2 x_t + .5 x_(t-1) + .2 x_(t-2) + .1 x_(t-3) = 2 e_t`` with standard normal noise e,
    and is 0 before the first step. *Rare feature*: five sensors, drawn once per seed, matter in the middle half of
    the steps. *Rare time*: five successive steps matter in the middle half of the sensors. So 5 % of the cells are
    true.

    For the output ``sum over true cells of x^2`` everything is known in closed form: integrated gradients from 0 are
    ``x^2`` on the truth and 0 elsewhere, the loss of a cell that becomes b is ``x^2 - b^2``, and so is its Shapley
    value, as cells do not interact.

    Parameters
    ----------
    seed : int
    rare : {"feature", "time"}
    steps, sensors : int
    n_train, n_test : int
        Training series serve as background only: there is nothing to learn.

    Notes
    -----
    The truth is about the model, exactly. A gate exchanges every other cell: the output must not change at all.
    """
    from scipy.signal import lfilter

    rng = generator("draws", "white_box", rare, seed)
    noise = rng.standard_normal((n_test + n_train, steps, sensors))
    series = lfilter(NUMERATOR, DENOMINATOR, noise, axis=1).astype(np.float32)
    relevant = np.zeros((steps, sensors), dtype=bool)
    if rare == "feature":
        chosen = rng.choice(sensors, N_RARE, replace=False)
        relevant[middle(steps), chosen.reshape(-1, 1)] = True
    else:
        start = int(rng.integers(steps - N_RARE + 1))
        relevant[start : start + N_RARE, middle(sensors)] = True
    values = (series.astype(np.float64) ** 2 * relevant).sum(axis=(1, 2)).astype(np.float32)
    targets = np.zeros(len(series), dtype=np.int64)
    return Data(
        "series",
        series[n_test:],
        targets[n_test:],
        series[:n_test],
        targets[:n_test],
        test_rows=series[:n_test],
        class_names=("sum of squares",),
        test_mask=np.repeat(relevant[None], n_test, axis=0),
        truth_kind="model",
        accuracy_floor=0.999,
        train_values=values[n_test:],
        test_values=values[:n_test],
        facts={"relevant": relevant},
        checks=(OthersExchanged(seed),),
    )


def middle(n: int) -> Array:
    """The middle half of n places: 12 to 36 of 50."""
    return np.arange(n // 4, 3 * n // 4)


@dataclass(frozen=True)
class OthersExchanged:
    """The largest change of the output when every cell outside of the truth is exchanged for one of another series.

    Attributes
    ----------
    seed : int
    """

    seed: int

    @property
    def identity(self) -> list[Any]:
        return ["cells outside of the truth exchanged", 1, self.seed]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """One exchange of all other cells of every test series."""
        assert data.test_mask is not None
        rows = generator("exchange", "white_box", self.seed).integers(
            len(data.train_inputs), size=len(data.test_inputs)
        )
        changed = np.where(data.test_mask, data.test_inputs, data.train_inputs[rows])
        clean, found = (predict_raw(model, x).cpu().numpy() for x in (data.test_inputs, changed))
        most = float(np.abs(found - clean).max())
        return Findings((Gate("largest change of the output, other cells exchanged", most, 0.0, at_least=False),))
