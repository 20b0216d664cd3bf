"""Interesting features (Burns et al. 2020): rows in which it is known which features are not from the null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import Predictor
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

RegressionTask = Literal["nn", "disc"]
INTERESTING_SHARE, INTERESTING_MEAN = 0.3, 4.0
ACTIVE_MAGNITUDE = 3.0
"""A feature of the task ``disc`` is active where its magnitude is at least this."""
N_COLUMNS: dict[str, int] = {"nn": 25, "disc": 100}


@dataset("interesting_features", features="table", provides={"truth.mask"})
def interesting_features(
    *,
    seed: int,
    task: RegressionTask = "nn",
    n_train: PositiveInt = 100_000,
    n_test: PositiveInt = 1000,
    n_background: PositiveInt = 10_000,
) -> Data:
    """Which features of a row are out of the ordinary and matter? The benchmark of Burns et al. (2020).

    Every feature is N(0, 1), and with probability .3, on its own, it is interesting: N(4, 1). The
    background holds rows without anything interesting, and since features are independent, a column
    of it is a sample from the conditional distribution under the null. The truth is what is
    interesting and matters:

    ``nn``
        25 columns, ``y = sum_j |x_j|``. All features matter.
    ``disc``
        100 columns in pairs, ``y = sum_j w_j [|x_j| >= 3 and |x_{j+50}| >= 3]`` with
        ``w = .5 + Gamma(1, 1)``. A feature matters if its partner is active.

    Parameters
    ----------
    seed : int
    task : {"nn", "disc"}
    n_train, n_test, n_background : int
        Rows. Published: 1,000,000 for training and 100 for testing.

    Notes
    -----
    The truth is about the data (``truth_kind``): in ``nn`` the function depends on every feature to
    the same degree, and the true ones differ in that their values are not draws from the
    null. So a map that answers another question, such as a gradient, is not wrong about the
    function when it misses them. Some true features of ``disc`` cannot be found: an interesting
    one below 3, one in six, changes the output no more than a null would.
    """
    rng = generator("rows", "interesting_features", task, seed)
    d = N_COLUMNS[task]
    weights = (0.5 + rng.gamma(1.0, 1.0, size=d // 2)).astype(np.float32)
    facts: dict[str, Any] = {"task": task, "active": ACTIVE_MAGNITUDE}
    if task == "disc":
        facts["weights"] = weights
    train, _ = draw(n_train, d, rng)
    test, interesting = draw(n_test, d, rng)
    background = rng.standard_normal((n_background, d)).astype(np.float32)

    def values(rows: Array) -> Array:
        return np.abs(rows).sum(axis=1) if task == "nn" else pairs(rows) @ weights

    return Data(
        "table",
        train,
        np.zeros(n_train, dtype=np.int64),
        test,
        np.zeros(n_test, dtype=np.int64),
        test_rows=test,
        feature_names=tuple(f"x{j}" for j in range(d)),
        class_names=("value",),
        test_mask=interesting
        if task == "nn"
        else interesting & np.roll(np.abs(test) >= ACTIVE_MAGNITUDE, d // 2, axis=1),
        truth_kind="data",
        accuracy_floor=0.98,
        train_values=values(train),
        test_values=values(test),
        background=background,
        facts=facts,
        checks=(Replacement(),),
    )


def draw(n: int, d: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows (n, d) of float32, and which of their features are interesting."""
    interesting = rng.random((n, d)) < INTERESTING_SHARE
    rows = rng.standard_normal((n, d), dtype=np.float32)
    rows[interesting] += np.float32(INTERESTING_MEAN)
    return rows, interesting


def pairs(rows: Array) -> Array:
    """Whether both features of each pair are active (N, D / 2), as 0 and 1 in float32."""
    first, second = np.split(np.abs(rows) >= ACTIVE_MAGNITUDE, 2, axis=1)
    both: Array = (first & second).astype(np.float32)
    return both


@dataclass(frozen=True)
class Replacement:
    """Replaces features by draws from the null, one at a time: true ones lower the output, others as often raise it.

    For a feature that is null, its value and the draw that replaces it are exchangeable, so the
    output falls in one half of the cases; one that does not change counts as half a fall. That is
    what makes p-values true, for any model.

    Attributes
    ----------
    floor : float
        Share of the true features whose replacement must lower the output.
    tolerance : float
        How far from one half the share of all others may be.
    """

    floor: float = 0.85
    tolerance: float = 0.05

    @property
    def identity(self) -> list[Any]:
        return ["replacement by the null", 1, self.floor, self.tolerance]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Replace every feature of the first test rows by that of one background row, the same for the whole row."""
        assert data.test_mask is not None
        assert data.background is not None
        n = min(len(data.test_inputs), len(data.background), 400)
        rows, nulls, true = data.test_inputs[:n], data.background[:n], data.test_mask[:n]
        before = model.predict(torch.from_numpy(rows))[:, :1].cpu().numpy()
        after = np.empty_like(true, dtype=np.float32)
        for j in range(rows.shape[1]):
            replaced = rows.copy()
            replaced[:, j] = nulls[:, j]
            after[:, j] = model.predict(torch.from_numpy(replaced))[:, 0].cpu().numpy()
        falls = 0.5 * (1 + np.sign(before - after))
        return Findings(
            (
                Gate("share of falls, true features replaced", float(falls[true].mean()), self.floor),
                Gate(
                    "share of falls less one half, null features replaced",
                    float(abs(falls[~true].mean() - 0.5)),
                    self.tolerance,
                    at_least=False,
                ),
            )
        )
