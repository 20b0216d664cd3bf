"""Deep Taylor decomposition (Montavon et al. 2017): the positive part of an output, divided layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.input_gradients import input_gradient
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines import backward_rules
from xaibench.explainers.engines.backward_rules import BackwardRule, RuleMode, TracedOperation, apply_rule, pull_back
from xaibench.explainers.engines.first_layers import FirstLayers
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.engines.relevance_rules import (
    activation_rule,
    between_bounds,
    divide_by,
    pass_relevance,
    signed_terms,
    stable,
    w2_rule,
)
from xaibench.explainers.engines.tracing import run_tracked
from xaibench.explainers.engines.weighted_layers import weighted_rules
from xaibench.explainers.lrp import input_bounds

_METHOD = "deep Taylor decomposition"
_SMALLEST = 1e-12
"""Stabiliser: sums of positive terms below it count as none."""
_MEANS = frozenset({
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "add", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "mean", "sum",
})  # fmt: skip
"""Linear operations whose coefficients are not negative."""


@explainer("deep_taylor", kind="contribution", needs={"module"}, uses_background=True)
def deep_taylor(problem: ProblemView, *, low: float | None = None, high: float | None = None) -> Tensor:
    """Deep Taylor decomposition of the positive part of the output (Montavon et al. 2017).

    Every layer divides the relevance of its units in proportion to their positive terms without biases (z+). The first
    layer uses the z^B rule where bounds of the inputs are known, else the w^2 rule. Sums and means divide
    in proportion to positive terms. Relevance is not negative (with bounds: if the inputs are within them), and adds
    up to the output if that is positive; other samples have a map of zeros.

    The paper trains with biases that are not positive. With positive ones the amount that is redistributed is right
    and the root points are not. A unit that is active by its bias alone has no positive terms; it divides by w^2.
    Outputs other than a raw one, such as probabilities, are first divided among the raw outputs by the positive part of
    these times their gradients.

    The authors of layer-wise relevance propagation, of which this is a case, claim a patent on it.

    Parameters
    ----------
    low, high : float, optional
        Bounds of the inputs. Default: the range of the background, per channel, sensor or column; without
        one the first layer uses w^2.

    Raises
    ------
    UnsupportedError
        If the network holds an operation that has no rule, such as attention or differences, or if the pass over it
        does not give the model's own outputs.
    """
    bounds = input_bounds(problem, low, high)
    model = require_module(problem.model)
    maps = []
    for inputs, rows, context in model_batches(problem, model):
        first = FirstLayers(inputs, *(bounds or ()))
        raw = run_tracked(model, RuleMode(_METHOD, _rules(first, bounded=bounds is not None)), inputs, context)
        maps.append(input_gradient(raw, inputs, _relevance_of_outputs(problem, raw.detach(), rows)))
    return problem.layout.reduce(torch.cat(maps))


def _relevance_of_outputs(problem: ProblemView, raw: Tensor, rows: slice) -> Tensor:
    """Relevance (n, C) of raw outputs: the positive part of the explained one, divided by positive terms."""
    with torch.enable_grad():
        leaf = raw.requires_grad_(True)
        picked = problem.select(leaf, rows)
        (slopes,) = torch.autograd.grad(picked.sum(), leaf)
    output = picked.detach().clamp(min=0).unsqueeze(1)
    terms, squares = (raw.detach() * slopes).clamp(min=0), slopes.square()
    total, all_squares = terms.sum(dim=1, keepdim=True), squares.sum(dim=1, keepdim=True)
    shares = torch.where(
        total > 0, terms / torch.where(total > 0, total, 1), squares / torch.where(all_squares > 0, all_squares, 1)
    )
    return output * shares


def _rules(first: FirstLayers, *, bounded: bool) -> dict[str, BackwardRule | None]:
    def outer(op: TracedOperation) -> Tensor:
        known = first.known(op.inputs[0])
        if not bounded:
            return w2_rule(op, first.real(op.inputs[0]))
        if known is None or known.low is None or known.high is None:
            raise UnsupportedError(
                f"{_METHOD} needs to know between what bounds the inputs of the first layer are, and this model does "
                "more to its inputs than move and scale them",
                "without a background and without low= and high= its first layer needs no bounds",
            )
        positive = between_bounds(op, known.low, known.high, _SMALLEST)
        negative = between_bounds(op, known.high, known.low, _SMALLEST)

        def backward(relevance: Tensor, result: Tensor, x: Tensor) -> tuple[Tensor]:
            above = positive(x, torch.where(result >= 0, relevance, 0))
            return (above + negative(x, torch.where(result < 0, relevance, 0)),)

        return apply_rule(op, backward)

    def inner(op: TracedOperation) -> Tensor:
        return _own_terms(op, first.real(op.inputs[0]))

    return {
        **weighted_rules(_METHOD, inner, outer, first, linear=_mean, unmerged=pass_relevance),
        **dict.fromkeys(backward_rules.ACTIVATIONS, lambda op: activation_rule(op, _METHOD)),
        **dict.fromkeys(backward_rules.MAX_POOLING),
    }


def _own_terms(op: TracedOperation, real: Tensor | None) -> Tensor:
    """z+ without biases; a unit that is negative, as there is without a ReLU behind it, divides by negative terms.

    What has no such terms divides by squared weights.
    """
    weight = op.argument(1, "weight")
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    signs = ((1, signed_terms(op, up, down, None)), (-1, signed_terms(op, down, up, None)))
    divide = divide_by(op, weight.square(), real)

    def backward(relevance: Tensor, result: Tensor, x: Tensor) -> tuple[Tensor]:
        parts, found = (x.clamp(min=0), x.clamp(max=0)), torch.zeros_like(x)
        for sign, terms in signs:
            here = torch.where((result >= 0) == (sign > 0), relevance, 0)
            total = sign * terms(*parts)
            some = total > _SMALLEST
            back = pull_back(terms, parts, torch.where(some, sign * here / torch.where(some, total, 1), 0))
            found += parts[0] * back[0] + parts[1] * back[1] + divide(x, torch.where(some, 0, here))
        return (found,)

    return apply_rule(op, backward)


def _mean(op: TracedOperation) -> Tensor:
    """Sums and means in proportion to positive terms, equally where there are none; constants take nothing."""
    single = len(op.inputs) == 1
    if single and op.name in ("add", "sub", "mul", "div") and op(*op.inputs).shape == op.inputs[0].shape:
        one = op.inputs[0].detach()
        if bool((op(one + 1) >= op(one)).all()):
            return pass_relevance(op)
    if op.name not in _MEANS or op.kwargs.get("alpha", 1) < 0:
        raise UnsupportedError(f"{_METHOD} has no rule for {op.name!r} with factors that may be negative")

    def linear(*inputs: Tensor) -> Tensor:
        # Without what a constant adds.
        return op(*inputs) - op(*[torch.zeros_like(x) for x in inputs]) if single else op(*inputs)

    def backward(relevance: Tensor, _result: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        parts = tuple(x.clamp(min=0) for x in inputs)
        total, count = linear(*parts), linear(*[torch.ones_like(x) for x in inputs])
        some = total > _SMALLEST
        back = pull_back(linear, parts, torch.where(some, relevance / torch.where(some, total, 1), 0))
        rest = pull_back(linear, parts, torch.where(some, 0, relevance / stable(count, _SMALLEST)))
        return tuple(x * g + r for x, g, r in zip(parts, back, rest, strict=True))

    return apply_rule(op, backward)
