"""Checks of a modified forward pass against the network itself, and of attributions against what they must sum to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import TorchPredictor

ROUNDING_STEPS = 64
"""Rounding errors of the largest number inside a network that its outputs may differ by."""


def check_outputs(
    method: str, model: TorchPredictor, inputs: Tensor, raw: Tensor, context: Context | None = None
) -> None:
    """Raise UnsupportedError unless ``raw`` are the model's own outputs (N, C) for these inputs.

    The allowed difference is the square root of the machine epsilon times the largest output of the
    batch (3e-4 of it in float32, 1e-8 in float64), plus what rounding inside the network explains.
    """
    own = model.predict(inputs.detach(), context)
    size = own[own.isfinite()].abs().amax() if bool(own.isfinite().any()) else own.new_zeros(())
    allowed = machine_epsilon(model, own) ** 0.5 * size
    different = beyond_rounding(model, inputs, context, raw.detach(), own, allowed)
    if bool(different.any()):
        raise UnsupportedError(
            f"{method} would explain another function: as {method} runs this model, its outputs are not the model's "
            "(it draws at random, changes tensors in place, or treats samples together)",
            "gradient explainers and explainers that only evaluate the model may work",
        )


def beyond_rounding(
    model: TorchPredictor,
    inputs: Tensor,
    context: Context | None,
    found: Tensor,
    expected: Tensor,
    allowed: Tensor,
) -> Tensor:
    """Which numbers differ by more than ``allowed`` and more than rounding in the network explains; same shape."""
    gap = (found - expected).abs()
    wrong = (found != expected) & ~(found.isnan() & expected.isnan()) & ~(gap <= allowed)
    if bool(wrong.any()):
        rounding = ROUNDING_STEPS * machine_epsilon(model, expected) * _largest_number(model, inputs, context)
        wrong &= ~(gap <= allowed + rounding)
    return wrong


def machine_epsilon(model: TorchPredictor, outputs: Tensor) -> float:
    """The coarsest machine epsilon among the model's parameters and outputs."""
    tensors = (outputs, *model.module.parameters(), *model.module.buffers())
    return max(torch.finfo(t.dtype).eps for t in tensors if t.is_floating_point())


def _largest_number(model: TorchPredictor, inputs: Tensor, context: Context | None) -> float:
    """The largest finite size of a number that the network computes for these inputs."""
    largest = _Largest()
    with largest:
        model.predict(inputs.detach(), context)
    return largest.size


class _Largest(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.size = 0.0

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.is_floating_point() and result.numel():
            self.size = max(self.size, float(result.detach().abs().nan_to_num(0.0, 0.0, 0.0).amax()))
        return result
