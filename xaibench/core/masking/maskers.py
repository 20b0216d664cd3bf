"""Maskers: what replaces a removed feature. The choice is always an explicit parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError, UsageError, did_you_mean
from xaibench.core.features import GRAPH_KINDS, FeatureLayout
from xaibench.core.masking.categories import legal_fill
from xaibench.core.masking.conditional import Gaussian
from xaibench.core.masking.graphs import graph_fill
from xaibench.core.masking.imputation import linear_imputation
from xaibench.core.masking.missing import complete_rows, observed_mean, observed_range, refuse_missing
from xaibench.core.masking.names import DRAWN as DRAWN
from xaibench.core.masking.names import MASKERS as MASKERS
from xaibench.core.masking.names import MASKERS_VERSION as MASKERS_VERSION
from xaibench.core.masking.names import SERIES_MASKERS, TOKEN_MASKERS
from xaibench.core.masking.series import SeriesMasker, refuse_other_data
from xaibench.core.masking.tokens import Absence, deleted, token_fill

IMPUTATION_NOISE = 0.01
"""Standard deviation of the noise of `NoisyLinearMasker`, in units of the inputs."""


class Masker(Protocol):
    """Sets features to "missing".

    ``masker(inputs, keep, rows)`` masks a batch of perturbed copies: ``inputs`` (B, *input_shape)
    and ``keep`` (B, *feature_shape) of bool; ``rows`` (B,) says which of the N samples each copy
    belongs to, by default copy i to sample i.

    ``masker.copies(rows, keep)`` masks the samples themselves, the n samples of the slice ``rows``
    m times each: ``keep`` is (n, m, *feature_shape), the result (n * m, *input_shape).

    Attributes
    ----------
    fill : Tensor (N, *input_shape)
        The fully masked samples; also the reference point of contributions under this masker.
    """

    name: str
    fill: Tensor

    def __call__(self, inputs: Tensor, keep: Tensor, rows: Tensor | slice | None = None) -> Tensor: ...

    def copies(self, rows: slice, keep: Tensor) -> Tensor: ...


class FillMasker:
    """Replaces removed features by those of a fixed fill, one per sample; see `Masker`."""

    def __init__(self, name: str, inputs: Tensor, fill: Tensor, layout: FeatureLayout) -> None:
        self.name = name
        self.inputs = inputs
        self.fill = fill
        self.layout = layout

    def __call__(self, inputs: Tensor, keep: Tensor, rows: Tensor | slice | None = None) -> Tensor:
        if self.layout.slot and isinstance(rows, Tensor):
            whole = keep.expand(inputs.shape[: inputs.ndim - self.layout.slot])
            return _fill_slots(inputs.clone(memory_format=torch.contiguous_format), whole, self.fill, rows)
        # index_select copies rows many times faster than indexing with a tensor does.
        fill = self.fill.index_select(0, rows) if isinstance(rows, Tensor) else self.fill[rows or slice(None)]
        return choose(self.layout.expand(keep), inputs, fill)

    def copies(self, rows: slice, keep: Tensor) -> Tensor:
        if self.layout.slot:
            own = torch.arange(len(self.inputs), device=keep.device)[rows]
            whole = keep.expand(len(own), keep.shape[1], *self.layout.feature_shape).flatten(0, 1)
            own = own.repeat_interleave(keep.shape[1])
            return _fill_slots(self.inputs.index_select(0, own), whole, self.fill, own)
        chosen = choose(self.layout.expand(keep), self.inputs[rows].unsqueeze(1), self.fill[rows].unsqueeze(1))
        return chosen.flatten(0, 1)


class NoisyLinearMasker:
    """Replaces removed features by a weighted mean of their neighbours plus noise (Rong et al. 2022, ROAD).

    Removed features are as smooth as what surrounds them, so that neither the shape of the mask nor
    a foreign colour tells the model anything; see `linear_imputation`. The noise has a standard
    deviation of 0.01 in units of the inputs, as in the authors' code, and is drawn once per sample:
    all copies of a sample share it. A sample without any known feature becomes its own mean, per
    channel or sensor, plus that noise.

    Raises
    ------
    UnsupportedError
        If the features have no neighbours: tables and tokens.
    """

    def __init__(self, name: str, inputs: Tensor, layout: FeatureLayout, draws: Draws) -> None:
        if layout.kind not in ("image", "series"):
            raise UnsupportedError(f"the {name} masker needs an image or a series, not a {layout.kind}")
        self.name = name
        self.inputs = inputs
        self.layout = layout
        self.noise = (IMPUTATION_NOISE * draws.normal(layout.input_shape)).to(inputs.dtype)
        mean = inputs.mean(dim=_per_sample_axes(layout), keepdim=True)
        self.fill = mean + self.noise

    def __call__(self, inputs: Tensor, keep: Tensor, rows: Tensor | slice | None = None) -> Tensor:
        noise = self.noise.index_select(0, rows) if isinstance(rows, Tensor) else self.noise[rows or slice(None)]
        return linear_imputation(inputs, keep, self.layout).addcmul_(noise, self._removed(keep))

    def copies(self, rows: slice, keep: Tensor) -> Tensor:
        inputs, noise = self.inputs[rows], self.noise[rows]
        n, m = keep.shape[:2]
        index = torch.arange(n, device=keep.device).repeat_interleave(m)
        imputed = linear_imputation(inputs, keep.flatten(0, 1), self.layout, index).view(n, m, *inputs.shape[1:])
        return imputed.addcmul_(noise.unsqueeze(1), self._removed(keep)).flatten(0, 1)

    def _removed(self, keep: Tensor) -> Tensor:
        return self.layout.expand(keep.logical_not()).to(self.inputs.dtype)


class ConditionalMasker:
    """Replaces removed columns of a table by a draw given the others, from a Gaussian fitted to the background.

    Off the data nothing is known of a model; such copies stay as near to the data as a Gaussian
    can tell. One draw per sample is behind all of its copies, so that removing a feature moves the
    others no further than it must; fresh ones come from other seeds, whose mean is multiple
    imputation (Rubin 1987). See `Gaussian.redraw`. Columns that are not quantities, such as codes of
    categories, would get values that lie between them, and are refused where they are known as such.

    Raises
    ------
    UnsupportedError
        If the data are not a table, have categories or groups of columns, or there is no background or not at
        least two rows more than columns.
    """

    def __init__(self, name: str, inputs: Tensor, layout: FeatureLayout, background: Tensor | None, draws: Draws):
        if layout.kind != "table":
            raise UnsupportedError(f"the {name} masker needs a table, and this is {layout.kind} data")
        if not layout.one_number_each:
            raise UnsupportedError(f"the {name} masker takes single columns, and there are groups of them")
        layout.require_no_categories(f"the {name} masker", booleans=True)
        if background is None or len(background) < layout.n_features + 2:
            given = "none" if background is None else f"{len(background)} rows for {layout.n_features} columns"
            raise UnsupportedError(
                f"the {name} masker needs a background of two rows more than there are columns, and there is {given}",
                "give more reference samples (in a suite, background = N)",
            )
        self.name = name
        self.inputs = inputs
        refuse_missing(background, f"the background of the {name} masker")
        refuse_missing(inputs, f"the samples of the {name} masker")
        self._gaussian = Gaussian.fitted(background)
        self._drawn = self._gaussian.sample(draws.normal((layout.n_features,)))
        self.fill = self._drawn.to(inputs.dtype)

    def __call__(self, inputs: Tensor, keep: Tensor, rows: Tensor | slice | None = None) -> Tensor:
        drawn = self._drawn.index_select(0, rows) if isinstance(rows, Tensor) else self._drawn[rows or slice(None)]
        return self._gaussian.redraw(inputs, keep.expand(inputs.shape), drawn)

    def copies(self, rows: slice, keep: Tensor) -> Tensor:
        inputs, drawn = (t[rows].repeat_interleave(keep.shape[1], dim=0) for t in (self.inputs, self._drawn))
        return self._gaussian.redraw(inputs, keep.flatten(0, 1), drawn)


def choose(keep: Tensor, unmasked: Tensor, removed: Tensor) -> Tensor:
    """Return ``torch.where(keep, unmasked, removed)`` bit for bit, with broadcasting, several times faster on a CPU.

    ``torch.where`` branches on every number. The bits in which both differ, times 0 or 1, are found
    in vector instructions.
    """
    integer = _INTEGERS[unmasked.element_size()]
    base = removed.view(integer)
    change = unmasked.view(integer) ^ base
    whole: Tensor = torch.broadcast_tensors(keep, change)[0]  # type: ignore[no-untyped-call]
    bits = whole.to(integer, memory_format=torch.contiguous_format)
    return bits.mul_(change).bitwise_xor_(base).view(unmasked.dtype)


def _fill_slots(copies: Tensor, keep: Tensor, fill: Tensor, rows: Tensor) -> Tensor:
    """Write the slots of ``fill`` (N, n, *slot) into contiguous ``copies`` (B, n, *slot) where not ``keep`` (B, n).

    Row ``rows`` (B,) of the fill belongs to each copy. Only what is removed is written, a whole slot at a time.
    """
    slots = math.prod(keep.shape[1:])
    removed = keep.logical_not().flatten().nonzero().squeeze(1)
    source = rows.index_select(0, removed // slots) * slots + removed % slots
    last = keep.ndim - 1
    copies.flatten(0, last)[removed] = fill.flatten(0, last).index_select(0, source)
    return copies


_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


Fill = Callable[[Tensor, FeatureLayout, "Tensor | None", Draws], Tensor]


def _per_sample_axes(layout: FeatureLayout) -> tuple[int, ...]:
    """Axes of (N, *input_shape) over which a sample's own statistics are taken: space, or the time of each sensor."""
    if layout.kind == "series":
        return tuple(1 + axis for axis in layout.neighbour_axes)
    first = 2 if layout.channels is not None else 1
    return tuple(range(first, 1 + len(layout.input_shape)))


