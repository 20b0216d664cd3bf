"""Small convolutional networks in the style of known architectures, for the tests of class activation maps.

Every class says in ``target`` which tensor the maps are to come from: the name of a module whose output
it is, and how that output becomes maps (N, K, h, w).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Target = tuple[str, Callable[[Tensor], Tensor]]
SIDE = 16


def same(maps: Tensor) -> Tensor:
    return maps


def last_channels(maps: Tensor) -> Tensor:
    return maps.permute(0, 3, 1, 2)


def conv_norm(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(after)
    )


class Add(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class VGG(nn.Sequential):
    target: ClassVar[Target] = ("5", same)

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10), nn.ReLU(), nn.Dropout(), nn.Linear(10, 3),
        )  # fmt: skip


class VGGInPlace(nn.Sequential):
    target: ClassVar[Target] = ("4", same)

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Dropout2d(), nn.ZeroPad2d(1), nn.MaxPool2d(2),
            nn.Identity(), nn.Flatten(), nn.Linear(200, 3),
        )  # fmt: skip


class BasicBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = conv_norm(before, after, 3, stride), conv_norm(after, after, 3)
        self.shortcut = conv_norm(before, after, 1, stride)
        self.relu, self.out = nn.ReLU(), nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        # As in torchvision, the shortcut is computed last.
        hidden = self.second(self.relu(self.first(inputs)))
        return self.out(hidden + self.shortcut(inputs))


class Bottleneck(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.down, self.wide, self.up = conv_norm(before, 4, 1), conv_norm(4, 4, 3, stride), conv_norm(4, after, 1)
        self.shortcut = conv_norm(before, after, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.up(self.relu(self.wide(self.relu(self.down(inputs)))))
        hidden += self.shortcut(inputs)
        return self.relu(hidden)


class ResNet(nn.Module):
    """Blocks with the activation behind the sum."""

    target: ClassVar[Target] = ("stages.1.out", same)
    block: ClassVar[Callable[[int, int, int], nn.Module]] = BasicBlock

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.stages = nn.Sequential(type(self).block(6, 6, 1), type(self).block(6, 8, 2))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(self.stages(self.stem(inputs))), 1))


class ResNetBottleneck(ResNet):
    target: ClassVar[Target] = ("stages.1", same)
    block: ClassVar[Callable[[int, int, int], nn.Module]] = Bottleneck


class SqueezeBlock(BasicBlock):
    """With squeeze and excitation (Hu et al. 2018): gates of one place, computed after the last convolution."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__(before, after, stride)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(after, 2, 1), nn.ReLU(), nn.Conv2d(2, after, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.second(self.relu(self.first(inputs)))
        return self.out(hidden * torch.sigmoid(self.gate(hidden)) + self.shortcut(inputs))


class ResNetSqueeze(ResNet):
    block: ClassVar[Callable[[int, int, int], nn.Module]] = SqueezeBlock


class PreActivation(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(before), nn.Conv2d(before, after, 3, stride, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(after), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        ready = functional.relu(self.norm1(inputs))
        return self.conv2(functional.relu(self.norm2(self.conv1(ready)))) + self.shortcut(ready)


class ResNetPreActivation(nn.Module):
    """Blocks with the activation first, and a last normalisation and activation (He et al. 2016b)."""

    target: ClassVar[Target] = ("relu", same)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.stages = nn.Sequential(PreActivation(6, 6, 1), PreActivation(6, 8, 2))
        self.norm, self.relu, self.head = nn.BatchNorm2d(8), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.relu(self.norm(self.stages(self.stem(inputs)))).mean((2, 3)))


class ResNetPreActivationBare(ResNetPreActivation):
    """Without the last normalisation: the residual sum itself."""

    target: ClassVar[Target] = ("stages", same)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(functional.adaptive_avg_pool2d(self.stages(self.stem(inputs)), 1).flatten(1))


class DenseLayer(nn.Module):
    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(before), nn.Conv2d(before, growth, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([inputs, self.conv(functional.relu(self.norm(inputs)))], 1)


class DenseNet(nn.Module):
    """Ends in a functional ReLU, as torchvision's; `out` is there so that the test can hook it."""

    target: ClassVar[Target] = ("out", same)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), DenseLayer(4, 3), DenseLayer(7, 3), nn.AvgPool2d(2),
            DenseLayer(10, 4), nn.BatchNorm2d(14),
        )  # fmt: skip
        self.out, self.head = nn.ReLU(inplace=True), nn.Linear(14, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(self.out(self.features(inputs)), (1, 1)), 1))


