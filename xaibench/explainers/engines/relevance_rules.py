"""Rules of layer-wise relevance propagation for one operation each (Bach et al. 2015, Montavon et al. 2019).

Relevance R of the result of an operation is divided among its inputs x. ``w+`` and ``w-`` are the positive and the
negative part of weights, ``s(v)`` is v moved away from 0 by the stabiliser, and sums are over the inputs of a unit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.explainers.engines.affine_layers import with_parameters
from xaibench.explainers.engines.backward_rules import TracedOperation, apply_rule, pull_back


def stable(values: Tensor, epsilon: float) -> Tensor:
    """Values moved away from 0."""
    return values + torch.where(values >= 0, epsilon, -epsilon)


def pass_relevance(op: TracedOperation) -> Tensor:
    """Relevance as it is, through an operation that keeps the shape."""
    return apply_rule(op, lambda grad, _result, _inputs: (grad,))


def activation_rule(op: TracedOperation, method: str) -> Tensor:
    """Relevance passes through a function that takes 0 to 0, as all do but for odd parameters (Hardtanh's bounds)."""
    if bool(op(op.inputs[0].detach().new_zeros(1)).any()):
        raise UnsupportedError(f"{method} has no rule for {op.name!r} that does not take 0 to 0")
    return pass_relevance(op)


def epsilon_rule(op: TracedOperation, epsilon: float) -> Tensor:
    """Relevance in proportion to the terms of a sum (Bach et al. 2015, Eq. 58)."""

    def backward(relevance: Tensor, result: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        back = pull_back(op, inputs, relevance / stable(result, epsilon))
        return tuple(x * g for x, g in zip(inputs, back, strict=True))

    return apply_rule(op, backward)


def plus_rule(op: TracedOperation, epsilon: float) -> Tensor:
    """Relevance in proportion to the positive terms of a sum, its bias among them (Montavon et al. 2017, Eq. 13)."""
    weight, bias = _weight_and_bias(op)
    terms = signed_terms(op, weight.clamp(min=0), weight.clamp(max=0), None if bias is None else bias.clamp(min=0))

    def backward(relevance: Tensor, _result: Tensor, x: Tensor) -> tuple[Tensor]:
        return (_share(terms, x, relevance, epsilon),)

    return apply_rule(op, backward)


def alpha_beta_rule(op: TracedOperation, alpha: float, beta: float, epsilon: float) -> Tensor:
    """Positive terms get alpha times the relevance, negative terms take beta times (Bach et al. 2015, Eq. 60).

    ``alpha (x+ w+ + x- w-) / s(Z+) - beta (x+ w- + x- w+) / s(Z-)``, where biases belong to Z+ or Z- by their sign.

    Raises
    ------
    UsageError
        Unless alpha - beta is 1: relevance would be made or lost.
    """
    if alpha - beta != 1 or beta < 0:
        raise UsageError(
            f"alpha = {alpha} and beta = {beta} do not keep relevance", "alpha - beta must be 1, and beta not negative"
        )
    weight, bias = _weight_and_bias(op)
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    positive = signed_terms(op, up, down, None if bias is None else bias.clamp(min=0))
    negative = signed_terms(op, down, up, None if bias is None else bias.clamp(max=0))

    def backward(relevance: Tensor, _result: Tensor, x: Tensor) -> tuple[Tensor]:
        gained = _share(positive, x, relevance, epsilon)
        return (alpha * gained - beta * _share(negative, x, relevance, epsilon),)

    return apply_rule(op, backward)


def gamma_rule(op: TracedOperation, gamma: float, epsilon: float) -> Tensor:
    """Relevance in proportion to terms, those of the unit's own sign larger by ``1 + gamma`` (Montavon et al. 2019).

    Where the result is positive, positive terms (and a positive bias) count 1 + gamma times; where it is
    negative, negative ones; where it is 0 no relevance passes.
    """
    weight, bias = _weight_and_bias(op)
    up, down = weight + gamma * weight.clamp(min=0), weight + gamma * weight.clamp(max=0)
    positive = signed_terms(op, up, down, None if bias is None else bias + gamma * bias.clamp(min=0))
    negative = signed_terms(op, down, up, None if bias is None else bias + gamma * bias.clamp(max=0))

    def backward(relevance: Tensor, result: Tensor, x: Tensor) -> tuple[Tensor]:
        above = _share(positive, x, torch.where(result > 0, relevance, 0), epsilon)
        return (above + _share(negative, x, torch.where(result < 0, relevance, 0), epsilon),)

    return apply_rule(op, backward)


def w2_rule(op: TracedOperation, real: Tensor | None = None) -> Tensor:
    """Relevance in proportion to squared weights, whatever the inputs are (Montavon et al. 2017, Eq. 12).

    ``real`` is 1 for inputs and 0 for padding, which is not an input. A unit without weights divides equally.
    """
    return _whatever_the_inputs(op, op.argument(1, "weight").square(), real)


def flat_rule(op: TracedOperation, real: Tensor | None = None) -> Tensor:
    """Relevance divided equally among the inputs of a unit (Lapuschkin et al. 2019).

    ``real`` is as for `w2_rule`.
    """
    return _whatever_the_inputs(op, torch.ones_like(op.argument(1, "weight")), real)


def box_rule(op: TracedOperation, low: Tensor, high: Tensor, epsilon: float) -> Tensor:
    """Relevance of inputs between two bounds (Montavon et al. 2017, Eq. 15, z^B).

    ``(x w - low w+ - high w-) / s(sum of these)``; biases cancel. It is not negative where relevance is not and the
    inputs are within their bounds.

    Parameters
    ----------
    op : TracedOperation
    low, high : Tensor (N, ...)
        Bounds of the inputs of the operation; both 0 for padding.
    epsilon : float
    """
    share = between_bounds(op, low, high, epsilon)
    return apply_rule(op, lambda relevance, _result, x: (share(x, relevance),))


def between_bounds(
    op: TracedOperation, low: Tensor, high: Tensor, epsilon: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of inputs and relevance that divides relevance as `box_rule` says."""
    weight = op.argument(1, "weight")
    whole, up, down = (with_parameters(op, w, None) for w in (weight, weight.clamp(min=0), weight.clamp(max=0)))

    def terms(x: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
        return whole(x) - up(lowest) - down(highest)

    def share(x: Tensor, relevance: Tensor) -> Tensor:
        parts = (x, low.to(x), high.to(x))
        back = pull_back(terms, parts, relevance / stable(terms(*parts), epsilon))
        return sum((part * g for part, g in zip(parts, back, strict=True)), torch.zeros_like(x))

    return share


Terms = Callable[[Tensor, Tensor], Tensor]


def signed_terms(op: TracedOperation, for_positive: Tensor, for_negative: Tensor, bias: Tensor | None) -> Terms:
    """Sum of terms with one weight for positive inputs and another for negative ones, and a bias."""
    up, down = with_parameters(op, for_positive, bias), with_parameters(op, for_negative, None)

    def terms(positive: Tensor, negative: Tensor) -> Tensor:
        return up(positive) + down(negative)

    return terms


def divide_by(op: TracedOperation, weight: Tensor, real: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of inputs and relevance that divides relevance in proportion to weights that are not negative.

    Where a unit has no weight above 0, it divides equally.
    """

    def divide(x: Tensor, relevance: Tensor) -> Tensor:
        inputs = torch.ones_like(x) if real is None else real.to(x)
        given, equal = (with_parameters(op, w, None) for w in (weight, torch.ones_like(weight)))
        total = given(inputs)
        (back,) = pull_back(given, (inputs,), torch.where(total > 0, relevance / torch.where(total > 0, total, 1), 0))
        if bool((total <= 0).any()):
            count = equal(inputs)
            empty = torch.where((total <= 0) & (count > 0), relevance / count.clamp(min=1), 0)
            back = back + pull_back(equal, (inputs,), empty)[0]
        return inputs * back

    return divide


def _whatever_the_inputs(op: TracedOperation, weight: Tensor, real: Tensor | None) -> Tensor:
    divide = divide_by(op, weight, real)
    return apply_rule(op, lambda relevance, _result, x: (divide(x, relevance),))


def _share(terms: Terms, x: Tensor, relevance: Tensor, epsilon: float) -> Tensor:
    """Relevance in proportion to terms of the positive and the negative part of inputs."""
    parts = (x.clamp(min=0), x.clamp(max=0))
    positive, negative = pull_back(terms, parts, relevance / stable(terms(*parts), epsilon))
    return parts[0] * positive + parts[1] * negative


def _weight_and_bias(op: TracedOperation) -> tuple[Tensor, Tensor | None]:
    return op.argument(1, "weight"), op.argument(2, "bias")