def _background_axes(layout: FeatureLayout) -> tuple[int, ...]:
    """Axes of background statistics, which a table has per column, and other data per channel or sensor."""
    return (0,) if layout.kind == "table" else (0, *_per_sample_axes(layout))


def zero(inputs: Tensor, layout: FeatureLayout, background: Tensor | None, draws: Draws) -> Tensor:
    """All zeros."""
    return torch.zeros_like(inputs)


def mean_value(inputs: Tensor, layout: FeatureLayout, background: Tensor | None, draws: Draws) -> Tensor:
    """Mean of the background per channel, sensor, or column of a table; without one, the sample's own mean."""
    if background is None:
        return observed_mean(inputs, _per_sample_axes(layout)).expand_as(inputs).clone()
    return observed_mean(background, _background_axes(layout)).expand_as(inputs).clone()


def blur(inputs: Tensor, layout: FeatureLayout, background: Tensor | None, draws: Draws) -> Tensor:
    """Gaussian blur with a standard deviation of an eighth of the side, edges replicated (images and series)."""
    sides = [layout.feature_shape[axis] for axis in layout.neighbour_axes]
    if sides:
        return gaussian_blur(inputs, layout, sigma=max(1.0, min(sides) / 8))
    raise UnsupportedError(f"the blur masker needs an image or a series, not a {layout.kind}")


