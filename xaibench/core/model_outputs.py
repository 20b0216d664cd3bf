"""Reading what a model returns: tensors, arrays, dictionaries with logits, tuples whose first element counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.errors import UsageError

LOGITS = "logits"
"""The entry of a dictionary, or of an object, that is read where there are several (transformers' ``ModelOutput``)."""
_FLOATS = (torch.float32, torch.float64)
"""Number types that outputs keep; coarser ones and integers become float32."""


def read_output(raw: Any) -> Tensor:
    """The outputs of a model as a tensor, whatever it returns them in.

    Parameters
    ----------
    raw : Tensor, array, mapping, tuple or object with ``logits``
        Of a mapping (a ``ModelOutput`` of transformers is one) the entry ``logits``, or the only entry. Of a tuple the
        field ``logits`` if it has one, else the first element, as in ``(logits, attentions)``.

    Returns
    -------
    Tensor
        float32 or float64; float16, bfloat16 and whole numbers become float32.

    Raises
    ------
    UsageError
        If there is no such entry, or it does not hold numbers.
    """
    return _as_floats(_part(raw)[0])


def where_output_is(raw: Any) -> str:
    """Which part of what a model returned is read, in words: ``"tensor"`` where it is the whole."""
    return _part(raw)[1]


def check_rows(raw: Tensor, inputs: Tensor) -> None:
    """Raise UsageError unless raw outputs (N, C) have a row for every one of the inputs (N, *input_shape)."""
    if len(raw) == len(inputs):
        return
    hint = "a model maps (N, ...) to (N, C), one row per sample"
    if inputs.ndim > 2 and len(raw) in (inputs.shape[1], len(inputs) * inputs.shape[1]):
        hint += ": a recurrent layer needs batch_first=True, and a model with one output per step has to pick one"
    raise UsageError(f"the model returned {len(raw)} rows for {len(inputs)} inputs", hint)


def _part(raw: Any) -> tuple[Any, str]:
    """The part of a model's answer that holds the outputs, and what it is called."""
    if isinstance(raw, Tensor):
        return raw, "tensor"
    if isinstance(raw, Mapping):
        entries = {str(k): v for k, v in raw.items() if v is not None}
        if LOGITS in entries:
            return entries[LOGITS], f"dictionary, {LOGITS}"
        if len(entries) == 1:
            ((name, only),) = entries.items()
            return only, f"dictionary, {name}"
        raise UsageError(
            f"the model returns a dictionary with {', '.join(entries) or 'no entries'}, and none is called {LOGITS!r}",
            "explain a module or function around it that returns the wanted entry",
        )
    if isinstance(raw, tuple) and hasattr(raw, LOGITS):
        return getattr(raw, LOGITS), f"tuple, {LOGITS}"
    if isinstance(raw, tuple) and raw and (isinstance(raw[0], Tensor) or np.ndim(raw[0]) > 1):
        return raw[0], f"tuple, first of {len(raw)}"
    if isinstance(raw, tuple) and any(isinstance(part, Tensor) for part in raw):
        raise UsageError(
            f"the model returns a tuple whose first element is a {type(raw[0]).__name__}",
            "the outputs come first, or explain a module or function around it that returns them",
        )
    if hasattr(raw, LOGITS):
        return getattr(raw, LOGITS), f"{type(raw).__name__}, {LOGITS}"
    return raw, "tensor" if isinstance(raw, Tensor) else "array"


def _as_floats(values: Any) -> Tensor:
    if not isinstance(values, Tensor):
        values = _as_tensor(values)
    tensor: Tensor = values
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        raise UsageError("the model returned complex numbers", "models return one row of real numbers per sample")
    return tensor if tensor.dtype in _FLOATS else tensor.to(torch.float32)


def _as_tensor(values: Any) -> Tensor:
    try:
        array = np.array(values)
    except ValueError as error:
        raise UsageError("the model returned rows of different lengths", "models return (N, C)") from error
    if array.dtype.kind not in "biuf":
        raise UsageError(
            f"the model returned {_called(values, array)}, not numbers",
            "models return one row of numbers per sample, (N, C)",
        )
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _called(values: Any, array: np.ndarray[Any, Any]) -> str:
    return f"an array of {array.dtype}" if isinstance(values, np.ndarray | list | tuple) else type(values).__name__


def as_matrix(raw: Tensor) -> Tensor:
    """Shape raw outputs (N,) or (N, C) as (N, C)."""
    if raw.ndim == 1:
        return raw.unsqueeze(1)
    if raw.ndim != 2:
        hint = "models return one row of outputs per sample, (N, C)"
        if raw.ndim == 3:
            hint += (
                "; of one row per step, (N, T, C): xb.SumOfSteps(net), or xb.OwnStep(net.gru, net.head) for a cell's"
            )
            hint += " effect on its own step"
        raise UsageError(f"the model returned shape {tuple(raw.shape)}", hint)
    return raw
