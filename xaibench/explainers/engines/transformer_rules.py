"""The rules of AttnLRP: a network whose gradient, times the input, is the relevance (Achtibat et al. 2024).

Forward passes are unchanged; only gradients are. Products of two activations pass half of the gradient to each,
normalisations take their scale as a constant, activation functions are lines through 0 and their value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xaibench.core.attention_operations import (
    ATTENTION_FUNCTION,
    MULTI_HEAD_FUNCTION,
    dot_product_attention,
    multi_head_attention,
)
from xaibench.core.errors import UnsupportedError
from xaibench.explainers.engines.backward_rules import ACTIVATIONS, REARRANGING, WEIGHTED
from xaibench.explainers.engines.tracing import TrackingMode, occurrences, tracked

AttentionRule = Literal["attn", "cp"]
NEAR_ARGUMENT_ZERO = 1e-6
"""Below this, the quotient of an activation function and its argument is its limit, the slope at 0."""
_PRODUCTS = frozenset({"bmm", "einsum", "matmul", "mm", "mul"})
_UNCHANGED_WEIGHTS = frozenset(
    {"clone", "contiguous", "dropout", "expand", "float", "reshape", "to", "type", "type_as", "view"}
)
_LINEAR = frozenset({
    "add", "adaptive_avg_pool1d", "avg_pool1d", "cumsum", "detach", "gather", "index", "masked_fill", "mean", "neg",
    "roll", "scatter_add", "softmax", "sub", "sum", "take_along_dim", "type", "where",
})  # fmt: skip
"""Affine operations, and the softmax, which keep their gradient; that of the softmax is the paper's own rule."""
_AFFINE = WEIGHTED | {"addmm", "batch_norm"}
"""Affine operations with weights, which must not depend on the input."""
_SCALES = frozenset({"rsqrt", "sqrt", "std", "var"})
"""Operations that make the scale of a normalisation, a constant for the rules."""


