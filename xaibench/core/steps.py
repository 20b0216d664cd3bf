"""Modules whose explained output is a sum over the steps of a series: what explainers and checks may ask of them."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

from torch import Tensor

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import Predictor, require_module

OWN_STEPS = "own_steps"
"""The need that models meet whose output is a sum of one term per step, which no other step's inputs change."""
HOW_TO_WRAP = "wrap the recurrent layer and what reads its states: xb.OwnStep(net.gru, net.head)"


@runtime_checkable
class StepModule(Protocol):
    """A module that gives one row of outputs per step."""

    def step_outputs(self, series: Tensor) -> Tensor:
        """Outputs (N, T, C) of every step of series (N, T, D), each seeing its own and all earlier steps."""
        ...


@runtime_checkable
class OwnStepModule(StepModule, Protocol):
    """A module whose every step sees its own inputs, and the states that the clean series before it leads to."""

    def own_outputs(self, inputs: Tensor, series: Tensor) -> Tensor:
        """Outputs (N, T, C) of the steps of inputs (N, T, D), with the states of the clean series (N, T, D)."""
        ...

    def own_terms(self, inputs: Tensor, series: Tensor, classes: Tensor | None = None) -> Tensor:
        """The terms (N, T) of the explained sum."""
        ...


def require_steps(model: Predictor) -> StepModule:
    """The module, which has outputs of steps.

    Raises
    ------
    UnsupportedError
        If it has none.
    """
    module = require_module(model).module
    if not isinstance(module, StepModule):
        raise UnsupportedError("the model has no outputs of single steps", "xb.SumOfSteps and xb.OwnStep have")
    return module


def outputs_of_steps(model: Predictor, inputs: Tensor, context: Context) -> Tensor:
    """Outputs (N, T, C) of the steps of changed series (N, T, D), differentiable, as the model's sum has them.

    Raises
    ------
    UnsupportedError
        If the model has no outputs of steps.
    """
    module = require_steps(model)
    model.n_evaluations += len(inputs)
    if isinstance(module, OwnStepModule) and "series" in context:
        return module.own_outputs(inputs.to(model.device), context["series"])
    return module.step_outputs(inputs.to(model.device))


def require_own_steps(model: Predictor) -> OwnStepModule:
    """The module, whose output is a sum of one term per step.

    Raises
    ------
    UnsupportedError
        If it is not such a sum.
    """
    module = require_module(model).module
    if not isinstance(module, OwnStepModule):
        raise UnsupportedError("the model is not a sum of terms of single steps", HOW_TO_WRAP)
    return cast(OwnStepModule, module)
