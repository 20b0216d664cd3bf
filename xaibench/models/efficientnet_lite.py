"""EfficientNet-lite0, trained on ImageNet by its authors: a real network of 4.7 million parameters."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.datasets.fetch import read_fetched
from xaibench.models.networks import Add

_CLASSES = 1000
_WEIGHTS = "efficientnet-lite0-57934424.pth"
_STAGES = (
    # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_EPSILON = 1e-3


@model("efficientnet_lite0", provides={"gradients", "module"}, features={"image"})
def efficientnet_lite0(data: Data) -> nn.Module:
    """EfficientNet-lite0 with the weights of its authors (`xaibench data fetch efficientnet_lite0`), not trained again.

    Takes colour images scaled as those of the data set `imagenet`, best of 224 x 224 pixels, and says one of ImageNet's
    1,000 classes. Every activation is a ReLU6 module of its own: explainers with rules for ReLU alone refuse it.

    Raises
    ------
    UsageError
        If the data are not colour images of 1,000 classes.
    DataError
        If the weights have not been fetched.
    """
    if data.input_shape[0] != 3 or data.n_outputs != _CLASSES:
        raise UsageError(
            f"efficientnet_lite0 takes colour images of {_CLASSES} classes, "
            f"and these are {data.input_shape} of {data.n_outputs}",
            "the data sets imagenet and mosaic fit it",
        )
    known = torch.load(io.BytesIO(read_fetched("efficientnet_lite0", _WEIGHTS)), weights_only=True)
    module = EfficientNetLite0()
    module.load_state_dict({name.replace("._", ".").removeprefix("_"): tensor for name, tensor in known.items()})
    return module.eval()


class EfficientNetLite0(nn.Module):
    """The untrained network (Tan & Le 2019, without squeeze and excitation, and with ReLU6); 1,000 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem, self.bn0, self.act0 = _Convolution(3, _STEM, 3, stride=2), _norm(_STEM), nn.ReLU6()
        blocks, channels = [], _STEM
        for repeats, kernel, stride, expansion, wanted in _STAGES:
            for i in range(repeats):
                blocks.append(_Block(channels, wanted, kernel, stride if i == 0 else 1, expansion))
                channels = wanted
        self.blocks = nn.Sequential(*blocks)
        self.conv_head, self.bn1, self.act1 = _Convolution(channels, _HEAD, 1), _norm(_HEAD), nn.ReLU6()
        self.pool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_HEAD, _CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        found = self.blocks(self.act0(self.bn0(self.conv_stem(inputs))))
        found = self.act1(self.bn1(self.conv_head(found)))
        logits: Tensor = self.fc(self.flatten(self.pool(found)))
        return logits


class _Block(nn.Module):
    """Inverted residual block (Sandler et al. 2018): expand, filter every channel, project; add where shapes agree."""

    def __init__(self, channels: int, wanted: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expands, self.adds = expansion != 1, stride == 1 and channels == wanted
        if self.expands:
            self.expand_conv, self.bn0, self.act0 = _Convolution(channels, inner, 1), _norm(inner), nn.ReLU6()
        self.depthwise_conv = _Convolution(inner, inner, kernel, stride=stride, groups=inner)
        self.bn1, self.act1 = _norm(inner), nn.ReLU6()
        self.project_conv, self.bn2 = _Convolution(inner, wanted, 1), _norm(wanted)
        self.add = Add()

    def forward(self, inputs: Tensor) -> Tensor:
        found = self.act0(self.bn0(self.expand_conv(inputs))) if self.expands else inputs
        found = self.act1(self.bn1(self.depthwise_conv(found)))
        found = self.bn2(self.project_conv(found))
        whole: Tensor = self.add(found, inputs) if self.adds else found
        return whole


class _Convolution(nn.Conv2d):
    """A convolution without bias to ``ceil(side / stride)`` places; of an odd number of zeros more at the far side."""

    def __init__(self, channels: int, wanted: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, wanted, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        rows, columns = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in inputs.shape[2:])
        if rows % 2 == 0 and columns % 2 == 0:
            padding = (rows // 2, columns // 2)
            return functional.conv2d(inputs, self.weight, None, self.stride, padding, groups=self.groups)
        padded = functional.pad(inputs, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return functional.conv2d(padded, self.weight, None, self.stride, groups=self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON)
