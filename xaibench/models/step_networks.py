"""Recurrent classifiers of every step of a series, explained as a sum over steps."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from pydantic import PositiveInt
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.steps import OWN_STEPS
from xaibench.models.step_adapters import OwnStep, SumOfSteps
from xaibench.models.training import Progress, build_and_fit, scheduled

BATCH = 16
"""Training series in a batch."""
_CLASSES = 2


class StepClassifier(nn.Module):
    """A GRU and a head that reads the state of every step: series (N, T, D) to logits (N, T, C).

    Parameters
    ----------
    sensors, width, classes : int
    """

    def __init__(self, sensors: int, width: int, classes: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(sensors, width, batch_first=True)
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, series: Tensor) -> Tensor:
        states, _ = self.recurrent(series)
        found: Tensor = self.head(states.flatten(0, 1)).view(*states.shape[:2], -1)
        return found


@model("gru_own_step", provides={"gradients", "module", OWN_STEPS}, features={"series"})
def gru_own_step(
    data: Data,
    *,
    seed: int,
    width: PositiveInt = 32,
    epochs: PositiveInt = 10,
    learning_rate: Annotated[float, Gt(0)] = 0.006,
    progress: Progress | None = None,
) -> nn.Module:
    """A GRU that classifies every step, trained on all steps at once; what a cell does to its own step is explained.

    See `OwnStep`. It learns labels of steps, as the data set `hmm_state` has them.

    Raises
    ------
    UsageError
        If the data set has no labels of steps.
    """
    fitted = _fitted(data, seed, width, epochs, learning_rate, progress)
    return OwnStep(fitted.recurrent, fitted.head)


@model("gru_sum_of_steps", provides={"gradients", "module"}, features={"series"})
def gru_sum_of_steps(
    data: Data,
    *,
    seed: int,
    width: PositiveInt = 32,
    epochs: PositiveInt = 10,
    learning_rate: Annotated[float, Gt(0)] = 0.006,
    progress: Progress | None = None,
) -> nn.Module:
    """The network of `gru_own_step`; what a cell does to its own and all later steps is explained.

    See `SumOfSteps`.

    Raises
    ------
    UsageError
        If the data set has no labels of steps.
    """
    return SumOfSteps(_fitted(data, seed, width, epochs, learning_rate, progress))


def _fitted(
    data: Data, seed: int, width: int, epochs: int, learning_rate: float, progress: Progress | None
) -> StepClassifier:
    if "train_labels" not in data.facts:
        raise UsageError("these data have no labels of steps", "facts={'train_labels': classes (N, T)}")
    inputs = torch.from_numpy(data.train_inputs)
    labels = torch.as_tensor(data.facts["train_labels"])
    sensors = data.input_shape[-1]

    def fit(module: nn.Module) -> None:
        batches = -(-len(inputs) // BATCH)
        step, schedule = scheduled(module, "adamw", learning_rate, 1e-2, epochs * batches)
        module.train()
        with torch.enable_grad():
            for epoch in range(epochs):
                total = 0.0
                for rows in torch.split(torch.randperm(len(inputs)), BATCH):
                    step.zero_grad()
                    loss = nn.functional.cross_entropy(module(inputs[rows]).flatten(0, 1), labels[rows].flatten())
                    loss.backward()  # type: ignore[no-untyped-call]
                    step.step()
                    schedule.step()
                    total += float(loss.detach())
                if progress is not None:
                    progress(epoch + 1, epochs, f"loss {total / batches:.3f}")

    found = build_and_fit(lambda: StepClassifier(sensors, width, _CLASSES), fit, seed=seed)
    assert isinstance(found, StepClassifier)
    return found
