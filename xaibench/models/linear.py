"""Ground truth of models that are linear in their features, globally or around each sample."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout


@runtime_checkable
class KnowsSlopes(Protocol):
    """A module that says itself what its slopes are, from how it is made and not by differentiation."""

    def slopes(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Slopes of the targets' logits (N,) in the inputs (N, *input_shape), of the same shape."""
        ...


def truth_weights(module: nn.Module, inputs: Tensor, targets: Tensor, layout: FeatureLayout) -> Tensor:
    """Slopes of the target's logit in every feature of a linear model: the rows W[target].

    Parameters
    ----------
    module : torch.nn.Module
        One `torch.nn.Linear`, with nothing but `torch.nn.Flatten` beside it, or a module that
        `KnowsSlopes`.
    inputs : Tensor (N, *input_shape)
    targets : Tensor (N,) of int64
    layout : FeatureLayout
        Slopes of channels that share a feature are summed.

    Returns
    -------
    Tensor (N, *feature_shape)

    Raises
    ------
    UnsupportedError
        If the module is not linear in that sense.
    """
    if isinstance(module, KnowsSlopes):
        with torch.no_grad():
            return layout.reduce_slopes(module.slopes(inputs, targets)).clone()
    leaves = [m for m in module.modules() if not any(True for _ in m.children())]
    linear = [m for m in leaves if isinstance(m, nn.Linear)]
    if len(linear) != 1 or not all(isinstance(m, (nn.Linear, nn.Flatten, nn.Identity)) for m in leaves):
        raise UnsupportedError("the weights of a model are its slopes only if it is linear")
    with torch.no_grad():
        return layout.reduce_slopes(linear[0].weight[targets].reshape(-1, *layout.input_shape)).clone()
