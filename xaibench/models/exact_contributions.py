"""Contributions that a model knows exactly, from how it is made and not by evaluating it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout


@runtime_checkable
class KnowsContributions(Protocol):
    """A module that says itself what its features contribute."""

    def contributions(self, inputs: Tensor, targets: Tensor, **context: Tensor) -> Tensor:
        """Shapley values (N, *feature_shape) of the targets' outputs (N,), against features that are removed by 0."""
        ...


def contributions_of_module(
    module: nn.Module, inputs: Tensor, targets: Tensor, context: Context, layout: FeatureLayout
) -> Tensor:
    """Contributions (N, *feature_shape) of the features of samples, each with its context.

    Raises
    ------
    UnsupportedError
        If the module does not know them.
    """
    if not isinstance(module, KnowsContributions):
        raise UnsupportedError("exact contributions are known of modules that have a method contributions")
    with torch.no_grad():
        found = module.contributions(inputs, targets, **context)
    if tuple(found.shape) != (len(inputs), *layout.feature_shape):
        raise ValueError(f"contributions have shape {tuple(found.shape)} for features {layout.feature_shape}")
    return found
