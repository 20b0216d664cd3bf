"""Guided backpropagation and deconvolution: gradients whose way back through ReLUs is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.outputs import select_output
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.copies import model_batches

_OTHER_ACTIVATIONS = (
    "Celu", "Elu", "Gelu", "Hardswish", "Hardtanh", "LeakyRelu", "LogSigmoid", "Mish", "Prelu", "Rrelu", "Selu",
    "Sigmoid", "Silu", "Softplus", "Tanh", "Threshold",
)  # fmt: skip
Gradients = tuple[Tensor | None, ...]


@explainer("guided_backprop", kind="slope", needs={"module"})
def guided_backprop(problem: ProblemView) -> Tensor:
    """Gradient that passes a ReLU only where both it and the activation are positive (Springenberg et al. 2015).

    Raises
    ------
    UnsupportedError
        If the model has activations other than ReLU.
    """
    return problem.layout.reduce(guided_gradients(problem))


@explainer("deconvolution", kind="slope", needs={"module"})
def deconvolution(problem: ProblemView) -> Tensor:
    """Gradient that passes a ReLU where it is positive, whatever the activation was (Zeiler & Fergus 2014).

    Raises
    ------
    UnsupportedError
        If the model has activations other than ReLU.
    """
    return problem.layout.reduce(_rectified(problem, "deconvolution", lambda _before, after: after))


def guided_gradients(problem: ProblemView) -> Tensor:
    """Guided backpropagation before channels are summed (N, *input_shape)."""
    return _rectified(problem, "guided backpropagation", lambda before, _after: before)


def _rectified(problem: ProblemView, name: str, choose: Callable[[Gradients, Gradients], Gradients]) -> Tensor:
    """Gradient (N, *input_shape) whose value behind every ReLU is ``choose``'s pick, negative parts cut.

    The rule is put on the nodes of the autograd graph, not on modules: it holds for functional,
    in-place and reused ReLUs alike, and is gone with the graph.
    """
    model = require_module(problem.model)

    def rule(before: Gradients, after: Gradients) -> Gradients:
        return tuple(None if g is None else g.clamp(min=0) for g in choose(before, after))

    parts = []
    for leaf, targets in model_batches(problem, model):
        with torch.enable_grad():
            raw = model.forward(leaf)
            for node in graph_nodes(raw):
                kind = node.name().removesuffix("0").removesuffix("Backward")
                if kind in _OTHER_ACTIVATIONS:
                    raise UnsupportedError(f"{name} is defined for ReLU networks, and this model has {kind}")
                if kind == "Relu":
                    node.register_hook(rule)
            picked = select_output(raw, targets, problem.output, model.returns)
            (gradient,) = torch.autograd.grad(picked.sum(), leaf)
        parts.append(gradient.detach())
    return torch.cat(parts)


def graph_nodes(output: Tensor) -> Iterator[Any]:
    """Every node of the autograd graph behind a tensor, once."""
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(parent for parent, _ in node.next_functions)
