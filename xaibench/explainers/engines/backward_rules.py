"""Rule-based backward passes: every operation of a network gets its own propagation rule, or is refused.

A `RuleMode` stands between the network and torch while it runs. It sees operations and not modules,
so functional, in-place and reused activations are treated like modules, nothing is attached to the
caller's network, and an operation without a rule cannot slip through unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.errors import UnsupportedError
from xaibench.explainers.engines.tracing import TrackingMode, occurrences, tracked

Backward = Callable[..., tuple[Tensor, ...]]
"""``backward(grad, output, *inputs) -> grads of inputs``."""

REARRANGING = frozenset({
    "bfloat16", "cat", "chunk", "clone", "concat", "contiguous", "double", "dropout", "dropout1d", "dropout2d",
    "dropout3d", "expand", "expand_as", "feature_dropout", "flatten", "float", "get", "getitem", "half", "identity",
    "index_select", "movedim", "narrow", "pad", "permute", "pixel_shuffle", "repeat", "reshape", "select", "split",
    "squeeze", "stack", "swapaxes", "t", "to", "transpose", "type_as", "unbind", "unflatten", "unfold", "unsqueeze",
    "view", "view_as",
})  # fmt: skip
"""Operations that move numbers without changing them."""
WEIGHTED = frozenset(
    {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
)
"""Affine operations with a weight and a bias."""
LINEAR = frozenset({
    "add", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "bmm", "div", "einsum", "interpolate", "matmul", "mean", "mm", "mul", "neg", "sub", "sum",
})  # fmt: skip
"""Affine operations without parameters; products and quotients only with a constant."""
MAX_POOLING = frozenset({
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
})  # fmt: skip
ACTIVATIONS = frozenset({
    "celu", "elu", "gelu", "hardswish", "hardtanh", "leaky_relu", "mish", "relu", "relu6", "selu", "silu", "softsign",
    "tanh", "tanhshrink",
})  # fmt: skip
"""Elementwise functions that take 0 to 0."""
_SUMS = frozenset({"add", "cat", "concat", "stack", "sub"})
"""Operations that are linear in all their tensors together."""
_PRODUCTS = frozenset({"bmm", "einsum", "matmul", "mm", "mul"})
"""Operations that are linear in any one of their tensors, the others being constants."""
_SHAPED_LIKE = frozenset({"expand_as", "to", "type_as", "view_as"})
"""Operations that take values from their first tensor, and shape or type from the second."""
_DROPOUT = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"})


class TracedOperation:
    """A call of a torch function on tensors that depend on the input.

    Attributes
    ----------
    name : str
        Name of the function, the same for its functional, method, operator and in-place form.
    inputs : list of Tensor
        The arguments that depend on the input; all others are constants.
    """

    def __init__(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.name = name
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.inputs = list(tracked((args, kwargs)))

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Compute the operation on other inputs."""
        new = {id(old): new for old, new in zip(self.inputs, inputs, strict=True)}
        result: Tensor = self.function(*_swap(self.args, new), **_swap(self.kwargs, new))
        return result

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, wherever it was given."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)


BackwardRule = Callable[[TracedOperation], Any]


