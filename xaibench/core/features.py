"""Feature layout: what the axes of an input mean, and which units of it are attributed and perturbed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from xaibench.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

FeatureKind = Literal["image", "table", "series", "tokens"]
FEATURE_KINDS: tuple[str, ...] = get_args(FeatureKind)


@dataclass(frozen=True)
class FeatureLayout:
    """Maps model inputs to features: a pixel (channels summed), a column, a (time, sensor) cell, a token.

    Parameters
    ----------
    kind : {"image", "table", "series", "tokens"}
    input_shape : tuple of int
        Shape of one sample. Images are (C, H, W) or (H, W).
    """

    kind: FeatureKind
    input_shape: tuple[int, ...]

    @property
    def channels(self) -> int | None:
        """Number of channels that share a feature, or None when every input number is a feature."""
        return self.input_shape[0] if self.kind == "image" and len(self.input_shape) == 3 else None

    @property
    def one_number_each(self) -> bool:
        """Whether every feature is a single input number, so that slopes of features are slopes of inputs."""
        return self.channels in (None, 1)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return self.input_shape[1:] if self.channels is not None else self.input_shape

    @property
    def n_features(self) -> int:
        n = 1
        for side in self.feature_shape:
            n *= side
        return n

    def patch_sides(self, side: int) -> tuple[int, ...]:
        """Extent of a patch along every feature axis; sensors of a series stay apart, tables have no patches."""
        if self.kind == "image":
            return (side, side)
        return (side if self.kind == "series" else 1, *(1 for _ in self.feature_shape[1:]))

    def patches(self, side: int) -> Tensor:
        """Patch of every feature, counted from 0 along the rows: (*feature_shape) of int64.

        Squares of an image, stretches of one sensor of a series, single columns of a table. Where
        ``side`` does not divide the shape, the last patches are smaller.
        """
        import torch

        labels = torch.zeros((), dtype=torch.int64)
        for n, s in zip(self.feature_shape, self.patch_sides(side), strict=True):
            labels = labels.unsqueeze(-1) * math.ceil(n / s) + torch.arange(n) // s
        return labels

    def expand(self, per_feature: Tensor) -> Tensor:
        """Make a tensor (..., *feature_shape) broadcastable with inputs (..., *input_shape)."""
        if self.channels is None:
            return per_feature
        return per_feature.unsqueeze(per_feature.ndim - len(self.feature_shape))

    def reduce(self, per_input: Tensor) -> Tensor:
        """Sum a tensor (..., *input_shape) over channels to (..., *feature_shape)."""
        return per_input if self.channels is None else per_input.sum(dim=-len(self.input_shape))


def infer_layout(input_shape: tuple[int, ...], features: str | None = None) -> FeatureLayout:
    """Choose the layout for one sample's shape; ``features`` settles what the shape leaves open.

    Raises
    ------
    UsageError
        If ``features`` is unknown, does not fit the shape, or is needed and missing.
    """
    shape = tuple(int(s) for s in input_shape)
    dims = {"image": (2, 3), "table": (1,), "series": (1, 2), "tokens": (1,)}
    if features is not None:
        if features not in dims:
            raise UsageError(f"unknown features {features!r}", f"known: {', '.join(FEATURE_KINDS)}")
        if len(shape) not in dims[features]:
            raise UsageError(
                f"inputs of shape (N, {', '.join(map(str, shape))}) cannot be {features!r}",
                "images are (N, C, H, W), series (N, T, D), tables and tokens (N, D)",
            )
        return FeatureLayout(features, shape)  # type: ignore[arg-type]
    if len(shape) == 1:
        return FeatureLayout("table", shape)
    if len(shape) == 3 and shape[0] in (1, 2, 3, 4):
        return FeatureLayout("image", shape)
    raise UsageError(
        f"inputs of shape (N, {', '.join(map(str, shape))}) could be several things",
        f"say which with features=, one of {', '.join(FEATURE_KINDS)}",
    )


def step(layout: FeatureLayout, copies: Tensor, features: Tensor, by: float) -> Tensor:
    """Copies (B, *input_shape) in which one feature each (B,) is larger by ``by``, in all its channels.

    Features are counted along the rows.
    """
    import torch

    moved = copies.clone(memory_format=torch.contiguous_format)
    number = torch.arange(len(moved), device=moved.device)
    moved.view(len(moved), -1, layout.n_features)[number, :, features] += by
    return moved
