"""Exact Shapley values over the sensors of every step, for models whose output is a sum of one term per step."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.steps import OWN_STEPS, require_own_steps
from xaibench.explainers.engines.coalitions import all_coalitions, shapley_weights
from xaibench.explainers.engines.step_terms import step_terms

MOST_EXACT_SENSORS = 12
"""Above, the coalitions of all sensors are too many."""


@explainer("own_step_shapley", kind="contribution", needs={"series", "gradients", OWN_STEPS})
def own_step_shapley(problem: ProblemView, *, masker: str = "zero") -> Tensor:
    """Exact Shapley values of the sensors of every step (Shapley 1953), all steps at once.

    Where the output is a sum of terms that share no cell, the Shapley value of a cell is that in the game of its
    own step, with D players instead of T x D. Every coalition of sensors is put into all steps together: ``2^D``
    copies of a series instead of ``2^(T D)``.

    Parameters
    ----------
    masker : str

    Raises
    ------
    UnsupportedError
        If the model is not such a sum (`OwnStep` is one), there are more than 12 sensors, or what the masker puts in
        the place of a cell depends on other steps.
    """
    sensors = problem.layout.feature_shape[-1]
    if len(problem.layout.feature_shape) != 2 or sensors > MOST_EXACT_SENSORS:
        raise UnsupportedError(f"own_step_shapley takes series (N, T, D) of at most {MOST_EXACT_SENSORS} sensors")
    module = require_own_steps(problem.model)
    coalitions = all_coalitions(sensors).to(problem.inputs.device)
    weights = shapley_weights(coalitions.cpu()).to(problem.inputs.device)
    fill = problem.masker(masker)
    values = step_terms(problem, module, fill, coalitions)
    return torch.einsum("nkt,kd->ntd", values.double(), weights).to(problem.inputs.dtype)
