"""Feature layout: what the axes of an input mean, and which units of it are attributed and perturbed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

from xaibench.core.axes import check_axes, could_be
from xaibench.core.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

FeatureKind = Literal["image", "volume", "table", "series", "tokens", "edges", "nodes", "node_features"]
FEATURE_KINDS: tuple[str, ...] = get_args(FeatureKind)
GRAPH_KINDS = ("edges", "nodes", "node_features")
"""Kinds of features of graphs; see `xaibench.core.graphs`."""


def default_masker(kind: str) -> str | None:
    """The masker in the place of defaults that features of this kind have no use for; None where any may serve."""
    return "zero" if kind == "edges" else None


@dataclass(frozen=True)
class FeatureLayout:
    """Maps model inputs to features: a pixel or voxel (channels summed), a column, a (time, sensor) cell, a token, or
    an edge, a node or a (node, column) cell of a graph.

    Parameters
    ----------
    kind : {"image", "volume", "table", "series", "tokens", "edges", "nodes", "node_features"}
    input_shape : tuple of int
        Shape of one sample. Images are (C, H, W) or (H, W), volumes (C, D, H, W) or (D, H, W).
    slot : int
        Number of last axes of an input that belong to one feature: 1 for tokens whose inputs are
        embeddings (n, D), and for nodes, which have a row of numbers each. Images and volumes have
        their channels first and no slot.
    discrete : bool
        Whether input numbers are names, such as the ids of tokens: there is nothing between two of them.
    sensors_first : bool
        Of a series: (sensors, time) instead of (time, sensors).
    groups : tuple of tuple of int
        Of a table: the columns of every feature, a partition, where features are groups of columns such as one-hot
        blocks. Empty where every column is a feature.
    categorical : tuple of int
        Of a table: features that are categories, one-hot blocks or columns of codes. There is nothing between two of
        their values, so they are removed by values that they have, and get no noise.
    boolean : tuple of int
        Of a table: features that are false or true, 0 or 1, and nothing between.
    order : tuple of int
        Of a table: the features in the order of a caller's columns, where the model has another. Empty where it is one
        and the same.

    Examples
    --------
    Five tokens with embeddings of three numbers are five features:

    >>> from xaibench.core.features import FeatureLayout
    >>> layout = FeatureLayout("tokens", (5, 3), slot=1)
    >>> layout.feature_shape, layout.channels
    ((5,), 3)

    An age, and a job as a block of two columns, are two features:

    >>> FeatureLayout("table", (3,), groups=((0,), (1, 2)), categorical=(1,)).feature_shape
    (2,)
    """

    kind: FeatureKind
    input_shape: tuple[int, ...]
    slot: int = 0
    discrete: bool = False
    sensors_first: bool = False
    groups: tuple[tuple[int, ...], ...] = ()
    categorical: tuple[int, ...] = ()
    boolean: tuple[int, ...] = ()
    order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.groups or self.categorical or self.boolean) and self.kind != "table":
            raise ValueError("groups and categories are of the columns of a table")
        if self.groups and sorted(c for group in self.groups for c in group) != list(range(self.input_shape[0])):
            raise ValueError("groups are a partition of the columns")
        if not 0 <= self.slot <= len(self.input_shape) - 1 and self.slot:
            raise ValueError(f"a slot of {self.slot} axes leaves no feature of inputs of shape {self.input_shape}")
        if self.slot and self.kind in ("image", "volume"):
            raise ValueError("images and volumes have their channels first, and no slot")

    @property
    def channels(self) -> int | None:
        """Number of input numbers that share a feature, or None when every input number is a feature."""
        if self.slot:
            return math.prod(self.input_shape[-self.slot :])
        with_channels = {"image": 3, "volume": 4}.get(self.kind)
        return self.input_shape[0] if len(self.input_shape) == with_channels else None

    @property
    def neighbour_axes(self) -> tuple[int, ...]:
        """Axes of the features along which there are neighbours: all of a picture's, the time of a series, or none."""
        if self.kind == "series":
            return (1,) if self.sensors_first else (0,)
        return tuple(range(len(self.feature_shape))) if self.kind in ("image", "volume") else ()

    @property
    def trailing_axes(self) -> tuple[int, ...]:
        """`neighbour_axes` counted from the end: the same of inputs, features and batches of both."""
        return tuple(axis - len(self.feature_shape) for axis in self.neighbour_axes)

    @property
    def one_number_each(self) -> bool:
        """Whether every feature is a single input number, so that slopes of features are slopes of inputs."""
        return self.channels in (None, 1) and all(len(group) == 1 for group in self.groups)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        if self.groups:
            return (len(self.groups),)
        if self.slot:
            return self.input_shape[: -self.slot]
        return self.input_shape[1:] if self.channels is not None else self.input_shape

    @property
    def default_masker(self) -> str | None:
        """The masker in the place of a default that these features have no use for; None where any may serve."""
        return default_masker(self.kind)

    @property
    def n_features(self) -> int:
        n = 1
        for side in self.feature_shape:
            n *= side
        return n

    def require_quantities(self, what: str) -> None:
        """Raise UnsupportedError where input numbers are names, and no quantities that ``what`` can change a little."""
        if self.discrete:
            raise UnsupportedError(
                f"{what} needs inputs that are quantities, and token ids are names",
                "explain in embeddings, or by removal with a masker of tokens (mask, pad, unk, delete, unigram)",
            )

    def require_no_categories(self, what: str, *, booleans: bool = False) -> None:
        """Raise UnsupportedError where a feature is a category, or a boolean and these are refused too."""
        if booleans:
            self._require_no_edges(what)
        found = sorted({*self.categorical, *(self.boolean if booleans else ())})
        if found:
            one = "is a category" if found[0] in self.categorical else "is true or false"
            raise UnsupportedError(
                f"{what} needs features that are quantities, and feature {found[0]} {one}",
                "explainers by removal (occlusion, kernel_shap, lime) take categories",
            )

    def _require_no_edges(self, what: str) -> None:
        if self.kind == "edges":
            raise UnsupportedError(
                f"{what} needs features that are quantities, and an edge is there or it is not",
                "explainers and metrics by removal take edges, with the masker zero",
            )

    def require_single_quantities(self, what: str) -> None:
        """Raise UnsupportedError where a feature is a category, or a group of several columns."""
        self.require_no_categories(what)
        if not all(len(group) == 1 for group in self.groups):
            raise UnsupportedError(
                f"{what} takes single columns, and there are groups of them",
                "explainers by removal (occlusion, kernel_shap, lime) take groups",
            )

    def require_signs(self, what: str, *, of_categories: bool = True) -> None:
        """Raise UnsupportedError where a feature is a group of columns: a slope of it, a size, has no sign.

        Without ``of_categories`` blocks of a category may be there, for what does not use their slopes.
        """
        allowed = () if of_categories else self.categorical
        if any(len(group) > 1 and feature not in allowed for feature, group in enumerate(self.groups)):
            raise UnsupportedError(
                f"{what} needs slopes with a sign, and that of a group of columns is the size of those along them",
                "explainers of kind contribution have a sign for groups",
            )

    def only_quantities(self, noise: Tensor, what: str, *, of_inputs: bool = True) -> Tensor:
        """Noise (..., *input_shape), or of features (..., n_features), without that on categories and booleans.

        Raises
        ------
        UnsupportedError
            If there is no other feature.
        """
        self._require_no_edges(what)
        if not (self.categorical or self.boolean):
            return noise
        if len({*self.categorical, *self.boolean}) == self.n_features:
            raise UnsupportedError(f"{what} needs a feature that is a quantity, and all are categories")
        return noise * (self.expand(self._quantities(noise)) if of_inputs else self._quantities(noise))

    def _quantities(self, like: Tensor) -> Tensor:
        """1 for features that are quantities, 0 for categories and booleans: (n_features,)."""
        ones = like.new_ones(self.n_features)
        ones[[*self.categorical, *self.boolean]] = 0
        return ones

    @property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        """Input columns of every feature of a table."""
        return self.groups or tuple((j,) for j in range(self.n_features))

    def feature_of_columns(self) -> Tensor:
        """Feature of every column of a table: (n_columns,) of int64."""
        return _feature_of_columns(self.columns)

    def from_given(self, per_feature: Tensor) -> Tensor:
        """Maps (..., *feature_shape) in the order of a caller's features, in that of the layout."""
        if not self.order:
            return per_feature
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return per_feature[..., back]

    def to_given(self, per_feature: Tensor) -> Tensor:
        """Maps (..., *feature_shape) in the order of the caller's features."""
        return per_feature[..., list(self.order)] if self.order else per_feature

    def patch_sides(self, side: int) -> tuple[int, ...]:
        """Extent of a patch along every feature axis; sensors of a series stay apart, tables have no patches."""
        return tuple(side if axis in self.neighbour_axes else 1 for axis in range(len(self.feature_shape)))

    def patches(self, side: int) -> Tensor:
        """Patch of every feature, counted from 0 along the rows: (*feature_shape) of int64.

        Squares of an image, cubes of a volume, stretches of one sensor of a series, single columns of a table. Where
        ``side`` does not divide the shape, the last patches are smaller.
        """
        import torch

        labels = torch.zeros((), dtype=torch.int64)
        for n, s in zip(self.feature_shape, self.patch_sides(side), strict=True):
            labels = labels.unsqueeze(-1) * math.ceil(n / s) + torch.arange(n) // s
        return labels

    def expand(self, per_feature: Tensor) -> Tensor:
        """Make a tensor (..., *feature_shape) broadcastable with inputs (..., *input_shape)."""
        if self.groups:
            return per_feature[..., self.feature_of_columns().to(per_feature.device)]
        if self.channels is None:
            return per_feature
        if self.slot:
            return per_feature.reshape(*per_feature.shape, *(1,) * self.slot)
        return per_feature.unsqueeze(per_feature.ndim - len(self.feature_shape))

    def reduce(self, per_input: Tensor) -> Tensor:
        """Sum a tensor (..., *input_shape) over channels, slot or group to (..., *feature_shape)."""
        if self.groups:
            sums = per_input.new_zeros((*per_input.shape[:-1], len(self.groups)))
            return sums.index_add_(-1, self.feature_of_columns().to(per_input.device), per_input)
        if self.slot:
            return per_input.sum(dim=tuple(range(-self.slot, 0)))
        return per_input if self.channels is None else per_input.sum(dim=-len(self.input_shape))

    def reduce_slopes(self, slopes: Tensor) -> Tensor:
        """Slopes (..., *input_shape) to (..., *feature_shape): summed over channels.

        In a group of several columns the root mean square: slopes along the columns of a one-hot block have no sum
        that means anything.
        """
        if self.one_number_each or not self.groups:
            return self.reduce(slopes)
        sizes = slopes.new_tensor([len(group) for group in self.groups])
        size = (self.reduce(slopes.square()) / sizes).sqrt()
        return size.where(sizes > 1, self.reduce(slopes))

    def channel_axis(self, shape: tuple[int, ...]) -> int | None:
        """The axis of maps (N, ...) along which they have a number per channel, to be summed; None if there is none.

        It has the length of the channels, or 1, and is the first one behind the samples or the last one.

        Examples
        --------
        >>> from xaibench.core.features import FeatureLayout
        >>> layout = FeatureLayout("image", (3, 8, 8))
        >>> layout.channel_axis((5, 3, 8, 8)), layout.channel_axis((5, 8, 8, 3)), layout.channel_axis((5, 8, 8))
        (1, 3, None)
        """
        inside, counts = tuple(shape[1:]), {1, self.channels or 1}
        if self.kind not in ("image", "volume", "tokens") or len(inside) != len(self.feature_shape) + 1:
            return None
        if inside[1:] == self.feature_shape and inside[0] in counts and not self.slot:
            return 1
        return len(inside) if inside[:-1] == self.feature_shape and inside[-1] in counts else None

    def by_feature(self, inputs: Tensor) -> Tensor:
        """Inputs (N, *input_shape) as (N, n_features, channels); groups that are smaller than others end in zeros."""
        if self.groups:
            import torch

            widest = max(len(group) for group in self.groups)
            places = torch.tensor([[*g, *[inputs.shape[1]] * (widest - len(g))] for g in self.groups])
            return torch.cat([inputs, torch.zeros_like(inputs[:, :1])], dim=1)[:, places.to(inputs.device)]
        if self.slot:
            return inputs.reshape(len(inputs), self.n_features, -1)
        return inputs.flatten(1).view(len(inputs), self.channels or 1, -1).transpose(1, 2)


