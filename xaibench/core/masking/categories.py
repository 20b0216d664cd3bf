"""What takes the place of a removed category: always one that there is."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout

LEGAL = frozenset({"marginal"})
"""Maskers that put whole features of background rows in the place of removed ones."""


def legal_fill(
    name: str, inputs: Tensor, fill: Tensor, layout: FeatureLayout, background: Tensor | None, draws: Draws
) -> Tensor:
    """The fill of a masker with values that categories and booleans can have.

    ``marginal`` takes them from the drawn row as it is. ``uniform`` draws among the values that the background has,
    each with the same probability. Every other masker puts the most frequent value of the background there, one-hot
    blocks as a whole; but ``zero`` leaves booleans 0.

    Parameters
    ----------
    name : str
        Of the masker.
    inputs, fill : Tensor (N, D)
        Samples, and what the masker puts in their place.
    layout : FeatureLayout
    background : Tensor (M, D) or None
    draws : Draws
        Of the masker; drawn from after it has drawn.

    Raises
    ------
    UnsupportedError
        If there is no background to take a category from.

    Examples
    --------
    >>> import torch
    >>> import xaibench as xb
    >>> from xaibench.core.features import FeatureLayout
    >>> from xaibench.core.masking.categories import legal_fill
    >>> layout = FeatureLayout("table", (2,), categorical=(1,))
    >>> rows = torch.tensor([[1.0, 2.0], [2.0, 2.0], [6.0, 0.0]])
    >>> legal_fill("mean", rows[:1], rows.mean(0, keepdim=True), layout, rows, xb.Draws(0, "s", [b"x"])).tolist()
    [[3.0, 2.0]]
    """
    features = [*layout.categorical, *(j for j in layout.boolean if name != "zero")]
    if not features or name in LEGAL:
        return fill
    if background is None:
        what = "categories" if layout.categorical else "true or false"
        raise UnsupportedError(
            f"the {name} masker has nothing to put in the place of features that are {what}: there are no reference"
            " samples",
            "pass background=, reference samples",
        )
    legal = fill.clone(memory_format=torch.contiguous_format)
    share = draws.uniform((layout.n_features,)).to(fill) if name == "uniform" else None
    for feature in features:
        columns = list(layout.columns[feature])
        values, counts = observed_values(background[:, columns], feature)
        if share is None:
            legal[:, columns] = values[counts.argmax()]
        else:
            legal[:, columns] = values[(share[:, feature] * len(values)).long().clamp(max=len(values) - 1)]
    return legal


def observed_values(block: Tensor, feature: int) -> tuple[Tensor, Tensor]:
    """The different values (K, columns) of a feature in the rows (M, columns) of a background, and how often each is.

    Rows with a missing value are left out.

    Raises
    ------
    UnsupportedError
        If no row is left.
    """
    complete = block[~torch.isnan(block).any(dim=1)]
    if len(complete) == 0:
        raise UnsupportedError(f"feature {feature} of the background has no value", "leave it out")
    values, counts = torch.unique(complete, dim=0, return_counts=True)
    return values, counts
