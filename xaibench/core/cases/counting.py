"""Counting runs of a model: a call counts one, and a backward pass through its outputs two more."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from xaibench.core.errors import XaibenchError


class ClosedCaseError(XaibenchError):
    """The model of a case was run after the explainer had answered."""


class RunCounter:
    """Counts calls of functions and backward passes through what they return, until it is closed."""

    def __init__(self) -> None:
        self.runs = 0
        self._closed = False

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counting."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._closed:
                raise ClosedCaseError("the model may not be run any more: the explainer has given its answer")
            self.runs += 1
            return self._watched(function(*args, **kwargs))

        return call

    def close(self) -> None:
        """Refuse every later call."""
        self._closed = True

    def add_backward_pass(self) -> None:
        """Count a backward pass."""
        self.runs += 2

    def _watched(self, found: Any) -> Any:
        """The same output; one backward pass through any of its tensors counts once."""
        tensors: list[Tensor] = []
        _collect(found, tensors)
        if not tensors:
            return found
        passed = iter(_CountBackward.apply(self, *tensors))  # type: ignore[no-untyped-call]
        return _rebuilt(found, passed)


class _CountBackward(torch.autograd.Function):
    """The identity, which counts when gradients flow through it."""

    @staticmethod
    def forward(ctx: Any, counter: RunCounter, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.counter = counter
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        ctx.counter.add_backward_pass()
        return (None, *gradients)


def _collect(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found += [value] if value.requires_grad else []
    elif isinstance(value, (tuple, list)):
        for part in value:
            _collect(part, found)
    elif isinstance(value, dict):
        for part in value.values():
            _collect(part, found)


def _rebuilt(value: Any, passed: Any) -> Any:
    if isinstance(value, Tensor):
        return next(passed) if value.requires_grad else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_rebuilt(part, passed) for part in value))
    if isinstance(value, (tuple, list)):
        return type(value)(_rebuilt(part, passed) for part in value)
    if isinstance(value, dict):
        return {name: _rebuilt(part, passed) for name, part in value.items()}
    return value
