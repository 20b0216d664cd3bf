"""MLP, CNN and small ResNet in torch. Every non-linearity and every sum is a module, nothing works in place.

So hooks see each step: guided backprop, DeepLift and LRP need that.
"""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.models.training import Progress, train

_DIFFERENTIABLE = {"gradients", "module"}


@model("softmax_regression", provides=_DIFFERENTIABLE | {"truth.weights"})
def softmax_regression(data: Data, *, seed: int, epochs: int = 15, progress: Progress | None = None) -> nn.Module:
    """Softmax regression: linear logits, so that the slopes of every output are known exactly."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(data.input_shape), data.n_outputs))

    return train(build, data, seed=seed, epochs=epochs, learning_rate=1e-2, progress=progress)


@model("mlp", provides=_DIFFERENTIABLE)
def mlp(data: Data, *, seed: int, width: int = 128, epochs: int = 10, progress: Progress | None = None) -> nn.Module:
    """Multilayer perceptron with two hidden layers of ReLU units, ``width`` and half of it."""
    return train(lambda: build_mlp(data, width), data, seed=seed, epochs=epochs, progress=progress)


@model("cnn", provides=_DIFFERENTIABLE, features={"image"})
def cnn(data: Data, *, seed: int, channels: int = 16, epochs: int = 6, progress: Progress | None = None) -> nn.Module:
    """Convolutional network: two 3x3 convolutions with max pooling, one hidden layer.

    Takes images of at least 4x4 pixels with any number of channels.
    """
    return train(lambda: build_cnn(data, channels), data, seed=seed, epochs=epochs, progress=progress)


@model("resnet", provides=_DIFFERENTIABLE, features={"image"})
def resnet(
    data: Data, *, seed: int, channels: int = 16, epochs: int = 8, progress: Progress | None = None
) -> nn.Module:
    """Small residual network (He et al. 2016): a convolution, two residual blocks, global average pooling."""

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(data.input_shape[0], channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            ResidualBlock(channels, channels),
            ResidualBlock(channels, 2 * channels, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * channels, data.n_outputs),
        )

    return train(build, data, seed=seed, epochs=epochs, learning_rate=1e-2, progress=progress)


def build_mlp(data: Data, width: int) -> nn.Module:
    """The untrained network of `mlp`."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(prod(data.input_shape), width),
        nn.ReLU(),
        nn.Linear(width, width // 2),
        nn.ReLU(),
        nn.Linear(width // 2, data.n_outputs),
    )


def build_cnn(data: Data, channels: int) -> nn.Module:
    """The untrained network of `cnn`."""
    colours, height, width = data.input_shape
    return nn.Sequential(
        nn.Conv2d(colours, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * channels * (height // 4) * (width // 4), 64),
        nn.ReLU(),
        nn.Linear(64, data.n_outputs),
    )


class Add(nn.Module):
    """The sum of two tensors, as a module, so that rules for it can be attached."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation beside a shortcut; the two ReLUs are separate modules."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.add = Add()
        self.relu2 = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.relu1(self.norm1(self.conv1(inputs)))
        hidden = self.norm2(self.conv2(hidden))
        summed: Tensor = self.relu2(self.add(hidden, self.shortcut(inputs)))
        return summed