class InvertedResidual(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv_norm(before, 2 * before, 1), nn.ReLU6(inplace=True),
            conv_norm(2 * before, 2 * before, 3, stride, groups=2 * before), nn.ReLU6(inplace=True),
            conv_norm(2 * before, after, 1),
        )  # fmt: skip
        self.residual = stride == 1 and before == after

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.conv(inputs) if self.residual else self.conv(inputs)


class MobileNetV2(nn.Module):
    target: ClassVar[Target] = ("features.3.1", same)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(conv_norm(3, 4, 3, 2), nn.ReLU6(inplace=True)), InvertedResidual(4, 6, 2),
            InvertedResidual(6, 6, 1), nn.Sequential(conv_norm(6, 12, 1), nn.ReLU6(inplace=True)),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.features(inputs).mean([2, 3]))


class MBConv(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand, self.depth = conv_norm(width, 2 * width, 1), conv_norm(2 * width, 2 * width, 3, groups=2 * width)
        self.gate = nn.Sequential(nn.Conv2d(2 * width, 2, 1), nn.SiLU(), nn.Conv2d(2, 2 * width, 1), nn.Sigmoid())
        self.project = conv_norm(2 * width, width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.silu(self.depth(functional.silu(self.expand(inputs))))
        return inputs + self.project(self.gate(functional.adaptive_avg_pool2d(hidden, 1)) * hidden)


class EfficientNet(nn.Module):
    target: ClassVar[Target] = ("top.1", same)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 5, 3, 2), nn.SiLU(inplace=True))
        self.blocks = nn.Sequential(MBConv(5), MBConv(5))
        self.top = nn.Sequential(conv_norm(5, 12, 1), nn.SiLU(inplace=True))
        self.pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Dropout(), nn.Linear(12, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.pool(self.top(self.blocks(self.stem(inputs)))).flatten(1))


