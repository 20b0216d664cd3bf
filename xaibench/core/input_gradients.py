"""Gradients with respect to inputs, or one sentence that says why there are none."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError


def as_leaf(inputs: Tensor) -> Tensor:
    """Inputs as a tensor that can be differentiated.

    Raises
    ------
    UnsupportedError
        If they are not floating-point numbers.
    """
    if not inputs.is_floating_point():
        raise UnsupportedError(f"inputs of type {inputs.dtype} have no gradient", INSTEAD)
    return inputs.detach().requires_grad_(True)


def input_gradient(output: Tensor, inputs: Tensor, seed: Tensor | None = None) -> Tensor:
    """Gradient of ``sum(output * seed)`` with respect to inputs that were made by `as_leaf`; same shape as these.

    Parameters
    ----------
    output : Tensor
    inputs : Tensor
    seed : Tensor, optional
        Same shape as ``output``; 1 everywhere by default.

    Raises
    ------
    UnsupportedError
        If no gradient reaches the inputs.
    """
    if output.requires_grad:
        seed = torch.ones_like(output) if seed is None else seed
        (gradient,) = torch.autograd.grad(output, inputs, seed, allow_unused=True)
        if gradient is not None:
            return gradient.detach()
    raise UnsupportedError(NO_GRADIENT, INSTEAD)


NO_GRADIENT = "no gradient reaches the inputs: the model reads them as integers, detaches them or does not use them"
INSTEAD = "explainers that only evaluate the model, such as occlusion or kernel_shap, need no gradient"
