"""Output type of a model (logits, probabilities, values), decided from its outputs; contradictions are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from xaibench.core.errors import UsageError
from xaibench.core.model_facts import ReturnsFrom
from xaibench.core.outputs import Returns

LastOperation = Literal["sigmoid", "softmax", "other"]
_MOVES = (
    "Alias", "AsStrided", "Clone", "Expand", "Permute", "ReshapeAlias", "Select", "Slice", "Squeeze", "T", "ToCopy",
    "Transpose", "UnsafeView", "Unsqueeze", "View",
)  # fmt: skip
"""Autograd nodes that only move numbers or change their type."""
_COARSE = 1e-3
"""Share of the standard deviation of values that a step of float32 may be."""
_DISTINCT = 3
"""Rows that have to differ before a sum of 1 in all of them is taken for no coincidence."""
SMALLEST_ROUNDING = 2.5e-6
"""Rounding errors of probabilities that were computed in float32 or better, at the least."""


@dataclass(frozen=True)
class ReturnsDecision:
    """What the numbers of a model are, how that is known, and what is doubtful about it."""

    returns: Returns
    returns_from: ReturnsFrom
    doubt: str | None = None


def last_operation(raw: Tensor, *, behind: int = 0) -> LastOperation | None:
    """The operation that made outputs (N, C), as autograd has it; None where that does not show.

    That before the last one is found with ``behind=1``: the operation that the last one has its only gradient from.
    """
    node: Any = raw.grad_fn
    while node is not None and (behind or _kind(node) in _MOVES):
        behind -= _kind(node) not in _MOVES
        node = next((before for before, _ in node.next_functions if before is not None), None)
    if node is None:
        return None
    known: dict[str, LastOperation] = {"Sigmoid": "sigmoid", "Softmax": "softmax"}
    # User-written and compiled steps may be anything.
    hidden = hasattr(node, "_forward_cls") or "DifferentiableGraph" in node.name()
    return None if hidden else known.get(_kind(node), "other")


def _kind(node: Any) -> str:
    return str(node.name()).rstrip("0123456789").removesuffix("Backward").rpartition("::")[2]


def settle_returns(
    raw: Tensor,
    given: Returns | None,
    default: Returns,
    last: LastOperation | None = None,
    dtype: torch.dtype = torch.float32,
) -> ReturnsDecision:
    """Say what the outputs of a model are: what was given, unless they cannot be that; else what they look like.

    Numbers outside [0, 1] are not probabilities. Rows of numbers in [0, 1] that all sum to 1 are probabilities of
    classes; what a sigmoid made are probabilities of labels. Everything else is what models of this kind return by
    default.

    Parameters
    ----------
    raw : Tensor (N, C)
        Finite outputs of a few samples.
    given : Returns or None
    default : Returns
    last : {"sigmoid", "softmax", "other"} or None
        The operation that made them, where it is known.
    dtype : torch.dtype
        The number type that they were computed in.

    Raises
    ------
    UsageError
        If they cannot be what was given, or what models of this kind return by default.

    Examples
    --------
    >>> import torch
    >>> settle_returns(torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]), None, "logit").returns
    'probability'
    """
    claimed = given or default
    if claimed == "value":
        return ReturnsDecision("value", "given" if given else "default")
    low, high = float(raw.min()), float(raw.max())
    rounding = 4 * max(torch.finfo(dtype).eps if dtype.is_floating_point else 0, SMALLEST_ROUNDING)
    in_unit = low >= -rounding and high <= 1 + rounding
    if claimed in ("probability", "multilabel_probability"):
        if not in_unit:
            raise _not_probabilities(low, high, raw.shape[1], given is not None)
        return ReturnsDecision(claimed, "given" if given else "default")
    sums_to_one = in_unit and raw.shape[1] > 1 and bool(((raw.double().sum(dim=1) - 1).abs() <= rounding).all())
    sure = sums_to_one and (last == "softmax" or _n_distinct(raw) >= _DISTINCT)
    if given is not None:
        if sure or (given == "multilabel_logit" and in_unit and last == "sigmoid"):
            what = "rows of probabilities that sum to 1" if sums_to_one else "the outputs of a sigmoid"
            raise UsageError(
                f'the model returns {what}, and returns="{given}" was said', 'say returns="probability" instead'
            )
        return ReturnsDecision(given, "given")
    if sure or (in_unit and last == "sigmoid") or (sums_to_one and last is None):
        return ReturnsDecision("probability", "outputs")
    if in_unit and last is None and _n_distinct(raw) > 1:
        doubt = (
            f"all outputs of the model are between 0 and 1 ({low:.3g} to {high:.3g}) and are taken for logits; "
            'say returns="logit", or returns="probability" if they are probabilities'
        )
        return ReturnsDecision(default, "default", doubt)
    return ReturnsDecision(default, "default")


def coarse_values(raw: Tensor) -> str | None:
    """What float32 loses of values (N, C) of a few samples that differ by little beside their size; None: nothing."""
    if raw.dtype == torch.float64 or len(raw) < 2:
        return None
    size, spread = raw.double().abs().amax(dim=0), raw.double().std(dim=0)
    step = torch.finfo(torch.float32).eps * size
    lost = (step > _COARSE * spread) & (spread > 0)
    if not bool(lost.any()):
        return None
    column = int(lost.nonzero()[0])
    return (
        f"the model returns values around {float(size[column]):.3g} in float32, which does not tell differences below "
        f"{float(step[column]):.1g}: let it return float64 (module.double()), or values less their mean"
    )


def _not_probabilities(low: float, high: float, columns: int, was_given: bool) -> UsageError:
    why = "" if was_given else ", which a model of this kind returns unless something else is said"
    others = 'returns="logit" (or returns="value", if they are not scores of classes)'
    single = 'returns="binary_logit" for the logit of class 1 of two, or returns="value" for the number itself'
    return UsageError(
        f"the model returns numbers from {low:.3g} to {high:.3g}, and these are not probabilities{why}",
        f"say {others if columns > 1 else single}",
    )


def _n_distinct(raw: Tensor) -> int:
    return len(torch.unique(raw, dim=0))
