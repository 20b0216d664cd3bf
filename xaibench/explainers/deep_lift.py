"""DeepLIFT (Shrikumar et al. 2017), rescale rule: differences from a baseline, propagated backwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.input_gradients import as_leaf, input_gradient
from xaibench.core.predictor import TorchPredictor, require_module
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
from xaibench.explainers.engines.forward_check import beyond_rounding, machine_epsilon
from xaibench.explainers.engines.path_gradients import path_gradient
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.engines.tracing import run_tracked

SMALLEST_DIFFERENCE = 1e-6
"""Below this part of the numbers at hand a difference is rounding, and the derivative takes its place."""
INCOMPLETENESS = 0.01
"""How far the contributions of a sample may add up to something else, as a part of the sum of their sizes."""
Multiplier = Callable[[TracedOperation, Tensor, Tensor], Tensor]
"""Runs an operation and gives it a backward pass, knowing input and result of the same operation at the reference."""


@explainer("deep_lift", version=2, kind="contribution", needs={"module"})
def deep_lift(problem: ProblemView, *, baseline: str = "zero", channels: Channels = "sum") -> Tensor:
    """DeepLift with the rescale rule (Shrikumar et al. 2017, Sec. 3.5.1).

    An activation passes on the ratio of its output's difference from the reference to its input's.
    Max pooling passes the rise of a maximum to where it is and the fall to where it was (the rule of
    Lundberg & Lee's package shap). Softmax, where there is one, and the explained output pass on their
    mean gradient between reference and sample, which is the same ratio for functions of one number.
    The contributions add up to the output difference between the sample and the reference. That is
    checked for every sample, to 1 % of the sum of their sizes (before channels are reduced).

    Parameters
    ----------
    baseline : str
        Masker whose fill is the reference.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.

    Raises
    ------
    UnsupportedError
        If the network holds an operation that has no rule, such as attention, recurrence or a product
        of activations, if the pass over it does not give the model's own outputs, or if the
        contributions do not add up.
    """
    model = require_module(problem.model)
    reference = problem.baseline(baseline).to(model.device)
    maps = []
    for inputs, part, context in model_batches(problem, model):
        start = as_leaf(reference[part])
        samples = torch.arange(part.start, part.stop, device=problem.targets.device)
        passes = _Passes()
        at_start = run_tracked(model, RuleMode("DeepLift", _rules(passes.record)), start, context).detach()
        raw = run_tracked(model, RuleMode("DeepLift", _rules(passes.replay)), inputs, context)

        def picked(raw: Tensor, rows: Tensor | slice = slice(None), samples: Tensor = samples) -> Tensor:
            return problem.select(raw, samples[rows])

        at_inputs = raw.detach()
        seed = path_gradient(picked, at_start, at_inputs, torch.ones_like(at_start[:, 0]))
        contributions = input_gradient(raw, inputs, seed) * (inputs.detach() - start.detach())
        _check_completeness(model, inputs, context, contributions, picked(at_inputs), picked(at_start))
        maps.append(contributions)
    return per_feature(problem, torch.cat(maps), channels)


def _check_completeness(
    model: TorchPredictor, inputs: Tensor, context: Context, contributions: Tensor, output: Tensor, at_start: Tensor
) -> None:
    """Raise UnsupportedError where contributions (N, *input_shape) do not add up to the difference (N,) of outputs."""
    parts = contributions.flatten(1)
    gap = output - at_start
    share = max(INCOMPLETENESS, 2 * machine_epsilon(model, output) ** 0.5)
    allowed = share * (parts.abs().sum(dim=1) + gap.abs())
    wrong = beyond_rounding(model, inputs, context, parts.sum(dim=1), gap, allowed)
    if bool((wrong & gap.isfinite()).any()):
        raise UnsupportedError(
            "DeepLift's contributions do not add up to the difference of the outputs for this model",
            "integrated_gradients adds up for every differentiable model",
        )


class _Passes:
    """What goes into and comes out of the non-linear operations at the reference, for the pass over the sample.

    Both passes run the same operations in the same order, wherever a network puts its samples.
    """

    def __init__(self) -> None:
        self._at_start: list[tuple[str, Tensor, Tensor]] = []
        self._next = 0

    def record(self, _multiplier: Multiplier, op: TracedOperation) -> Tensor:
        """Run an operation at the reference."""
        result = op(*op.inputs)
        self._at_start.append((op.name, op.inputs[0].detach(), result.detach()))
        return result

    def replay(self, multiplier: Multiplier, op: TracedOperation) -> Tensor:
        """Run the same operation at the sample, under its rule."""
        name, start, at_start = self._at_start[self._next] if self._next < len(self._at_start) else ("", None, None)
        self._next += 1
        if start is None or at_start is None or name != op.name or start.shape != op.inputs[0].shape:
            raise UnsupportedError("DeepLift needs a network that runs the same operations for sample and reference")
        return multiplier(op, start, at_start)


def _rescale(op: TracedOperation, start: Tensor, at_start: Tensor) -> Tensor:
    """Ratio of differences, elementwise; the derivative where the inputs do not differ."""

    def backward(grad: Tensor, result: Tensor, x: Tensor) -> tuple[Tensor]:
        way = x - start
        size = torch.maximum(torch.maximum(x.abs(), start.abs()), torch.maximum(result.abs(), at_start.abs()))
        far = way.abs() > SMALLEST_DIFFERENCE * size
        (local,) = pull_back(op, (x,), grad)
        return (torch.where(far, grad * (result - at_start) / torch.where(far, way, 1.0), local),)

    return apply_rule(op, backward)


def _max_pooling(op: TracedOperation, start: Tensor, at_start: Tensor) -> Tensor:
    """The difference of a maximum goes to where it was and where it is (Lundberg & Lee's rule)."""

    def backward(grad: Tensor, result: Tensor, x: Tensor) -> tuple[Tensor]:
        highest = torch.maximum(result, at_start)
        (rise,) = pull_back(op, (x,), grad * (highest - at_start))
        (fall,) = pull_back(op, (start,), grad * (result - highest))
        way = x - start
        far = way.abs() > SMALLEST_DIFFERENCE * torch.maximum(x.abs(), start.abs())
        (local,) = pull_back(op, (x,), grad)
        return (torch.where(far, (rise + fall) / torch.where(far, way, 1.0), local),)

    return apply_rule(op, backward)


def _softmax(op: TracedOperation, start: Tensor, _at_start: Tensor) -> Tensor:
    """Mean gradient between reference and sample, for every vector of the softmax by itself."""
    dim = op.argument(1, "dim")
    if dim is None:
        raise UnsupportedError(f"DeepLift needs the dimension of {op.name!r} to be given")
    function = torch.softmax if op.name == "softmax" else torch.log_softmax

    def backward(grad: Tensor, _result: Tensor, x: Tensor) -> tuple[Tensor]:
        rows = [t.movedim(dim, -1).reshape(-1, t.shape[dim]) for t in (start, x, grad.to(x.dtype))]
        mean = path_gradient(lambda points, rows: function(points, dim=1), *rows)
        return (mean.view_as(x.movedim(dim, -1)).movedim(-1, dim),)

    return apply_rule(op, backward)


def _fixed_statistics(op: TracedOperation) -> Tensor:
    """Batch normalisation is affine as long as its statistics are fixed."""
    if not statistics_are_fixed(op):
        raise UnsupportedError("DeepLift has no rule for batch normalisation without running statistics")
    return op(*op.inputs)


def _rules(run: Callable[[Multiplier, TracedOperation], Tensor]) -> dict[str, BackwardRule | None]:
    """Rules for one of the two passes."""

    def pooling(op: TracedOperation) -> Tensor:
        if op.kwargs.get("return_indices"):
            raise UnsupportedError("DeepLift has no rule for max pooling that returns indices")
        return run(_max_pooling, op)

    activations = backward_rules.ACTIVATIONS | {"sigmoid", "softplus", "hardsigmoid", "logsigmoid", "threshold"}
    return {
        **dict.fromkeys(backward_rules.WEIGHTED | backward_rules.LINEAR),
        **dict.fromkeys(activations, partial(run, _rescale)),
        **dict.fromkeys(backward_rules.MAX_POOLING, pooling),
        **dict.fromkeys(("softmax", "log_softmax"), partial(run, _softmax)),
        "batch_norm": _fixed_statistics,
    }