class _Scaled(torch.autograd.Function):
    """A tensor as it is, with its gradient times a constant, or times another tensor."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, result: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return result.detach().clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (factor,) = ctx.saved_tensors
        return grads[0] * factor, None, None


def with_gradient(values: Tensor, result: Tensor, factor: Tensor) -> Tensor:
    """``result``, whose gradient by ``values`` is ``factor``, elementwise."""
    found: Tensor = _Scaled.apply(values, result, factor)  # type: ignore[no-untyped-call]
    return found


def with_scaled_gradient(values: Tensor, factor: float) -> Tensor:
    """The tensor with its gradient times a factor; with 0 it is a constant for what carries relevance back."""
    return with_gradient(values, values, values.new_full((), factor))


class TransformerRules(TrackingMode):
    """Gives every operation of a transformer the gradient of AttnLRP.

    Parameters
    ----------
    rule : {"attn", "cp"}
        Of products with attention weights: half of the gradient to each factor, or all to the values (CP-LRP).

    Raises
    ------
    UnsupportedError
        For an operation without a rule.
    """

    def __init__(self, rule: AttentionRule) -> None:
        super().__init__("attn_lrp")
        self.rule = rule
        self._weights: dict[int, Tensor] = {}
        self._depth = 0

    def watch(self, module: nn.Module) -> list[Any]:
        """Hooks on activation functions that are written out in single steps, to be removed afterwards."""
        handles: list[Any] = []
        for part in filter(is_written_activation, module.modules()):
            handles.append(part.register_forward_pre_hook(self._enter))
            handles.append(part.register_forward_hook(self._leave))
        return handles

    def run(self, name: str, in_place: bool, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Run an operation with the gradient of its rule."""
        if self._depth:
            return func(*args, **kwargs)
        if name == ATTENTION_FUNCTION:
            return dot_product_attention(self._attend, *args, product=_halves, **kwargs)
        if name == MULTI_HEAD_FUNCTION:
            attend = partial(dot_product_attention, self._attend, product=_halves)
            return multi_head_attention(attend, *args, **kwargs)
        plain = name in REARRANGING or name in _LINEAR
        if in_place and not plain:
            raise UnsupportedError(f"attn_lrp cannot follow {name!r} in place")
        rules: dict[str, Callable[..., Any]] = {
            **dict.fromkeys(_PRODUCTS, self._product),
            **dict.fromkeys(_SCALES, lambda func, args, kwargs: with_scaled_gradient(func(*args, **kwargs), 0.0)),
            **dict.fromkeys(ACTIVATIONS, _activation),
            "div": _quotient,
            "layer_norm": _layer_norm,
            "pow": _power,
            "rms_norm": _rms_norm,
            "square": lambda func, args, kwargs: with_scaled_gradient(func(*args, **kwargs), 0.5),
        }
        if plain or name in _AFFINE:
            factors = args[1:3] if name == "addmm" else args[:2]
            if name in _AFFINE and sum(1 for _ in tracked(factors)) > 1:
                raise UnsupportedError(f"attn_lrp has no rule for {name!r} with weights that depend on the input")
            result = func(*args, **kwargs)
            first = args[0] if args else None
            if name == "softmax" or (name in _UNCHANGED_WEIGHTS and id(first) in self._weights):
                self._weights[id(result)] = result
            return result
        if name not in rules:
            result = func(*args, **kwargs)
            if name == "setitem" or in_place or any(True for _ in tracked(result)):
                raise UnsupportedError(
                    f"attn_lrp has no rule for {name!r}, which this model uses", "gradient and removal explainers work"
                )
            return result
        return rules[name](func, args, kwargs)

    def _product(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        depending = [t for t in occurrences((args, kwargs)) if t.requires_grad]
        if len(depending) < 2:
            return func(*args, **kwargs)
        if len(depending) > 2 or len(args) != 2 or kwargs:
            raise UnsupportedError("attn_lrp has no rule for this product of activations")
        if id(args[0]) in self._weights:
            return self._attend(args[0], args[1], func)
        return func(with_scaled_gradient(args[0], 0.5), with_scaled_gradient(args[1], 0.5))

    def _attend(self, weights: Tensor, values: Tensor, func: Callable[..., Any] = torch.matmul) -> Tensor:
        if self.rule == "cp":
            result: Tensor = func(with_scaled_gradient(weights, 0.0), values)
        else:
            result = func(with_scaled_gradient(weights, 0.5), with_scaled_gradient(values, 0.5))
        return result

    def _enter(self, _module: nn.Module, _args: Any) -> None:
        self._depth += 1

    def _leave(self, module: nn.Module, args: Any, output: Any) -> Any:
        self._depth -= 1
        if self._depth or not isinstance(output, Tensor) or not output.requires_grad:
            return output
        with torch._C.DisableTorchFunction():
            return _identity_rule(lambda h: module.forward(h), args[0], output)


def _halves(first: Tensor, second: Tensor) -> Tensor:
    """A product, of which each factor gets half of the gradient."""
    return torch.matmul(with_scaled_gradient(first, 0.5), with_scaled_gradient(second, 0.5))


def is_written_activation(module: nn.Module) -> bool:
    """Whether a module is an activation function that may be written out, such as GELU by its approximation."""
    name = type(module).__name__.lower()
    without_weights = not any(True for _ in module.parameters()) and not any(True for _ in module.children())
    return without_weights and any(part in name for part in ("gelu", "activation", "silu", "swish"))


def _activation(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Tensor:
    kwargs = {name: value for name, value in kwargs.items() if name not in ("inplace", "input")}
    given = args[0]

    def of(h: Tensor) -> Tensor:
        found: Tensor = func(h, *args[1:], **kwargs)
        return found

    return _identity_rule(of, given, of(given))


def _identity_rule(function: Callable[[Tensor], Tensor], given: Tensor, result: Tensor) -> Tensor:
    """``result``, as ``given`` times a constant: their quotient, near 0 its limit."""
    with torch.no_grad():
        step = torch.tensor([1e-3, -1e-3], dtype=torch.float64, device=given.device).to(given.dtype)
        ends = function(step)
        if bool(function(torch.zeros_like(step)).abs().max() > NEAR_ARGUMENT_ZERO):
            raise UnsupportedError("attn_lrp has no rule for an activation function that does not take 0 to 0")
        slope = (ends[0] - ends[1]) / (step[0] - step[1])
        near = given.abs() < NEAR_ARGUMENT_ZERO
        factor = torch.where(near, slope, result.detach() / torch.where(near, torch.ones_like(given), given.detach()))
    return with_gradient(given, result, factor)


def _quotient(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    first, second = args[:2]
    if isinstance(second, Tensor) and second.requires_grad:
        second = with_scaled_gradient(second, 0.0)
    return func(first, second, *args[2:], **kwargs)


def _power(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    exponent = args[1] if len(args) > 1 else kwargs.get("exponent")
    if exponent in (1, 2):
        return with_scaled_gradient(func(*args, **kwargs), 1 / exponent)
    if exponent in (-0.5, 0.5):
        return with_scaled_gradient(func(*args, **kwargs), 0.0)
    raise UnsupportedError(f"attn_lrp has no rule for the power {exponent}")


def _layer_norm(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Tensor:
    given, shape, weight, bias, eps = _norm_arguments(
        args, kwargs, ("input", "normalized_shape", "weight", "bias", "eps")
    )
    axes = tuple(range(-len(shape), 0))
    variance, mean = torch.var_mean(given, dim=axes, correction=0, keepdim=True)
    line = (given - mean) * (variance + (1e-5 if eps is None else eps)).rsqrt().detach()
    line = line if weight is None else line * weight
    return _with_value(line if bias is None else line + bias, func(*args, **kwargs))


def _rms_norm(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Tensor:
    given, shape, weight, eps = _norm_arguments(args, kwargs, ("input", "normalized_shape", "weight", "eps"))
    axes = tuple(range(-len(shape), 0))
    eps = torch.finfo(given.dtype).eps if eps is None else eps
    line = given * (given.square().mean(dim=axes, keepdim=True) + eps).rsqrt().detach()
    return _with_value(line if weight is None else line * weight, func(*args, **kwargs))


def _norm_arguments(args: Any, kwargs: dict[str, Any], names: tuple[str, ...]) -> list[Any]:
    found = dict(zip(names, args, strict=False)) | {name: kwargs[name] for name in names if name in kwargs}
    return [found.get(name) for name in names]


def _with_value(line: Tensor, value: Tensor) -> Tensor:
    """The value with the gradient of another way to compute it."""
    return with_gradient(line, value, line.new_ones(()))
