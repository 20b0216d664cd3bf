"""Samples as a data set has them, before a model encodes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from xaibench.core.features import FeatureLayout


@dataclass(frozen=True)
class RawRows:
    """Samples as a data set has them, of different sizes.

    Attributes
    ----------
    values : Tensor (M, L, ...)
    sizes : Tensor (M,) of int64
        How many entries along the first axis of each there are.
    layout : FeatureLayout
        Of these rows.
    context : mapping of str to Tensor (M, ...)
    """

    values: Tensor
    sizes: Tensor
    layout: FeatureLayout
    context: Mapping[str, Tensor] = field(default_factory=dict)
