"""Layer-wise relevance propagation, LRP (Bach et al. 2015)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.input_gradients import input_gradient
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines import backward_rules
from xaibench.explainers.engines.backward_rules import (
    BackwardRule,
    RuleMode,
    TracedOperation,
    apply_rule,
    pull_back,
    statistics_are_fixed,
)
from xaibench.explainers.engines.channels import Channels, per_feature
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.engines.tracing import run_tracked


@explainer("lrp", version=2, kind="contribution", needs={"module"})
def lrp(
    problem: ProblemView,
    *,
    rule: Literal["epsilon_plus", "epsilon"] = "epsilon_plus",
    epsilon: float = 1e-6,
    channels: Channels = "sum",
) -> Tensor:
    """Layer-wise relevance propagation (Bach et al. 2015).

    The relevance of the raw outputs is their value times the gradient of the explained output (for
    a logit: the logit itself). Activations pass relevance on unchanged, max pooling gives it to the
    winner, sums and means divide it by their terms. Batch normalisation with fixed statistics is
    merged into the convolution or dense layer whose output channels it scales. Where none stands
    directly before it (networks with pre-activation, DenseNet) or the axes differ (behind a dense
    layer on sequences, which has its channels last), the rule says what becomes of it.

    Parameters
    ----------
    rule : {"epsilon_plus", "epsilon"}
        ``epsilon_plus``: the z+ rule for convolutions, epsilon for dense layers; unmerged batch
        normalisation passes relevance on unchanged (Kohlbrenner et al. 2020).
        ``epsilon``: the epsilon rule for every affine operation, unmerged batch normalisation among
        them; in a ReLU network with a small epsilon that is input times gradient (Ancona et al. 2018,
        Prop. 1).
    epsilon : float
        Stabiliser of divisions, in units of the activations.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.

    Raises
    ------
    UnsupportedError
        If the network holds an operation that has no rule, such as attention or recurrence, or if the
        pass over it does not give the model's own outputs.
    """
    if epsilon <= 0:
        raise UsageError(f"epsilon must be positive, not {epsilon}")
    model = require_module(problem.model)
    maps = []
    for inputs, rows, context in model_batches(problem, model):
        raw = run_tracked(model, RuleMode("LRP", _rules(rule, epsilon)), inputs, context)

        def picked(raw: Tensor, rows: slice = rows) -> Tensor:
            return problem.select(raw, rows)

        (slopes,) = pull_back(picked, (raw,), torch.ones_like(raw[:, 0]).detach())
        maps.append(input_gradient(raw, inputs, raw.detach() * slopes))
    return per_feature(problem, torch.cat(maps), channels)


def _rules(rule: str, epsilon: float) -> dict[str, BackwardRule | None]:
    """Rules for one pass over the network; batch normalisation must know what came before it."""
    affine: dict[int, tuple[Tensor, TracedOperation]] = {}

    def weighted(op: TracedOperation) -> Tensor:
        result = _plus(op, epsilon) if rule == "epsilon_plus" and "conv" in op.name else _epsilon(op, epsilon)
        affine[id(result)] = (result, op)
        return result

    def normalise(op: TracedOperation) -> Tensor:
        if not statistics_are_fixed(op):
            raise UnsupportedError("LRP has no rule for batch normalisation without running statistics")
        result, before = affine.get(id(op.inputs[0]), (None, None))
        if result is not None and before is not None and _channel_axis(before, result) == 1:
            return weighted(_merged(before, op))
        return _epsilon(op, epsilon) if rule == "epsilon" else _pass(op)

    return {
        **dict.fromkeys(backward_rules.WEIGHTED, weighted),
        **dict.fromkeys(backward_rules.LINEAR, lambda op: _epsilon(op, epsilon)),
        **dict.fromkeys(backward_rules.ACTIVATIONS, _activation),
        **dict.fromkeys(backward_rules.MAX_POOLING),
        "batch_norm": normalise,
    }


def _pass(op: TracedOperation) -> Tensor:
    return apply_rule(op, lambda grad, _result, _inputs: (grad,))


def _activation(op: TracedOperation) -> Tensor:
    """Relevance passes through a function that takes 0 to 0, as all do but for odd parameters (Hardtanh's bounds)."""
    if bool(op(op.inputs[0].detach().new_zeros(1)).any()):
        raise UnsupportedError(f"LRP has no rule for {op.name!r} that does not take 0 to 0")
    return _pass(op)


def _epsilon(op: TracedOperation, epsilon: float) -> Tensor:
    """Relevance in proportion to the terms of a sum (Bach et al. 2015, Eq. 58)."""

    def backward(relevance: Tensor, result: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        back = pull_back(op, inputs, relevance / _stable(result, epsilon))
        return tuple(x * g for x, g in zip(inputs, back, strict=True))

    return apply_rule(op, backward)


def _plus(op: TracedOperation, epsilon: float) -> Tensor:
    """Relevance in proportion to the positive terms of a sum, its bias among them (Montavon et al. 2017, Eq. 13)."""
    weight, bias = op.argument(1, "weight"), op.argument(2, "bias")
    up = _with_weights(op, weight.clamp(min=0), None if bias is None else bias.clamp(min=0))
    down = _with_weights(op, weight.clamp(max=0), None)

    def terms(positive: Tensor, negative: Tensor) -> Tensor:
        return up(positive) + down(negative)

    def backward(relevance: Tensor, _result: Tensor, x: Tensor) -> tuple[Tensor]:
        parts = (x.clamp(min=0), x.clamp(max=0))
        positive, negative = pull_back(terms, parts, relevance / _stable(terms(*parts), epsilon))
        return (parts[0] * positive + parts[1] * negative,)

    return apply_rule(op, backward)


def _channel_axis(op: TracedOperation, result: Tensor) -> int | None:
    """Axis of the result that the first axis of the weight makes, or None for transposed convolutions."""
    if "transpose" in op.name:
        return None
    return result.ndim - (1 if op.name == "linear" else op.argument(1, "weight").ndim - 1)


def _merged(op: TracedOperation, norm: TracedOperation) -> TracedOperation:
    """A layer and the batch normalisation behind it as one layer."""
    mean, variance = norm.argument(1, "running_mean"), norm.argument(2, "running_var")
    scale = (variance + norm.argument(7, "eps", 1e-5)).rsqrt()
    gain, shift = norm.argument(3, "weight"), norm.argument(4, "bias")
    scale = scale if gain is None else scale * gain
    weight, bias = op.argument(1, "weight"), op.argument(2, "bias")
    moved = (-mean if bias is None else bias - mean) * scale
    return _with_weights(
        op, weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)), moved if shift is None else moved + shift
    )


def _with_weights(op: TracedOperation, weight: Tensor, bias: Tensor | None) -> TracedOperation:
    """The same operation with another weight and bias."""
    kwargs = {k: v for k, v in op.kwargs.items() if k not in ("input", "weight", "bias")}
    return TracedOperation(op.name, op.function, (op.inputs[0], weight, bias, *op.args[3:]), kwargs)


def _stable(values: Tensor, epsilon: float) -> Tensor:
    """Values moved away from 0."""
    return values + torch.where(values >= 0, epsilon, -epsilon)
