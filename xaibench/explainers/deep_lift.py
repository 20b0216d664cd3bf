"""DeepLift: contributions by the difference from a reference, carried back through the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.outputs import select_output
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines import backward_rules
from xaibench.explainers.engines.backward_rules import BackwardRule, RuleMode, TracedOperation, apply_rule, pull_back
from xaibench.explainers.engines.channels import Channels, per_feature
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.engines.tracing import run_tracked

PATH_STEPS = 128
"""Points of the midpoint rule for softmax and for the explained output."""
SMALLEST_DIFFERENCE = 1e-6
"""Below this a difference of inputs is rounding, and the derivative takes its place."""


@explainer("deep_lift", kind="contribution", needs={"module"})
def deep_lift(problem: ProblemView, *, baseline: str = "zero", channels: Channels = "sum") -> Tensor:
    """DeepLift with the rescale rule (Shrikumar et al. 2017, Sec. 3.5.1).

    An activation passes on the ratio of its output's difference from the reference to its input's
    (max pooling as in Captum). Softmax, where there is one, and the explained output pass on their
    mean gradient between reference and sample, which is the same ratio for functions of one number.
    The contributions add up to the output difference between the sample and the reference.

    Parameters
    ----------
    baseline : str
        Masker whose fill is the reference.
    channels : {"sum", "positive"}
        Signed sum over channels, or the sum of their positive parts (a saliency).

    Raises
    ------
    UnsupportedError
        If the network holds an operation that has no rule, such as attention or recurrence.
    """
    model = require_module(problem.model)
    reference = problem.baseline(baseline).to(model.device)
    maps = []
    done = 0
    for inputs, targets in model_batches(problem, model):
        start = reference[done : done + len(inputs)]
        done += len(inputs)
        both = torch.cat([inputs.detach(), start]).requires_grad_(True)
        raw = run_tracked(model, RuleMode("DeepLift", RULES), both)
        at_inputs, at_start = raw.detach().chunk(2)

        def picked(raw: Tensor, targets: Tensor = targets) -> Tensor:
            return select_output(raw, targets, problem.output, model.returns)

        seed = _path_gradient(picked, at_start, at_inputs, torch.ones_like(at_start[:, 0]))
        (multipliers,) = torch.autograd.grad(raw, both, torch.cat([seed, torch.zeros_like(seed)]))
        maps.append(multipliers[: len(inputs)] * (inputs.detach() - start))
    return per_feature(problem, torch.cat(maps), channels)


def _rescale(op: TracedOperation) -> Tensor:
    """Ratio of differences, elementwise; the derivative where the inputs do not differ."""

    def backward(grad: Tensor, result: Tensor, inputs: Tensor) -> tuple[Tensor]:
        x, start = inputs.chunk(2)
        y, y_start = result.chunk(2)
        g = grad.chunk(2)[0]
        way = x - start
        far = way.abs() > SMALLEST_DIFFERENCE
        (local,) = pull_back(op, (x,), g)
        return (_first_half(torch.where(far, g * (y - y_start) / torch.where(far, way, 1.0), local)),)

    return apply_rule(op, backward)


def _max_pooling(op: TracedOperation) -> Tensor:
    """The difference of a maximum goes to where it was and where it is (Lundberg & Lee's and Captum's rule)."""
    if op.kwargs.get("return_indices"):
        raise UnsupportedError("DeepLift has no rule for max pooling that returns indices")

    def backward(grad: Tensor, result: Tensor, inputs: Tensor) -> tuple[Tensor]:
        x, start = inputs.chunk(2)
        y, y_start = result.chunk(2)
        g = grad.chunk(2)[0]
        highest = torch.maximum(y, y_start)
        (rise,) = pull_back(op, (x,), g * (highest - y_start))
        (fall,) = pull_back(op, (start,), g * (y - highest))
        way = x - start
        far = way.abs() > SMALLEST_DIFFERENCE
        (local,) = pull_back(op, (x,), g)
        return (_first_half(torch.where(far, (rise + fall) / torch.where(far, way, 1.0), local)),)

    return apply_rule(op, backward)


def _path(op: TracedOperation) -> Tensor:
    """Mean gradient between reference and sample, for functions of several numbers."""

    def backward(grad: Tensor, result: Tensor, inputs: Tensor) -> tuple[Tensor]:
        x, start = inputs.chunk(2)
        return (_first_half(_path_gradient(op, start, x, grad.chunk(2)[0])),)

    return apply_rule(op, backward)


def _path_gradient(function: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, grad: Tensor) -> Tensor:
    """Mean of the pulled-back gradient on the straight line from ``start`` to ``end``."""
    total = torch.zeros_like(end)
    for k in range(PATH_STEPS):
        point = torch.lerp(start, end, (k + 0.5) / PATH_STEPS)
        total += pull_back(function, (point,), grad)[0]
    return total / PATH_STEPS


def _first_half(multipliers: Tensor) -> Tensor:
    """Multipliers of the sample; none go back to the reference."""
    return torch.cat([multipliers, torch.zeros_like(multipliers)])


def _constant_statistics(op: TracedOperation) -> Tensor:
    """Batch normalisation is affine as long as its statistics are fixed."""
    if op.argument(5, "training", False) or op.argument(1, "running_mean") is None:
        raise UnsupportedError("DeepLift has no rule for batch normalisation without running statistics")
    return op(*op.inputs)


RULES: dict[str, BackwardRule | None] = {
    **dict.fromkeys(backward_rules.WEIGHTED | backward_rules.LINEAR),
    **dict.fromkeys(
        backward_rules.ACTIVATIONS | {"sigmoid", "softplus", "hardsigmoid", "logsigmoid", "threshold"}, _rescale
    ),
    **dict.fromkeys(backward_rules.MAX_POOLING, _max_pooling),
    **dict.fromkeys(("softmax", "log_softmax"), _path),
    "batch_norm": _constant_statistics,
}
