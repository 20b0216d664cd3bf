"""Modules that are called in their own number type and whose outputs are read from what they return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.model_outputs import read_output
from xaibench.core.module_copies import is_compiled, sharing_copy


class CastInputs:
    """A forward pre-hook that gives a module its inputs in the number type that it takes."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(
        self, _module: nn.Module, inputs: tuple[Any, ...], context: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (cast_inputs(inputs[0], self.dtype), *inputs[1:]), cast_context(context, self.dtype)


class ReadOutput:
    """A forward hook that gives the outputs of a module as one tensor; see `read_output`."""

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        return read_output(output)


class AdaptedModule(nn.Module):
    """A module in another one that casts inputs and reads outputs, for modules that take no hooks or no copy."""

    def __init__(self, module: nn.Module, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype
        self.training = False

    def forward(self, inputs: Tensor, **context: Tensor) -> Tensor:
        if self.dtype is None:
            return read_output(self.module(inputs, **context))
        return read_output(self.module(cast_inputs(inputs, self.dtype), **cast_context(context, self.dtype)))


def cast_inputs(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Inputs in the number type that a module takes.

    Raises
    ------
    UnsupportedError
        If the module reads whole numbers and these are none: half of a code is not a code.
    """
    if not dtype.is_floating_point and inputs.is_floating_point():
        # Before anything else: whoever follows the pass shall see that the gradient ends here.
        inputs = inputs.detach()
        if not whole_numbers(inputs):
            raise UnsupportedError(
                "the model reads whole numbers, and this puts fractions in their place",
                "maskers such as zero and marginal put whole numbers there",
            )
    return inputs.to(dtype)


def cast_context(context: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The context with its fractions in the floating-point type that a module computes in; the rest as it is."""
    if not dtype.is_floating_point:
        return dict(context)
    return {
        name: values.to(dtype) if isinstance(values, Tensor) and values.is_floating_point() else values
        for name, values in context.items()
    }


def number_type(module: nn.Module) -> torch.dtype:
    """float64 where all numbers of a module are of that type, else float32."""
    own = {t.dtype for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()}
    return torch.float64 if own == {torch.float64} else torch.float32


def whole_numbers(inputs: Tensor) -> bool:
    """Whether all inputs are whole numbers."""
    return not inputs.is_floating_point() or bool((inputs == inputs.round()).all())


def adapted(module: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """The module, called in ``dtype`` and returning one tensor; it shares its weights with the original.

    Layers keep their names, and the original has no hook: hooks are on a copy, or around a module that takes none.
    """
    if is_compiled(module):
        return AdaptedModule(module, dtype)
    try:
        own = sharing_copy(module)
    except UnsupportedError:
        return AdaptedModule(module, dtype)
    if dtype is not None:
        own.register_forward_pre_hook(CastInputs(dtype), with_kwargs=True)
    own.register_forward_hook(ReadOutput())
    return own


def original(module: nn.Module) -> nn.Module:
    """The module inside an `AdaptedModule`; any other module is its own."""
    return module.module if isinstance(module, AdaptedModule) else module
