"""Cases of training-data attribution: ridge regression on handwritten digits, with the exact effect of every row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions
from xaibench.functions.influence.ridge import Ridge

N_SUBSETS = 100
"""Halves of the training rows that the regression is fitted to for the linear datamodelling score."""
LEAVE_ONE_OUT_TOLERANCE = 1e-10
N_REFITTED = 8
"""Rows whose exact effect the gate checks by fitting the regression without them."""


@dataclass(frozen=True)
class TrainedRegression:
    """What an explainer of training data may see.

    Attributes
    ----------
    inputs : Tensor (n, d)
        Training rows, the last column 1.
    targets : Tensor (n, c)
        One-hot.
    penalty : float
    test_inputs : Tensor (q, d)
    test_classes : Tensor (q,) of int64
        The output that is explained is that of this class.
    fit : callable
        Mask (n,) of bool, or numbers of rows -> weights (d, c). Each call counts as a run.
    """

    inputs: Tensor
    targets: Tensor
    penalty: float
    test_inputs: Tensor
    test_classes: Tensor
    fit: Callable[[Tensor], Tensor]

    @property
    def regression(self) -> Ridge:
        """The regression with its closed forms."""
        return Ridge(self.inputs, self.targets, self.penalty)


@functions("influence_digits", kind="influence")
def influence_digits(
    *,
    seed: int,
    n: PositiveInt = 6,
    rows: Annotated[int, Ge(20), Le(1600)] = 1000,
    tests: Annotated[int, Ge(1), Le(197)] = 100,
    penalty: Annotated[float, Gt(0)] = 1.0,
) -> tuple[Case, ...]:
    """Ridge regressions on one-hot digits (8x8 pixels), each on newly drawn rows; truth: leaving one row out, exactly.

    The output is the value of the test row's true class. A training row's true score is the output with all
    rows minus the output without it: positive rows raise it. ``hidden`` holds 100 random halves of the
    training rows with the outputs of the regressions fitted to them, for `linear_datamodelling_score`.

    Parameters
    ----------
    seed : int
    n : int
        Regressions. The first ones of a larger set are those of a smaller one.
    rows, tests : int
        Training and test rows of each, at most 1,797 together.
    penalty : float

    Notes
    -----
    All cases draw from the same 1,797 images, so that their rows overlap: intervals are about other draws of
    rows from these images.
    """
    images, labels = _digits()
    return tuple(_case(f"influence/digits/{i:04d}", images, labels, seed, rows, tests, penalty) for i in range(n))


def _digits() -> tuple[Tensor, Tensor]:
    """Images (1797, 65) from 0 to 1 with a column of ones, and labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = torch.from_numpy(found.data / 16.0)
    return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1), torch.from_numpy(found.target.astype(np.int64))


def _case(name: str, images: Tensor, labels: Tensor, seed: int, rows: int, tests: int, penalty: float) -> Case:
    draws = keyed_generator(seed, "influence_digits", name)
    order = torch.from_numpy(draws.permutation(len(images)))
    train, test = order[:rows], order[rows : rows + tests]
    x, z, classes = images[train], images[test], labels[test]
    ridge = Ridge(x, torch.nn.functional.one_hot(labels[train], 10).to(x.dtype), penalty)
    truth = ridge.leave_one_out(z, classes)
    subsets = torch.zeros(N_SUBSETS, rows, dtype=torch.bool)
    for k in range(N_SUBSETS):
        subsets[k, torch.from_numpy(draws.permutation(rows)[: rows // 2])] = True
    outputs = torch.stack([_outputs(ridge.fit(subset), z, classes) for subset in subsets])
    return Case(
        name,
        "influence",
        TrainedRegression(x, ridge.targets, penalty, z, classes, ridge.fit),
        Scores(truth),
        {"subsets": subsets, "outputs": outputs},
        units=tuple(f"{int(labels[i])} (image {int(i)})" for i in train),
        questions=tuple(f"{int(labels[i])} (image {int(i)})" for i in test),
        parameters={"rows": rows, "tests": tests, "penalty": penalty},
        description=f"ridge regression on {rows} digits; the value of the true class of {tests} test images",
        gates=(
            Gate(
                "error of leave-one-out",
                _refitting_error(ridge, z, classes, truth),
                LEAVE_ONE_OUT_TOLERANCE,
                at_least=False,
            ),
        ),
        content={"train": train, "test": test, "subsets": subsets},
    )


def _outputs(weights: Tensor, test: Tensor, classes: Tensor) -> Tensor:
    """Value of the class of each test row, (q,)."""
    return (test * weights[:, classes].T).sum(dim=1)


def _refitting_error(ridge: Ridge, test: Tensor, classes: Tensor, truth: Tensor) -> float:
    """Largest difference between the closed form and fitting without a row, over some rows."""
    whole = _outputs(ridge.fit(), test, classes)
    error = 0.0
    for i in range(0, len(ridge.inputs), max(len(ridge.inputs) // N_REFITTED, 1)):
        rest = torch.arange(len(ridge.inputs)) != i
        lost = whole - _outputs(ridge.fit(rest), test, classes)
        error = max(error, float((lost - truth[:, i]).abs().max()))
    return error
