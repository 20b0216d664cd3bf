"""Guided backpropagation (Springenberg et al. 2015) and deconvolution (Zeiler and Fergus 2014)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.input_gradients import input_gradient
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.channels import Channels, slopes_per_feature
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.engines.relu_graph import check_relu_graph, kind_of, nodes_between
from xaibench.explainers.engines.tracing import TrackingMode, graph_nodes, run_tracked, tensors, tracked

_BENT = frozenset({
    "abs", "absolute", "ceil", "clamp", "clamp_max", "clamp_min", "clip", "copysign", "fix", "floor", "fmax", "fmin",
    "frac", "heaviside", "max", "maximum", "min", "minimum", "round", "sgn", "sign", "softsign", "trunc",
})  # fmt: skip
"""Operations that bend or step like an activation; some are a ReLU, ``max`` and ``min`` may be pooling."""
_WHOLE = frozenset({"local_response_norm", "normalize", "pad", "rms_norm"})
"""Normalisations and moves whose single steps would be taken for activations."""
_LINEAR_IN_PLACE = frozenset({"add", "copy", "fill", "setitem", "sub", "zero"})
"""What may change a part of a tensor in place: autograd does not show what happened there."""
Gradients = tuple[Tensor | None, ...]


@explainer("guided_backprop", version=2, kind="slope", needs={"module"})
def guided_backprop(problem: ProblemView, *, channels: Channels = "sum") -> Tensor:
    """Gradient that passes a ReLU only where both it and the activation are positive (Springenberg et al. 2015).

    ``clamp(min=0)`` and the maximum with 0 are ReLUs as well. Affine operations, pooling (maxima along an
    axis among it), normalisation and softmax keep their gradient.

    Parameters
    ----------
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.

    Raises
    ------
    UnsupportedError
        If the model does anything else: activations other than ReLU, also written out or fused, products
        of two values that depend on the input (gates, attention), powers, exponentials, divisions by
        such values. If it uses values computed from the input without a gradient, such as the mask in
        ``h * (h > 0)``. If the pass over it does not give the model's own outputs.
    """
    return slopes_per_feature(problem, guided_gradients(problem), channels)


@explainer("deconvolution", version=2, kind="slope", needs={"module"})
def deconvolution(problem: ProblemView, *, channels: Channels = "sum") -> Tensor:
    """Gradient that passes a ReLU where it is positive, whatever the activation was (Zeiler & Fergus 2014).

    Operations other than ReLU are treated as in `guided_backprop`.

    Parameters
    ----------
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.

    Raises
    ------
    UnsupportedError
        As for `guided_backprop`.
    """
    return slopes_per_feature(problem, _rectified(problem, "deconvolution", lambda _before, after: after), channels)


def guided_gradients(problem: ProblemView) -> Tensor:
    """Guided backpropagation before channels are summed (N, *input_shape)."""
    return _rectified(problem, "guided backpropagation", lambda before, _after: before)


def _rectified(problem: ProblemView, name: str, choose: Callable[[Gradients, Gradients], Gradients]) -> Tensor:
    """Gradient (N, *input_shape) whose value behind every ReLU is ``choose``'s pick, negative parts cut.

    The rule is put on the nodes of the autograd graph, not on modules: it holds for functional,
    in-place and reused ReLUs alike, and is gone with the graph. `_ReluMode` turns other ways to write
    a ReLU into one first; a graph with anything that may be another activation is refused.
    """
    model = require_module(problem.model)

    def rule(before: Gradients, after: Gradients) -> Gradients:
        return tuple(None if g is None else g.clamp(min=0) for g in choose(before, after))

    parts = []
    for leaf, rows, context in model_batches(problem, model):
        with torch.enable_grad():
            mode = _ReluMode(name)
            raw = run_tracked(model, mode, leaf, context)
            check_relu_graph(name, raw, mode.known)
            for node in graph_nodes(raw):
                if kind_of(node) == "Relu" and node not in mode.known:
                    node.register_hook(rule)
            picked = problem.select(raw, rows)
        parts.append(input_gradient(picked, leaf))
    return torch.cat(parts)


class _ReluMode(TrackingMode):
    """Writes everything that is a ReLU as one, and refuses what bends otherwise.

    Attributes
    ----------
    known : set of autograd nodes
        Steps of operations that are known as a whole.
    """

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.known: set[Any] = set()

    def run(self, name: str, in_place: bool, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Run an operation."""
        if kwargs.get("rounding_mode") is not None:
            raise UnsupportedError(f"{self.method} is defined for ReLU networks, and this model rounds")
        pooling = name in ("max", "min") and len(list(tensors((args, kwargs)))) == 1
        if name == "relu" or (name in _BENT and not pooling):
            inputs = _rectified_by(name, args, kwargs)
            if inputs is None:
                raise UnsupportedError(f"{self.method} is defined for ReLU networks, and this model uses {name!r}")
            # In place on a part of a tensor, autograd would hide the ReLU.
            in_place = in_place or (name == "relu" and (kwargs.get("inplace", False) or args[1:2] == (True,)))
            if not in_place:
                return inputs.relu()
            result = inputs.copy_(inputs.relu())
            self._note_slices(inputs)
            return result
        before = {t.grad_fn for t in tracked((args, kwargs))} if name in _WHOLE else set()
        result = func(*args, **kwargs)
        if len(before) == 1:
            self.known |= nodes_between(tensors(result), before)
        if name in _LINEAR_IN_PLACE and (in_place or name == "setitem"):
            self._note_slices(args[0])
        return result

    def _note_slices(self, changed: Tensor) -> None:
        """A tensor was changed in place by something linear, which may have been a part of another one."""
        base = changed if changed._base is None else changed._base
        self.known |= {node for node in (changed.grad_fn, base.grad_fn) if node and kind_of(node) == "CopySlices"}


def _rectified_by(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The tensor x if this call computes max(x, 0)."""
    given = dict(enumerate(args)) | kwargs
    first = given.pop(0, given.pop("input", None))
    if name == "relu":
        return first if isinstance(first, Tensor) else None
    if name in ("clamp", "clip", "clamp_min"):
        second = given.pop(1, given.pop("min", None))
        upper = given.pop(2, given.pop("max", None))
        if upper is not None or not isinstance(first, Tensor):
            return None
    elif name in ("max", "maximum"):
        second = given.pop(1, given.pop("other", None))
    else:
        return None
    if given:
        return None
    if isinstance(first, Tensor) and first.requires_grad:
        return first if _is_zero(second, first) else None
    return second if isinstance(second, Tensor) and name in ("max", "maximum") and _is_zero(first, second) else None


def _is_zero(bound: Any, inputs: Tensor) -> bool:
    """Whether a bound is a constant 0 that leaves shape and type of the inputs as they are."""
    if not isinstance(bound, Tensor):
        return isinstance(bound, int | float) and bound == 0
    return (
        not any(True for _ in tracked(bound))
        and torch.result_type(bound, inputs) == inputs.dtype
        and (inputs.detach() + bound).shape == inputs.shape
        and not bool(bound.any())
    )