class RuleMode(TrackingMode):
    """Applies rules to the operations of a network while it runs.

    Parameters
    ----------
    method : str
        Name for messages.
    rules : mapping of str to callable
        Rule of every operation that is neither rearranging nor refused; ``None`` keeps the gradient.

    Raises
    ------
    UnsupportedError
        For an operation without a rule; for products of two tensors that both depend on the input
        (with a gradient or without), of a tensor with itself, and weights or divisors that depend on
        it; for dropout that is switched on; for tensors that are read again after they were changed
        in place.
    """

    def __init__(self, method: str, rules: Mapping[str, BackwardRule | None]) -> None:
        super().__init__(method)
        self.rules = {**dict.fromkeys(REARRANGING), **rules}
        self._overwritten: dict[int, Tensor] = {}

    def run(self, name: str, in_place: bool, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Apply the rule of an operation."""
        inputs = list(tracked((args, kwargs)))
        if torch.is_autocast_enabled(inputs[0].device.type):
            raise UnsupportedError(
                f"{self.method} cannot follow a model that changes number types by torch.autocast",
                "explain it without autocast, or converted, for example by model.bfloat16()",
            )
        if any(id(t) in self._overwritten for t in inputs):
            raise UnsupportedError(f"{self.method} cannot follow a tensor that is read again after an in-place change")
        if name in self.rules:
            if in_place:
                func = getattr(torch, name, None) or getattr(functional, name)
            elif kwargs.pop("inplace", False):
                in_place = True
            result = self._apply(TracedOperation(name, func, args, kwargs))
            # Dropout that is off returns the tensor itself, which is then as it was.
            if in_place and result is not inputs[0]:
                self._overwritten[id(inputs[0])] = inputs[0]
            return result
        result = func(*args, **kwargs)
        if name == "setitem" or in_place or any(True for _ in tracked(result)):
            raise UnsupportedError(f"{self.method} has no rule for {name!r}, which this model uses")
        return result

    def _apply(self, op: TracedOperation) -> Any:
        self._check_operands(op)
        rule = self.rules[op.name]
        return op(*op.inputs) if rule is None else rule(op)

    def _check_operands(self, op: TracedOperation) -> None:
        """Refuse what is linear, or a function of one tensor, only as long as its other arguments are constants."""
        depending = sum(t.requires_grad for t in occurrences((op.args, op.kwargs)))
        if op.name in _PRODUCTS and depending > 1:
            raise UnsupportedError(f"{self.method} has no rule for products of two activations ({op.name!r})")
        first = op.args[0] if op.args else op.kwargs.get("input")
        first_only = depending == 1 and isinstance(first, Tensor) and first.requires_grad
        if op.name not in _PRODUCTS | _SUMS | _SHAPED_LIKE and not first_only:
            raise UnsupportedError(
                f"{self.method} has no rule for {op.name!r} with weights or a divisor that depend on the input"
            )
        if op.kwargs.get("rounding_mode") is not None:
            raise UnsupportedError(f"{self.method} has no rule for divisions that round")
        if op.name in _DROPOUT and _switched_on(op):
            raise UnsupportedError(f"{self.method} has no rule for {op.name!r} that is switched on outside training")
        if op.name == "batch_norm" and op.function is not functional.batch_norm:
            raise UnsupportedError(f"{self.method} knows batch normalisation as torch.nn.functional.batch_norm only")


def _switched_on(op: TracedOperation) -> bool:
    training = op.argument(2, "training", op.kwargs.get("train", True))
    return bool(training) and op.argument(1, "p", 0.5) > 0


def statistics_are_fixed(op: TracedOperation) -> bool:
    """Whether a batch normalisation is affine: it uses running statistics and leaves them as they are."""
    return not op.argument(5, "training", False) and op.argument(1, "running_mean") is not None


class _Ruled(torch.autograd.Function):
    """An operation whose backward pass is given by a function."""

    @staticmethod
    def forward(ctx: Any, compute: TracedOperation, backward: Backward, *inputs: Tensor) -> Tensor:
        versions = [t._version for t in inputs]
        result = compute(*inputs)
        if versions != [t._version for t in inputs]:
            raise UnsupportedError(f"{compute.name!r} works in place here, and rules cannot follow it")
        ctx.rule = backward
        ctx.save_for_backward(result, *inputs)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        result, *inputs = ctx.saved_tensors
        return (None, None, *ctx.rule(grads[0], result, *inputs))


def apply_rule(op: TracedOperation, backward: Backward) -> Tensor:
    """Run an operation and give it this backward pass."""
    result: Tensor = _Ruled.apply(op, backward, *op.inputs)  # type: ignore[no-untyped-call]
    return result


def pull_back(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], grad: Tensor) -> tuple[Tensor, ...]:
    """Gradients of ``sum(function(*inputs) * grad)`` with respect to the inputs."""
    with torch.enable_grad():
        leaves = tuple(t.detach().requires_grad_(True) for t in inputs)
        return torch.autograd.grad(function(*leaves), leaves, grad)


def _swap(tree: Any, new: Mapping[int, Tensor]) -> Any:
    """Nested arguments with some tensors replaced."""
    if isinstance(tree, Tensor):
        return new.get(id(tree), tree)
    if isinstance(tree, dict):
        return {k: _swap(v, new) for k, v in tree.items()}
    if isinstance(tree, tuple | list):
        items = [_swap(v, new) for v in tree]
        return tuple(items) if isinstance(tree, tuple) else items
    return tree
