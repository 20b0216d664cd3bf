"""Maskers of series: what stands for removed steps is made from the steps that are left."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.masking.imputation import linear_imputation


class SeriesMasker:
    """Fills removed cells of a series from the kept ones of the same sensor; see `Masker` for the calls.

    What a removed cell becomes depends on the other cells that are removed with it. So the loss of a single cell says
    little on a smooth series, whose neighbours give the cell back: remove windows (``group="segments"``). A sensor
    without any kept step becomes ``fill``.

    Parameters
    ----------
    name : {"interpolate", "carry_forward", "window_mean", "segment_marginal"}
    inputs : Tensor (N, *input_shape)
    layout : FeatureLayout
    fill : Tensor (N, *input_shape)
        The samples with everything removed: the mean of each sensor, or for ``segment_marginal`` the drawn reference
        rows.

    Raises
    ------
    UnsupportedError
        If the data are not series.

    Examples
    --------
    >>> import torch
    >>> from xaibench.core.features import FeatureLayout
    >>> from xaibench.core.masking.series import SeriesMasker
    >>> x = torch.tensor([[0.0, 5.0, 5.0, 3.0]])
    >>> keep = torch.tensor([[True, False, False, True]])
    >>> layout, mean = FeatureLayout("series", (4,)), torch.full((1, 4), 2.0)
    >>> SeriesMasker("interpolate", x, layout, mean)(x, keep).tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    >>> SeriesMasker("carry_forward", x, layout, mean)(x, keep).tolist()
    [[0.0, 0.0, 0.0, 3.0]]
    """

    def __init__(self, name: str, inputs: Tensor, layout: FeatureLayout, fill: Tensor) -> None:
        refuse_other_data(name, layout)
        self.name = name
        self.inputs = inputs
        self.layout = layout
        self.fill = fill

    def __call__(self, inputs: Tensor, keep: Tensor, rows: Tensor | slice | None = None) -> Tensor:
        fill = self.fill.index_select(0, rows) if isinstance(rows, Tensor) else self.fill[rows or slice(None)]
        if self.name == "segment_marginal":
            filled = fill + self._filled(inputs - fill, keep)
        else:
            filled = self._filled(inputs, keep)
        known = keep.any(dim=1 + self.layout.neighbour_axes[0], keepdim=True)
        return torch.where(keep, inputs, torch.where(known, filled, fill))

    def copies(self, rows: slice, keep: Tensor) -> Tensor:
        index = torch.arange(len(self.fill), device=keep.device)[rows].repeat_interleave(keep.shape[1])
        return self(self.inputs[index], keep.flatten(0, 1), index)

    def _filled(self, values: Tensor, keep: Tensor) -> Tensor:
        """Values (B, *input_shape) with something for what is removed, for sensors with a kept step."""
        if self.name in ("interpolate", "segment_marginal"):
            return linear_imputation(values, keep, self.layout)
        along = 1 + self.layout.neighbour_axes[0]
        made = _carried if self.name == "carry_forward" else _window_means
        return made(values.movedim(along, 1), keep.movedim(along, 1)).movedim(1, along)


def refuse_other_data(name: str, layout: FeatureLayout) -> None:
    """Raise UnsupportedError if a masker of series is asked for other data."""
    if layout.kind != "series":
        raise UnsupportedError(
            f"the {name} masker needs a series, not a {layout.kind}", 'features="series" says that inputs are one'
        )


def window_of(length: int) -> int:
    """Steps on either side over which ``window_mean`` averages: an eighth of the series, at least 2."""
    return max(2, round(length / 8))


def _carried(values: Tensor, keep: Tensor) -> Tensor:
    """The last kept value (B, T, ...) at or before every step; before the first kept step, the first kept value."""
    length = values.shape[1]
    time = torch.arange(length, device=values.device).view(1, -1, *(1,) * (values.ndim - 2))
    last = torch.where(keep, time, -1).cummax(dim=1).values
    first = torch.where(keep, time, length - 1).amin(dim=1, keepdim=True)
    return values.gather(1, torch.where(last < 0, first, last))


def _window_means(values: Tensor, keep: Tensor) -> Tensor:
    """Mean (B, T, ...) of the kept values near every step; of all kept ones of the sensor where there is none near."""
    length = values.shape[1]
    reach = window_of(length)
    time = torch.arange(length, device=values.device)
    start, stop = (time - reach).clamp(min=0), (time + reach + 1).clamp(max=length)
    sums, counts = (_running(v.double()) for v in (values * keep, keep))
    near, number = (total[:, stop] - total[:, start] for total in (sums, counts))
    overall = sums[:, -1:] / counts[:, -1:].clamp(min=1)
    return torch.where(number > 0, near / number.clamp(min=1), overall).to(values.dtype)


def _running(values: Tensor) -> Tensor:
    """Sums (B, T + 1, ...) of the values before every step."""
    return torch.cat([torch.zeros_like(values[:, :1]), values.cumsum(dim=1)], dim=1)
