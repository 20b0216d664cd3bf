"""Methods of training-data attribution for a regression: retraining, influence functions, projections, gradients."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.functions.influence.generation import TrainedRegression


@interpreter("leave_one_out_retraining", takes={"influence"})
def leave_one_out_retraining(case: CaseView, draws: np.random.Generator) -> Scores:
    """The output with all training rows minus that of a model fitted without each: the truth by brute force.

    Takes n + 1 fits for n rows.
    """
    given: TrainedRegression = case.given
    numbers = torch.arange(len(given.inputs))
    whole = _outputs(given, given.fit(numbers))
    lost = [whole - _outputs(given, given.fit(numbers != i)) for i in numbers]
    return Scores(torch.stack(lost, dim=1))


def _outputs(given: TrainedRegression, weights: Tensor) -> Tensor:
    return (given.test_inputs * weights[:, given.test_classes].T).sum(dim=1)


@interpreter("influence_function", takes={"influence"})
def influence_function(case: CaseView, draws: np.random.Generator) -> Scores:
    """Influence functions: ``x H^-1 x_i r_i``, the first-order effect of a row (Koh and Liang 2017, equation 2).

    Exact but for a factor 1 / (1 - h_i) of row i's leverage.
    """
    given: TrainedRegression = case.given
    return Scores(given.regression.influence(given.test_inputs, given.test_classes))


@interpreter("projected_influence", takes={"influence"})
def projected_influence(case: CaseView, draws: np.random.Generator, *, dimensions: PositiveInt = 32) -> Scores:
    """Influence of gradients that a random matrix projects to fewer dimensions (TRAK, Park et al. 2023).

    ``x P (P' H P)^-1 P' x_i r_i`` with P (d, k) of independent normal numbers; of one model, where TRAK
    averages over several.

    Parameters
    ----------
    dimensions : int
        k; more than there are columns change nothing, since P is square then.
    """
    given: TrainedRegression = case.given
    ridge = given.regression
    d = given.inputs.shape[1]
    p = torch.from_numpy(draws.standard_normal((d, min(dimensions, d)))) / d**0.5
    hessian = p.T @ ridge.hessian @ p
    kernel = given.test_inputs @ p @ torch.linalg.solve(hessian, p.T @ given.inputs.T)
    return Scores(kernel * ridge.residuals[:, given.test_classes].T)


@interpreter("gradient_dot", takes={"influence"})
def gradient_dot(case: CaseView, draws: np.random.Generator, *, normalised: bool = False) -> Scores:
    """Product of the output's gradient with the negative gradient of each row's loss (Charpiat et al. 2019).

    What one small step on the row adds to the output: ``x x_i r_i``, as if the Hessian were the identity.

    Parameters
    ----------
    normalised : bool
        The cosine of the two instead.
    """
    given: TrainedRegression = case.given
    residuals = given.regression.residuals
    product = given.test_inputs @ given.inputs.T * residuals[:, given.test_classes].T
    if normalised:
        sizes = given.inputs.norm(dim=1) * residuals.norm(dim=1)
        product = product / (given.test_inputs.norm(dim=1, keepdim=True) * sizes)
    return Scores(product)


@interpreter("leverage_kernel", takes={"influence"})
def leverage_kernel(case: CaseView, draws: np.random.Generator) -> Scores:
    """The kernel ``x H^-1 x_i`` alone, without the row's residual."""
    given: TrainedRegression = case.given
    return Scores(given.regression.kernel(given.test_inputs))