class MobileNetV3(EfficientNet):
    """A head convolution behind global pooling too: 1x1 maps are none."""

    target: ClassVar[Target] = ("top.1", same)

    def __init__(self) -> None:
        super().__init__()
        self.top[1] = nn.Hardswish(inplace=True)
        self.conv_head, self.act2, self.classifier = nn.Conv2d(12, 20, 1), nn.Hardswish(), nn.Linear(20, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        pooled = self.pool(self.top(self.blocks(self.stem(inputs))))
        return self.classifier(self.act2(self.conv_head(pooled)).flatten(1))


class ConvNeXtBlock(nn.Module):
    """Permuted to channels last and back; layer scale; sum with `add`, so that the test can hook it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.scale, self.add = nn.Parameter(torch.full((width,), 0.5)), Add()

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(self.depth(inputs).permute(0, 2, 3, 1))
        hidden = self.scale * self.down(functional.gelu(self.up(hidden)))
        return self.add(inputs, hidden.permute(0, 3, 1, 2))


class ConvNeXt(nn.Module):
    target: ClassVar[Target] = ("blocks.1.add", same)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 8, 4, 4), nn.Sequential(ConvNeXtBlock(8), ConvNeXtBlock(8))
        self.pool, self.norm, self.head = nn.AdaptiveAvgPool2d(1), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.pool(self.blocks(self.stem(inputs))).flatten(1)))


class ChannelsLast(nn.Module):
    """Channels last inside and to the end: no permutation back."""

    target: ClassVar[Target] = ("act", last_channels)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 6, 4, 4), nn.Linear(6, 9)
        self.norm, self.act, self.head = nn.LayerNorm(9), nn.GELU(), nn.Linear(9, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.act(self.norm(self.mix(self.stem(inputs).permute(0, 2, 3, 1))))
        return self.head(hidden.mean((1, 2)))


class ChannelsLastBack(ChannelsLast):
    """Permuted back before pooling."""

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.act(self.norm(self.mix(self.stem(inputs).movedim(1, -1)))).permute(0, 3, 1, 2).contiguous()
        return self.head(functional.adaptive_max_pool2d(hidden, 1).flatten(1))


class AttentionPooling(nn.Module):
    """Convolutions, and attention of their mean over all places instead of pooling, as in CLIP's ResNet."""

    target: ClassVar[Target] = ("relu", same)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()
        self.attention, self.head = nn.MultiheadAttention(8, 2), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        places = self.relu(self.stem(inputs)).flatten(2).permute(2, 0, 1)
        tokens = torch.cat([places.mean(0, keepdim=True), places])
        pooled, _ = self.attention(tokens[:1], tokens, tokens, need_weights=False)
        return self.head(pooled[0])


class EinsumHead(nn.Module):
    """A 1x1 convolution written as an einsum."""

    target: ClassVar[Target] = ("relu", same)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.weight, self.relu = nn.Conv2d(3, 6, 3, 2, 1), nn.Parameter(torch.randn(9, 6)), nn.ReLU()
        self.head = nn.Linear(9, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = torch.einsum("bchw,kc->bkhw", functional.relu(self.stem(inputs)), self.weight)
        return self.head(self.relu(maps).mean((2, 3)))


class Shuffled(nn.Module):
    """Channels shuffled between groups at the end (ShuffleNet): the tensor before it has the same features."""

    target: ClassVar[Target] = ("relu", same)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu(self.stem(inputs))
        n, k, h, w = maps.shape
        return self.head(
            functional.avg_pool2d(maps.view(n, 2, k // 2, h, w).transpose(1, 2).reshape(n, k, h, w), 8).flatten(1)
        )


class Swish(torch.autograd.Function):
    """An activation that no mode sees."""

    @staticmethod
    def forward(ctx, inputs):
        ctx.save_for_backward(inputs)
        return inputs * torch.sigmoid(inputs)

    @staticmethod
    def backward(ctx, grad):
        (inputs,) = ctx.saved_tensors
        gate = torch.sigmoid(inputs)
        return grad * gate * (1 + inputs * (1 - gate))


class SwishModule(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return Swish.apply(inputs)


class OwnFunction(nn.Sequential):
    """An activation written as an autograd function, as in a well-known EfficientNet."""

    target: ClassVar[Target] = ("1", same)

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1), SwishModule(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
        )


class SideBranch(nn.Module):
    """A branch that is computed last and not used."""

    target: ClassVar[Target] = ("relu", same)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu, self.side, self.head = (
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(8, 4, 3),
            nn.Linear(8, 3),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu(self.stem(inputs))
        self.side(maps)
        return self.head(maps.amax((2, 3)))


CONVOLUTIONAL: tuple[type[nn.Module], ...] = (
    VGG, VGGInPlace, ResNet, ResNetBottleneck, ResNetSqueeze, ResNetPreActivation, ResNetPreActivationBare, DenseNet,
    MobileNetV2, EfficientNet, MobileNetV3, ConvNeXt, ChannelsLast, ChannelsLastBack, AttentionPooling, EinsumHead,
    Shuffled, OwnFunction, SideBranch,
)  # fmt: skip


def build(architecture: type[nn.Module], seed: int = 0) -> nn.Module:
    """A network with random weights and statistics, ready to be explained."""
    torch.manual_seed(seed)
    net = architecture()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return net.eval()
