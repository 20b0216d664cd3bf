"""Missing values (NaN) of tables: statistics and rows of a background without them."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.finite import all_finite


def observed_mean(values: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Mean over axes of what is not missing, with these axes of length 1.

    Raises
    ------
    UnsupportedError
        If nothing is left: a column without a single value.
    """
    mean = values.mean(dim=dim, keepdim=True)
    if all_finite(mean) or not bool(torch.isnan(values).any()):
        return mean
    return _defined(values.nanmean(dim=dim, keepdim=True))


def observed_range(values: Tensor, dim: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Smallest and largest value over axes of what is not missing; see `observed_mean`."""
    missing = torch.isnan(values)
    if not bool(missing.any()):
        return values.amin(dim=dim, keepdim=True), values.amax(dim=dim, keepdim=True)
    low = values.masked_fill(missing, torch.inf).amin(dim=dim, keepdim=True)
    high = values.masked_fill(missing, -torch.inf).amax(dim=dim, keepdim=True)
    return _defined(low), _defined(high)


def complete_rows(background: Tensor) -> Tensor:
    """Rows (M, ...) in which a missing value is one of the column's values, the next row's with the same remainder.

    Every value of a column with gaps is put into about equally many of them. Without gaps these are
    the rows themselves.

    Raises
    ------
    UnsupportedError
        If a column has no value at all.

    Examples
    --------
    >>> import torch
    >>> from xaibench.core.masking.missing import complete_rows
    >>> complete_rows(torch.tensor([[1.0], [float("nan")], [3.0]]))[:, 0].tolist()
    [1.0, 3.0, 3.0]
    """
    missing = torch.isnan(background)
    if not bool(missing.any()):
        return background
    flat, gaps = background.flatten(1).clone(), missing.flatten(1)
    for j in torch.nonzero(gaps.any(dim=0))[:, 0].tolist():
        values = flat[~gaps[:, j], j]
        if len(values) == 0:
            raise UnsupportedError(f"column {j} of the background has no value", "leave the column out")
        rows = torch.nonzero(gaps[:, j])[:, 0]
        flat[rows, j] = values[rows % len(values)]
    return flat.view_as(background)


def refuse_missing(values: Tensor, what: str) -> None:
    """Raise UnsupportedError, with column and row, if there is a missing value where none can be."""
    missing = torch.isnan(values).flatten(1)
    if bool(missing.any()):
        row, column = torch.nonzero(missing)[0].tolist()
        raise UnsupportedError(
            f"{what} cannot have missing values, and column {column} of row {row} is NaN",
            "impute them, or use a masker that ignores them: mean, uniform, marginal",
        )


def _defined(found: Tensor) -> Tensor:
    empty = ~torch.isfinite(found).flatten()
    if bool(empty.any()):
        raise UnsupportedError(
            f"column {int(empty.nonzero()[0])} has no value to put in the place of a removed one",
            "leave the column out",
        )
    return found
