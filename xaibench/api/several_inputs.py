"""Models with several inputs: the first one is explained, the others are held fixed as its context."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.predictor import Predictor

_HOW = "give inputs=, what is explained, and context={name: array}, what goes to the model beside it"


def several_inputs(model: Any, inputs: Any, context: Mapping[str, Any] | None) -> tuple[Any, Mapping[str, Any] | None]:
    """The input that is explained, and the context with the others in it.

    A tuple holds the inputs in the order of the model's parameters, a dictionary by their names; the first one
    is explained. Anything else is returned as it is.

    Raises
    ------
    UsageError
        If it is not plain which input is which.
    """
    if isinstance(inputs, Mapping):
        return _by_name(model, inputs, context)
    if not isinstance(inputs, tuple) or len(inputs) < 2 or not all(_is_batch(part) for part in inputs):
        return inputs, context
    names, n_required = _parameters(model)
    if n_required < 2 and len({part.shape for part in inputs}) == 1:
        return inputs, context  # Samples of one input.
    if len({len(part) for part in inputs}) > 1:
        raise UsageError(f"a tuple of inputs with {', '.join(str(len(part)) for part in inputs)} rows", _HOW)
    if not max(n_required, 1) <= len(inputs) <= len(names):
        takes = str(len(names)) if n_required == len(names) else f"{n_required} to {len(names)}"
        raise UsageError(f"inputs are a tuple of {len(inputs)}, and the model takes {takes} by position", _HOW)
    others = dict(zip(names[1:], inputs[1:], strict=False))
    _refuse_twice(others, context)
    return inputs[0], {**others, **(context or {})}


def check_parameters(model: Any, context: Mapping[str, Any] | None) -> None:
    """Raise UsageError where a model needs an input that is not in the context, or does not take one that is."""
    names, n_required = _parameters(model)
    given = set(context or {})
    if not names or not (given or n_required > 1):
        return
    for name in names[1:n_required]:
        if name not in given:
            raise UsageError(f"the model also takes {name!r}, which is not given", _HOW)
    for name in sorted(given - set(names[1:])):
        if not _takes_any_name(model):
            raise UsageError(f"the model takes no {name!r}, which is in the context", did_you_mean(name, names[1:]))


def _by_name(model: Any, inputs: Mapping[Any, Any], context: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any]]:
    if not inputs:
        raise UsageError("inputs are an empty dictionary", _HOW)
    first, *others = inputs
    names, _ = _parameters(model)
    if names and first != names[0]:
        hint = f"put {names[0]!r} first; to explain {first!r}, wrap the model so that this is its first parameter"
        raise UsageError(f"the first input is explained, and the model's first parameter is {names[0]!r}", hint)
    beside = {str(name): inputs[name] for name in others}
    _refuse_twice(beside, context)
    return inputs[first], {**beside, **(context or {})}


def _refuse_twice(others: Mapping[str, Any], context: Mapping[str, Any] | None) -> None:
    twice = sorted(set(others) & set(context or {}))
    if twice:
        raise UsageError(f"{twice[0]!r} is among the inputs and in the context", "give it once")


def _is_batch(part: Any) -> bool:
    return (isinstance(part, (np.ndarray, Tensor)) and part.ndim > 0) or type(part).__module__.startswith("pandas.")


def _signature(model: Any) -> list[inspect.Parameter]:
    """What the model's forward pass takes; nothing where that is unknown."""
    function = model
    if isinstance(model, Predictor):
        function = model.module if model.module is not None else getattr(model, "function", model)
    if isinstance(function, nn.Module):
        function = function.forward
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def _takes_any_name(model: Any) -> bool:
    found = _signature(model)
    return any(p.kind is p.VAR_KEYWORD for p in found) or any(p.kind is p.KEYWORD_ONLY for p in found)


def _parameters(model: Any) -> tuple[list[str], int]:
    """Names of what the model's forward pass takes by position, and how many of them it needs."""
    found = _signature(model)
    positional = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [p.name for p in positional], sum(p.default is p.empty for p in positional)
