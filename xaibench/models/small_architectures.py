"""Small networks in the style of known architectures for images of about 32 pixels, whose last maps have 8 x 8 places.

Every network has a module ``earlier``, an identity behind the stage before the last: a layer with a name that can be
asked for in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.models.networks import Add, ResidualBlock
from xaibench.models.training import Progress, train

SmallArchitecture = Literal["resnet", "vgg", "densenet", "mobilenet", "convnext", "vit"]


@model("small_architecture", provides={"gradients", "module"}, features={"image"})
def small_architecture(
    data: Data,
    *,
    seed: int,
    architecture: SmallArchitecture = "resnet",
    epochs: int = 12,
    progress: Progress | None = None,
) -> nn.Module:
    """A small network in the style of a known architecture, for images whose sides are multiples of 8.

    Parameters
    ----------
    architecture : {"resnet", "vgg", "densenet", "mobilenet", "convnext", "vit"}
        Residual blocks with the activation behind the sum; convolutions and two dense layers; dense blocks that end in
        a normalisation; inverted residuals with a 1x1 head (MobileNetV2); depthwise 7x7 blocks with channels last
        (ConvNeXt); patches with a class token (ViT).
    epochs : int
    """
    build = _BUILDERS[architecture]
    return train(lambda: build(data), data, seed=seed, epochs=epochs, learning_rate=3e-3, progress=progress)


def _convolution(before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution without bias and its normalisation."""
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(after)
    )


class Stages(nn.Module):
    """Stages one after the other, with ``earlier`` between the last two, and a mean over all places before the head.

    Parameters
    ----------
    first, last : torch.nn.Module
        What comes before and behind ``earlier``.
    head : torch.nn.Module
        Of the means of the last maps (N, K).
    """

    def __init__(self, first: nn.Module, last: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.first, self.earlier, self.last = first, nn.Identity(), last
        self.pool, self.flatten, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), head

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.head(self.flatten(self.pool(self.last(self.earlier(self.first(inputs))))))
        return found


def _resnet(data: Data) -> nn.Module:
    first = nn.Sequential(
        _convolution(data.input_shape[0], 16), nn.ReLU(), ResidualBlock(16, 16), ResidualBlock(16, 32, stride=2)
    )
    return Stages(first, ResidualBlock(32, 64, stride=2), nn.Linear(64, data.n_outputs))


class Vgg(nn.Module):
    """Three convolutions, each before a pooling, and two dense layers."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        colours, height, width = data.input_shape
        self.first = nn.Sequential(
            nn.Conv2d(colours, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()
        )
        self.earlier = nn.Identity()
        self.last = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(32, 48, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48 * (height // 8) * (width // 8), 64), nn.ReLU(),
            nn.Linear(64, data.n_outputs),
        )  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.head(self.last(self.earlier(self.first(inputs))))
        return found


class DenseLayer(nn.Module):
    """Maps beside those that they are computed from."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.norm, self.relu = nn.BatchNorm2d(before), nn.ReLU()
        self.conv = nn.Conv2d(before, growth, 3, padding=1, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([inputs, self.conv(self.relu(self.norm(inputs)))], dim=1)


def _densenet(data: Data) -> nn.Module:
    first = nn.Sequential(
        _convolution(data.input_shape[0], 16), nn.ReLU(), nn.MaxPool2d(2), DenseLayer(16, 12), DenseLayer(28, 12)
    )
    last = nn.Sequential(nn.AvgPool2d(2), DenseLayer(40, 12), DenseLayer(52, 12), nn.BatchNorm2d(64), nn.ReLU())
    return Stages(first, last, nn.Linear(64, data.n_outputs))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection; with a shortcut where the shape stays."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        wide = 3 * before
        self.body = nn.Sequential(
            _convolution(before, wide, 1), nn.ReLU6(), _convolution(wide, wide, 3, stride, groups=wide), nn.ReLU6(),
            _convolution(wide, after, 1),
        )  # fmt: skip
        self.add = Add() if stride == 1 and before == after else None

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.body(inputs) if self.add is None else self.add(inputs, self.body(inputs))
        return found


def _mobilenet(data: Data) -> nn.Module:
    first = nn.Sequential(_convolution(data.input_shape[0], 16, stride=2), nn.ReLU6(), InvertedResidual(16, 16, 1))
    last = nn.Sequential(InvertedResidual(16, 24, 2), InvertedResidual(24, 24, 1), _convolution(24, 96, 1), nn.ReLU6())
    return Stages(first, last, nn.Linear(96, data.n_outputs))


class ConvNextBlock(nn.Module):
    """A depthwise 7x7 convolution and two dense layers over channels, beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.up, self.gelu, self.down = nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        self.add = Add()

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(self.depthwise(inputs).permute(0, 2, 3, 1))
        found: Tensor = self.add(inputs, self.down(self.gelu(self.up(hidden))).permute(0, 3, 1, 2))
        return found


def _convnext(data: Data) -> nn.Module:
    first = nn.Sequential(nn.Conv2d(data.input_shape[0], 32, 4, 4), ConvNextBlock(32))
    head = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, data.n_outputs))
    return Stages(first, ConvNextBlock(32), head)


class EncoderBlock(nn.Module):
    """Attention and two dense layers, each normalised before and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.joint, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.gelu, self.down = nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        n, length, width = inputs.shape
        parts = self.joint(self.norm1(inputs)).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        hidden = inputs + self.out(mixed.transpose(1, 2).reshape(n, length, width))
        found: Tensor = hidden + self.down(self.gelu(self.up(self.norm2(hidden))))
        return found


class VisionTransformer(nn.Module):
    """Patches of 4 x 4 pixels, a class token that alone is read, learned positions."""

    def __init__(self, data: Data, width: int = 48, heads: int = 3) -> None:
        super().__init__()
        colours, height, across = data.input_shape
        self.patches = nn.Conv2d(colours, width, 4, 4)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + (height // 4) * (across // 4), width))
        self.first, self.earlier = EncoderBlock(width, heads), nn.Identity()
        self.last, self.norm = EncoderBlock(width, heads), nn.LayerNorm(width)
        self.head = nn.Linear(width, data.n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patches(inputs).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(inputs), -1, -1), tokens], dim=1) + self.positions
        tokens = self.norm(self.last(self.earlier(self.first(tokens))))
        found: Tensor = self.head(tokens[:, 0])
        return found


_BUILDERS: dict[str, Callable[[Data], nn.Module]] = {
    "convnext": _convnext,
    "densenet": _densenet,
    "mobilenet": _mobilenet,
    "resnet": _resnet,
    "vgg": Vgg,
    "vit": VisionTransformer,
}
