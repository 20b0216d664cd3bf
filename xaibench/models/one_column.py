"""Models with a single column for two classes, written as two: class 0 is the negative one, class 1 the positive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.model_outputs import as_matrix, read_output
from xaibench.core.module_copies import is_compiled, sharing_copy
from xaibench.core.types import Array
from xaibench.models.adapted_modules import AdaptedModule
from xaibench.models.output_range import SMALLEST_ROUNDING, LastOperation

_WEIGHTS = {"binary_logit": ((-0.5, 0.5), (0.0, 0.0)), "binary_probability": ((-1.0, 1.0), (1.0, 0.0))}
"""Factor and constant of both columns: half a logit to each class, so that their difference is the logit."""


def two_columns(raw: Tensor, given: str) -> Tensor:
    """Outputs of two classes (N, 2) from the single one of class 1, differentiable.

    Parameters
    ----------
    raw : Tensor (N,) or (N, 1)
    given : {"binary_logit", "binary_probability"}
        A logit z becomes (-z / 2, z / 2), whose softmax is that of z; a probability p becomes (1 - p, p).

    Raises
    ------
    UsageError
        If there is more than one column.

    Examples
    --------
    >>> import torch
    >>> two_columns(torch.tensor([2.0, -1.0]), "binary_logit").tolist()
    [[-1.0, 1.0], [0.5, -0.5]]
    """
    single = as_matrix(raw)
    if single.shape[1] != 1:
        raise UsageError(
            f'the model returns {single.shape[1]} columns, and returns="{given}" is said of a single one',
            f'say returns="{given.removeprefix("binary_")}" of a column for every class',
        )
    # An affine operation, which every method that follows the network has a rule for.
    factor, constant = (torch.tensor(numbers, dtype=single.dtype, device=single.device) for numbers in _WEIGHTS[given])
    bias = constant if bool(constant.any()) else None
    return torch.nn.functional.linear(single, factor.unsqueeze(1), bias)


class TwoColumns:
    """A forward hook that gives a module with a single column two; see `two_columns`."""

    def __init__(self, given: str) -> None:
        self.given = given

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        return two_columns(read_output(output), self.given)


class _TwoColumnsAround(AdaptedModule):
    """A module in another one that gives it two columns, for modules that take no hooks or no copy."""

    def __init__(self, module: nn.Module, given: str) -> None:
        super().__init__(module, None)
        self.given = given

    def forward(self, inputs: Tensor, **context: Tensor) -> Tensor:
        return two_columns(super().forward(inputs, **context), self.given)


def module_with_two_columns(module: nn.Module, given: str) -> nn.Module:
    """The module with two columns instead of its one; it shares its weights with the original, which has no hook."""
    if is_compiled(module):
        return _TwoColumnsAround(module, given)
    try:
        own = sharing_copy(module)
    except UnsupportedError:
        return _TwoColumnsAround(module, given)
    own.register_forward_hook(TwoColumns(given))
    return own


def function_with_two_columns(function: Callable[..., Any], given: str) -> Callable[..., Array]:
    """The function with two columns instead of its one."""

    def both(inputs: Array, **context: Array) -> Array:
        found: Array = two_columns(read_output(function(inputs, **context)).detach().cpu(), given).numpy()
        return found

    return both


def check_single_column(raw: Tensor, given: str, last: LastOperation | None) -> str | None:
    """Raise UsageError if the single column behind outputs (N, 2) cannot be what was said of it.

    Parameters
    ----------
    raw : Tensor (N, 2)
        As `two_columns` gives them.
    given : {"binary_logit", "binary_probability"}
    last : {"sigmoid", "softmax", "other"} or None
        The operation that made the single column, where it is known.

    Returns
    -------
    str or None
        What is doubtful about it.
    """
    single = raw[:, 1] if given == "binary_probability" else raw[:, 1] - raw[:, 0]
    low, high = float(single.min()), float(single.max())
    in_unit = low >= -SMALLEST_ROUNDING and high <= 1 + SMALLEST_ROUNDING
    if given == "binary_probability":
        if not in_unit:
            raise UsageError(
                f"the model returns numbers from {low:.3g} to {high:.3g}, and these are not probabilities",
                'say returns="binary_logit"',
            )
        return None
    if in_unit and last == "sigmoid":
        raise UsageError(
            'the model returns the outputs of a sigmoid, and returns="binary_logit" was said',
            'say returns="binary_probability" instead',
        )
    if in_unit and last is None and len(torch.unique(single)) > 1:
        return (
            f"all outputs of the model are between 0 and 1 ({low:.3g} to {high:.3g}) and are taken for logits; "
            'say returns="binary_probability" if they are probabilities'
        )
    return None
