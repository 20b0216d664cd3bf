"""Copies of torch modules, also of those that hold tensors with a gradient history."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.types import Array

_DEPTH = 3
"""Levels of lists, tuples and dictionaries in a module's attributes that are searched for tensors."""


def is_compiled(module: nn.Module) -> bool:
    """Whether a module is TorchScript, or has a part that is: no hooks, and nothing to see inside."""
    return any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())


def copy_module(module: nn.Module, replaced: Mapping[Tensor, Tensor] | None = None) -> nn.Module:
    """A deep copy of a module.

    Tensors that were computed and kept (the ``weight`` that the hooks of `torch.nn.utils.weight_norm` and
    `torch.nn.utils.spectral_norm` set before every pass, features that a forward pass stores on the module) are
    copied without their gradient history, which `copy.deepcopy` refuses.

    Parameters
    ----------
    module : torch.nn.Module
        Stays as it is.
    replaced : mapping of Tensor to Tensor, optional
        Tensors that stand in the copy for tensors of the module; a tensor that stands for itself is shared.

    Raises
    ------
    UnsupportedError
        If the module holds something that cannot be copied, or replaces tensors of a compiled module.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 1))
    >>> copy_module(net) is net
    False
    """
    if is_compiled(module):
        if replaced is not None:
            raise UnsupportedError("the weights of a TorchScript module cannot be exchanged", _BEFORE_COMPILATION)
        return _deep_copy(module, {})
    computed = (t for t in _stored(module) if isinstance(t, Tensor) and t.grad_fn is not None)
    memo: dict[int, Any] = {id(t): t.detach().clone() for t in computed}
    return _deep_copy(module, memo | {id(old): new for old, new in (replaced or {}).items()})


def sharing_copy(module: nn.Module) -> nn.Module:
    """A copy of a module that shares all its tensors and arrays, so that hooks on the copy leave the original alone.

    Raises
    ------
    UnsupportedError
        As `copy_module`.
    """
    if is_compiled(module):
        raise UnsupportedError("a TorchScript module takes no hooks", _BEFORE_COMPILATION)
    tensors = (*module.parameters(), *module.buffers(), *_stored(module))
    return _deep_copy(module, {id(t): t for t in tensors})


def _deep_copy(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:  # Whatever an attribute raises when it is copied.
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UnsupportedError(
            f"the model cannot be copied ({type(error).__name__}: {reason})",
            "explainers and metrics that use the model as it is, in evaluation mode, need no copy",
        ) from error


def _stored(module: nn.Module) -> Iterator[Tensor | Array]:
    """Tensors and arrays that a module and its parts hold as plain attributes, also in lists and dictionaries."""
    for part in module.modules():
        yield from _tensors(vars(part).values(), _DEPTH)


def _tensors(values: Iterable[Any], depth: int) -> Iterator[Tensor | Array]:
    for value in values:
        if isinstance(value, Tensor | np.ndarray):
            yield value
        elif depth and isinstance(value, Mapping):
            yield from _tensors(value.values(), depth - 1)
        elif depth and isinstance(value, list | tuple):
            yield from _tensors(value, depth - 1)


_BEFORE_COMPILATION = "give the module as it was before compilation"
