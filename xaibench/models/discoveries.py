"""Models of the data set `interesting_features`: the function itself, and a network that learns it."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.models.training import Progress, train


@model("exact_function", provides={"gradients", "module"}, features={"table"})
def exact_function(data: Data) -> nn.Module:
    """The function that made the values, without any training.

    Raises
    ------
    UsageError
        If the data set does not say what it is.
    """
    if data.facts.get("task") == "nn":
        return SumOfMagnitudes()
    if data.facts.get("task") == "disc":
        return ActivePairs(torch.from_numpy(data.facts["weights"]), float(data.facts["active"]))
    raise UsageError("exact_function is not defined for these data", "it is for the data set interesting_features")


class SumOfMagnitudes(nn.Module):
    """``sum_j |x_j|``."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.abs().sum(dim=1, keepdim=True)


class ActivePairs(nn.Module):
    """``sum_j w_j [|x_j| >= active and |x_{j+D/2}| >= active]``; its gradient is 0 wherever there is one."""

    weights: Tensor

    def __init__(self, weights: Tensor, active: float) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.active = active

    def forward(self, inputs: Tensor) -> Tensor:
        first, second = (inputs.abs() >= self.active).chunk(2, dim=1)
        flat: Tensor = 0 * inputs.sum(dim=1, keepdim=True)
        return flat + (first & second).to(inputs.dtype) @ self.weights.unsqueeze(1)


@model("mlp_regressor", provides={"gradients", "module"}, features={"table"})
def mlp_regressor(
    data: Data, *, seed: int, width: PositiveInt = 100, epochs: PositiveInt = 4, progress: Progress | None = None
) -> nn.Module:
    """Multilayer perceptron with two hidden layers of ReLU units that learns a number, by squared error."""
    if data.train_values is None:
        raise UsageError("mlp_regressor learns numbers, and these data have classes", "take mlp")
    values = torch.from_numpy(data.train_values)
    units = _units(values)

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Linear(data.input_shape[0], width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, data.n_values),
            Unstandardised(*units),
        )

    return train(build, data, seed=seed, epochs=epochs, learning_rate=1e-2, batch_size=256, progress=progress)


def _units(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of values (N,) or (N, K); vectors of float64 make the outputs float64."""
    if values.ndim == 1 and values.dtype == torch.float32:
        return values.mean(), values.std()
    columns = values.reshape(len(values), -1)
    return columns.mean(dim=0), columns.std(dim=0)


class Unstandardised(nn.Module):
    """Turns standardised numbers into those of the data, so that a network starts at their mean and spread."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.deviation + self.mean
