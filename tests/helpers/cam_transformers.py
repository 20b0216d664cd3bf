"""Small vision transformers in the style of known architectures; see `helpers.cam_nets`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.cam_nets import Target, last_channels, same


def _patches(height: int, width: int, before: int) -> Callable[[Tensor], Tensor]:
    def maps(tokens: Tensor) -> Tensor:
        kept = tokens[:, before : before + height * width]
        return kept.transpose(1, 2).reshape(len(tokens), -1, height, width)

    return maps


class WindowAttention(nn.Module):
    """Attention within shifted windows of 2x2 places; channels last."""

    def __init__(self, width: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.shift = nn.LayerNorm(width), nn.LayerNorm(width), shift
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, inputs: Tensor) -> Tensor:
        n, h, w, c = inputs.shape
        hidden = torch.roll(self.norm1(inputs), (-self.shift, -self.shift), (1, 2))
        windows = hidden.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        q, k, v = self.qkv(windows).reshape(-1, 4, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = (torch.softmax(q @ k.transpose(-2, -1), dim=-1) @ v).transpose(1, 2).reshape(-1, 4, c)
        back = self.project(mixed).view(n, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        hidden = inputs + torch.roll(back, (self.shift, self.shift), (1, 2))
        return hidden + self.mlp(self.norm2(hidden))


class Merge(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduce = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        parts = (x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2])
        return self.reduce(self.norm(torch.cat(parts, -1)))


class Swin(nn.Module):
    """Ends as torchvision's: norm, permutation back, pooling."""

    target: ClassVar[Target] = ("norm", last_channels)

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, 2)
        self.stages = nn.Sequential(
            WindowAttention(8, 0), WindowAttention(8, 1), Merge(8), WindowAttention(16, 0), WindowAttention(16, 1)
        )
        self.norm, self.pool, self.head = nn.LayerNorm(16), nn.AdaptiveAvgPool2d(1), nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(self.stages(self.patches(inputs).permute(0, 2, 3, 1)))
        return self.head(self.pool(hidden.permute(0, 3, 1, 2)).flatten(1))


class SwinTokens(Swin):
    """Tokens (N, T, D) between the blocks and at the end, as in the first code of the authors."""

    target: ClassVar[Target] = ("norm", _patches(4, 4, 0))

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patches(inputs).flatten(2).transpose(1, 2)
        for stage in self.stages:
            side = int(tokens.shape[1] ** 0.5)
            tokens = stage(tokens.view(len(tokens), side, side, -1)).flatten(1, 2)
        return self.head(self.norm(tokens).transpose(1, 2).mean(2))


class ViTBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        n, t, d = tokens.shape
        q, k, v = self.qkv(self.norm1(tokens)).reshape(n, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        mixed = (torch.softmax(q @ k.transpose(-2, -1) * d**-0.5, dim=-1) @ v).transpose(1, 2).reshape(n, t, d)
        tokens = tokens + self.project(mixed)
        return tokens + self.mlp(self.norm2(tokens))


class ViT(nn.Module):
    """Class token; the final norm has no gradient at patches."""

    target: ClassVar[Target] = ("blocks.1.norm1", _patches(4, 4, 1))
    n_prefix: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__()
        prefix = type(self).n_prefix
        self.embed, self.prefix = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, prefix, 8))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 16 + prefix, 8))
        self.blocks = nn.Sequential(ViTBlock(8), ViTBlock(8))
        self.norm, self.head, self.second = nn.LayerNorm(8), nn.Linear(8, 3), nn.Linear(8, 3)

    def embedded(self, inputs: Tensor) -> Tensor:
        patches = self.embed(inputs).flatten(2).transpose(1, 2)
        return torch.cat([self.prefix.expand(len(inputs), -1, -1), patches], dim=1) + self.positions

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedded(inputs)))[:, 0])


