"""Which floating-point types a computation uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class FloatingTypes(TorchFunctionMode):
    """Notes the floating-point types of all tensors that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def add(self, result: Any) -> None:
        if isinstance(result, Tensor) and result.is_floating_point():
            self.types.add(result.dtype)

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.add(result)
        return result