def uniform(inputs: Tensor, layout: FeatureLayout, background: Tensor | None, draws: Draws) -> Tensor:
    """One draw from U(lowest, highest), the range of the background's channel, sensor or column, else the sample's."""
    if background is None:
        low, high = observed_range(inputs, _per_sample_axes(layout))
    else:
        low, high = observed_range(background, _background_axes(layout))
    return low + (high - low) * draws.uniform(tuple(inputs.shape[1:])).to(inputs.dtype)


def marginal(inputs: Tensor, layout: FeatureLayout, background: Tensor | None, draws: Draws) -> Tensor:
    """One row of the background, drawn per sample."""
    if background is None:
        raise UnsupportedError("the marginal masker needs a background", "pass background=, reference samples")
    return complete_rows(background)[draws.integers(len(background))]


def sample_min(inputs: Tensor, layout: FeatureLayout, background: Tensor | None, draws: Draws) -> Tensor:
    """The smallest number of the sample itself, over all channels and sensors ("black" of an image)."""
    lowest = observed_range(inputs.flatten(1), (1,))[0]
    return lowest.view(-1, *[1] * len(layout.input_shape)).expand_as(inputs).clone()


FILLS: dict[str, Fill] = {
    "zero": zero,
    "mean": mean_value,
    "blur": blur,
    "uniform": uniform,
    "marginal": marginal,
    "sample_min": sample_min,
}