@lru_cache(maxsize=64)
def _feature_of_columns(columns: tuple[tuple[int, ...], ...]) -> Tensor:
    import torch

    index = torch.empty(sum(map(len, columns)), dtype=torch.int64)
    for feature, members in enumerate(columns):
        index[list(members)] = feature
    return index


def raw_layout(row_shape: tuple[int, ...]) -> FeatureLayout:
    """The layout of raw token ids: rows of tokens (L,), or of words of several pieces (W, P)."""
    return FeatureLayout("tokens", tuple(int(s) for s in row_shape), slot=len(row_shape) - 1)


def infer_layout(input_shape: tuple[int, ...], features: str | None = None, axes: str | None = None) -> FeatureLayout:
    """Choose the layout for one sample's shape; ``features`` and ``axes`` settle what the shape leaves open.

    Parameters
    ----------
    input_shape : tuple of int
    features : str, optional
    axes : str, optional
        A letter for each axis of a batch: ``NTC`` (time, then sensors) or ``NCT`` of series, ``NCHW`` of images,
        ``NCDHW`` of volumes.

    Raises
    ------
    UsageError
        If ``features`` or ``axes`` is unknown or does not fit the shape, or is needed and missing; then with
        the ways in which the shape can be read.
    """
    shape = tuple(int(s) for s in input_shape)
    dims = {"image": (2, 3), "volume": (3, 4), "table": (1,), "series": (1, 2), "tokens": (1, 2)}
    dims |= {"edges": (1,), "nodes": (2,), "node_features": (2,)}
    if features is not None:
        if features not in dims:
            raise UsageError(f"unknown features {features!r}", f"known: {', '.join(FEATURE_KINDS)}")
        if len(shape) not in dims[features]:
            raise UsageError(
                f"inputs of shape (N, {', '.join(map(str, shape))}) cannot be {features!r}",
                "images are (N, C, H, W), volumes (N, C, D, H, W), series (N, T, D), tables (N, D), "
                "tokens (N, L) or their embeddings (N, L, D), edges (N, E), nodes and node_features (N, n, F)",
            )
        sensors_first = check_axes(shape, features, axes)
        # Two axes of tokens are their embeddings, of nodes their rows of features.
        slot = int(features in ("tokens", "nodes") and len(shape) == 2)
        return FeatureLayout(features, shape, slot=slot, sensors_first=sensors_first)  # type: ignore[arg-type]
    if axes is not None:
        raise UsageError(f"axes={axes!r} needs features=", could_be(shape))
    if len(shape) == 1:
        return FeatureLayout("table", shape)
    if len(shape) == 3 and shape[0] in (1, 2, 3, 4):
        return FeatureLayout("image", shape)
    raise UsageError(
        f"inputs of shape (N, {', '.join(map(str, shape))}) could be several things",
        could_be(shape) or f"say which with features=, one of {', '.join(FEATURE_KINDS)}",
    )


def step(layout: FeatureLayout, copies: Tensor, features: Tensor, by: float) -> Tensor:
    """Copies (B, *input_shape) in which one feature each (B,) is larger by ``by``, in all its channels.

    Features are counted along the rows.
    """
    import torch

    layout.require_quantities("moving a feature by a step")
    layout.require_no_categories("moving a feature by a step", booleans=True)
    moved = copies.clone(memory_format=torch.contiguous_format)
    if layout.groups:
        return moved + by * (layout.feature_of_columns().to(features.device) == features.unsqueeze(1))
    number = torch.arange(len(moved), device=moved.device)
    layout.by_feature(moved)[number, features] += by
    return moved