class ViTNormOfOne(ViT):
    """The final norm of the class token alone."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedded(inputs))[:, 0]))


class ViTMean(ViT):
    """No class token, the mean over all patches."""

    target: ClassVar[Target] = ("norm", _patches(4, 4, 0))
    n_prefix: ClassVar[int] = 0

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedded(inputs))).mean(1))


class ViTMeanOfPatches(ViT):
    """A class token that the mean leaves out."""

    target: ClassVar[Target] = ("norm", _patches(4, 4, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedded(inputs)))[:, 1:].mean(1))


class DeiTDistilled(ViT):
    """A class and a distillation token with a head each, averaged."""

    target: ClassVar[Target] = ("blocks.1.norm1", _patches(4, 4, 2))
    n_prefix: ClassVar[int] = 2

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.norm(self.blocks(self.embedded(inputs)))
        return (self.head(tokens[:, 0]) + self.second(tokens[:, 1])) / 2


class ViTRegisters(ViT):
    """A class token and four registers (Darcet et al. 2024)."""

    target: ClassVar[Target] = ("blocks.1.norm1", _patches(4, 4, 5))
    n_prefix: ClassVar[int] = 5


class ViTWritten(ViT):
    """Tokens written into a buffer instead of joined."""

    def embedded(self, inputs: Tensor) -> Tensor:
        tokens = inputs.new_zeros(len(inputs), 17, 8)
        tokens[:, :1] = self.prefix
        tokens[:, 1:] = self.embed(inputs).flatten(2).transpose(1, 2)
        return tokens + self.positions


class ViTFlattened(ViT):
    """Patches cut by reshaping, without a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(48, 8)

    def embedded(self, inputs: Tensor) -> Tensor:
        cut = inputs.reshape(len(inputs), 3, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(len(inputs), 16, 48)
        return torch.cat([self.prefix.expand(len(inputs), -1, -1), self.embed(cut)], dim=1) + self.positions


class ViTUnfolded(ViTFlattened):
    """Patches cut by unfolding."""

    def embedded(self, inputs: Tensor) -> Tensor:
        cut = functional.unfold(inputs, 4, stride=4).mT
        return torch.cat([self.prefix.expand(len(inputs), -1, -1), self.embed(cut)], dim=1) + self.positions


class ViTTorch(ViT):
    """torch's own encoder layers, tokens first: (T, N, D)."""

    target: ClassVar[Target] = ("blocks.1.norm1", lambda t: _patches(4, 4, 1)(t.transpose(0, 1)))

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(
            nn.TransformerEncoderLayer(8, 2, 16, norm_first=True) for _ in range(2)
        ))  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedded(inputs).transpose(0, 1)))[0])


class ViTPostNorm(ViT):
    """Normalised behind the sums: the last gradient at patches is at the end of the block before the last."""

    target: ClassVar[Target] = ("blocks.0.norm2", _patches(4, 4, 1))

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.blocks(self.embedded(inputs))[:, 0])


class ViTOblong(ViT):
    """Patches of 4x8 pixels: four rows of two."""

    target: ClassVar[Target] = ("blocks.1.norm1", _patches(4, 2, 1))

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, (4, 8), (4, 8))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 9, 8))


class ViTThenConv(ViT):
    """Tokens made maps again, and a convolution on them."""

    target: ClassVar[Target] = ("relu", same)

    def __init__(self) -> None:
        super().__init__()
        self.neck, self.relu = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.norm(self.blocks(self.embedded(inputs)))[:, 1:]
        maps = tokens.transpose(1, 2).reshape(len(inputs), 8, 4, 4)
        return self.head(self.relu(self.neck(maps)).mean((-2, -1)))


TRANSFORMERS: tuple[type[nn.Module], ...] = (
    Swin, SwinTokens, ViT, ViTNormOfOne, ViTMean, ViTMeanOfPatches, DeiTDistilled, ViTRegisters, ViTWritten,
    ViTFlattened, ViTUnfolded, ViTTorch, ViTPostNorm, ViTOblong, ViTThenConv,
)  # fmt: skip
