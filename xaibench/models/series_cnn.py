"""A convolutional network for series: three dilated convolutions, mean and largest value over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.models.training import Progress, train

CHANNELS = 24
KERNELS = ((7, 1), (5, 2), (3, 4))
"""Steps and dilation of every convolution."""


@model("series_cnn", provides={"gradients", "module"}, features={"series"})
def series_cnn(data: Data, *, seed: int, epochs: int = 15, progress: Progress | None = None) -> nn.Module:
    """Convolutional network over time: convolutions of 7, 5 and 3 steps with dilations of 1, 2 and 4, batch norm, ReLU.

    24 channels; mean and largest value of each over time go to a linear layer. Takes series (N, T) or (N, T, D) of any
    length.
    """
    layout = data.layout
    sensors = 1 if len(layout.feature_shape) == 1 else layout.feature_shape[0 if layout.sensors_first else 1]
    sensors_first = layout.sensors_first or len(layout.feature_shape) == 1
    return train(
        lambda: SeriesNetwork(sensors, data.n_outputs, sensors_first=sensors_first),
        data,
        seed=seed,
        epochs=epochs,
        learning_rate=1e-2,
        progress=progress,
    )


class SeriesNetwork(nn.Module):
    """The network of `series_cnn`."""

    def __init__(self, sensors: int, n_outputs: int, *, sensors_first: bool) -> None:
        super().__init__()
        self.sensors, self.sensors_first = sensors, sensors_first
        layers: list[nn.Module] = []
        before = sensors
        for steps, dilation in KERNELS:
            padding = dilation * (steps - 1) // 2
            layers += [
                nn.Conv1d(before, CHANNELS, steps, padding=padding, dilation=dilation, bias=False),
                nn.BatchNorm1d(CHANNELS),
                nn.ReLU(),
            ]
            before = CHANNELS
        self.convolutions = nn.Sequential(*layers)
        self.mean, self.largest = nn.AdaptiveAvgPool1d(1), nn.AdaptiveMaxPool1d(1)
        self.head = nn.Linear(2 * CHANNELS, n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        series = inputs.reshape(len(inputs), self.sensors, -1) if self.sensors_first else inputs.transpose(1, 2)
        hidden = self.convolutions(series)
        outputs: Tensor = self.head(torch.cat([self.mean(hidden), self.largest(hidden)], dim=1).flatten(1))
        return outputs