def make_masker(
    name: str,
    inputs: Tensor,
    layout: FeatureLayout,
    background: Tensor | None,
    draws: Draws,
    absence: Absence | None = None,
) -> Masker:
    """Build the named masker for these samples; ``draws`` should name the masker in its stream.

    ``absence`` says what stands for a feature that is not there, for tokens and for samples of different lengths.

    Raises
    ------
    UsageError
        If the name is unknown.
    UnsupportedError
        If the masker cannot serve this kind of data.
    """
    if name not in MASKERS:
        raise UsageError(f"unknown masker {name!r}", did_you_mean(name, MASKERS))
    absence = absence or Absence()
    if layout.kind in GRAPH_KINDS:
        return FillMasker(name, inputs, graph_fill(name, inputs, layout, absence.pool, draws), layout)
    if layout.kind == "tokens":
        return FillMasker(name, inputs, token_fill(name, inputs, layout, absence, draws), layout)
    if name == "delete":
        return FillMasker(name, inputs, deleted(name, inputs, absence), layout)
    if name in TOKEN_MASKERS:
        raise UnsupportedError(f"the {name} masker is about tokens, and this is {layout.kind} data")
    if name in SERIES_MASKERS:
        refuse_other_data(name, layout)
    if absence.pool is not None:
        if name in ("marginal", "segment_marginal"):
            raise UnsupportedError(
                "samples of different lengths have no reference rows to draw from",
                "mean and uniform are taken over all steps",
            )
        background = absence.pool.unsqueeze(0)
    if name == "noisy_linear":
        return NoisyLinearMasker(name, inputs, layout, draws)
    if name == "conditional":
        return ConditionalMasker(name, inputs, layout, background, draws)
    if name in SERIES_MASKERS:
        make = marginal if name == "segment_marginal" else mean_value
        return SeriesMasker(name, inputs, layout, make(inputs, layout, background, draws))
    fill = FILLS[name](inputs, layout, background, draws)
    return FillMasker(name, inputs, legal_fill(name, inputs, fill, layout, background, draws), layout)


def gaussian_blur(values: Tensor, layout: FeatureLayout, *, sigma: float) -> Tensor:
    """Blur (N, *input_shape) along the sides of an image or volume, or along the time axis of a series."""
    kernel = gaussian_kernel(sigma, values)
    for axis in layout.trailing_axes:
        values = _convolve(values, kernel, axis)
    return values


def gaussian_kernel(sigma: float, like: Tensor) -> Tensor:
    """Weights (2 r + 1,) of a Gaussian filter with standard deviation ``sigma``, cut off at r = 4 sigma; sum 1.

    They have the type of ``like`` and are where it is.
    """
    radius = max(1, int(4 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return kernel / kernel.sum()


def _convolve(values: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Convolve along one axis, edges replicated."""
    moved = values.movedim(axis, -1)
    side, radius = moved.shape[-1], len(kernel) // 2
    index = torch.arange(-radius, side + radius, device=values.device).clamp(0, side - 1)
    return (moved[..., index].unfold(-1, len(kernel), 1) @ kernel).movedim(-1, axis)
