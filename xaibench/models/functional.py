"""The network of `cnn` with functional ReLUs, which libraries that follow modules do not see."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.models.training import Progress, train


@model("functional_cnn", provides={"gradients", "module"}, features={"image"})
def functional_cnn(
    data: Data, *, seed: int, channels: int = 16, epochs: int = 6, progress: Progress | None = None
) -> nn.Module:
    """The network of `cnn`, trained alike to the same outputs; its ReLUs are functions and not modules.

    What works on one and not on the other follows modules instead of operations.
    """
    return train(lambda: FunctionalCnn(data, channels), data, seed=seed, epochs=epochs, progress=progress)


class FunctionalCnn(nn.Module):
    """Two 3x3 convolutions with max pooling and one hidden layer, like `cnn`; layers are made in the same order."""

    def __init__(self, data: Data, channels: int) -> None:
        super().__init__()
        colours, height, width = data.input_shape
        self.first = nn.Conv2d(colours, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.hidden = nn.Linear(2 * channels * (height // 4) * (width // 4), 64)
        self.head = nn.Linear(64, data.n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        features = functional.max_pool2d(functional.relu(self.first(inputs)), 2)
        features = functional.max_pool2d(functional.relu(self.second(features)), 2)
        found: Tensor = self.head(functional.relu(self.hidden(features.flatten(1))))
        return found
