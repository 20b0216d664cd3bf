"""Affine layers with other weights, and with the batch normalisation behind them merged into them."""

from __future__ import annotations

from torch import Tensor

from xaibench.explainers.engines.backward_rules import TracedOperation


def with_parameters(op: TracedOperation, weight: Tensor, bias: Tensor | None) -> TracedOperation:
    """The same operation with another weight and bias."""
    kwargs = {k: v for k, v in op.kwargs.items() if k not in ("input", "weight", "bias")}
    return TracedOperation(op.name, op.function, (op.inputs[0], weight, bias, *op.args[3:]), kwargs)


def channel_axis(op: TracedOperation, result: Tensor) -> int | None:
    """Axis of the result that the first axis of the weight makes, or None for transposed convolutions."""
    if "transpose" in op.name:
        return None
    return result.ndim - (1 if op.name == "linear" else op.argument(1, "weight").ndim - 1)


def with_norm_merged(op: TracedOperation, norm: TracedOperation) -> TracedOperation:
    """A layer and the batch normalisation behind it as one layer."""
    mean, variance = norm.argument(1, "running_mean"), norm.argument(2, "running_var")
    scale = (variance + norm.argument(7, "eps", 1e-5)).rsqrt()
    gain, shift = norm.argument(3, "weight"), norm.argument(4, "bias")
    scale = scale if gain is None else scale * gain
    weight, bias = op.argument(1, "weight"), op.argument(2, "bias")
    moved = (-mean if bias is None else bias - mean) * scale
    return with_parameters(
        op, weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)), moved if shift is None else moved + shift
    )
