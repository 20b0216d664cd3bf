"""Full-gradient decomposition (Srinivas & Fleuret 2019): the input's share of an output, and that of every bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.errors import UnsupportedError
from xaibench.core.input_gradients import INSTEAD, NO_GRADIENT
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines import backward_rules
from xaibench.explainers.engines.backward_rules import RuleMode, TracedOperation, pull_back, statistics_are_fixed
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.engines.tracing import run_tracked

_METHOD = "full-gradient"
_ROUNDING = 1e-4
"""Differences of sums that are rounding, in units of the sum of magnitudes."""
_PIECEWISE = frozenset({"hardtanh", "leaky_relu", "relu", "relu6"})
"""Activations of straight pieces."""


@dataclass(frozen=True)
class _Constants:
    """What an operation adds to its result that does not depend on its inputs.

    Attributes
    ----------
    result, constant : Tensor (n, ...)
        The constant is that of the piece that the inputs are on.
    is_map : bool
        Whether they are maps (n, K, h, w).
    """

    result: Tensor
    constant: Tensor
    is_map: bool


@explainer("full_grad", kind="contribution", needs={"module"})
def full_grad(problem: ProblemView) -> Tensor:
    """Input times gradient plus the shares of all biases, where they act (Srinivas & Fleuret 2019, Eq. 3).

    A network of straight pieces is ``x df/dx + sum over biases of b df/db``, exactly. Biases are those of layers,
    of batch normalisation (shift less scaled mean) and whatever constants are added. The shares of a map's places are
    enlarged bilinearly without a change of their sum; those of dense layers, which have no place, are divided
    equally among all features. Maps add up to the output (a logit, a margin or a value; a probability is no such
    network's output, and has no such sum).

    Raises
    ------
    UnsupportedError
        For activations that are not made of straight pieces, products of two values that depend on the input, and
        operations without a rule.
    """
    maps = []
    for inputs, slopes, found in _decomposed(problem):
        total = problem.layout.reduce(inputs * slopes)
        for constants, share in found:
            total = total + _spread(problem, share, len(inputs), constants.is_map)
        maps.append(total)
    return torch.cat(maps)


@explainer("full_grad_saliency", kind="saliency", needs={"module", "image"})
def full_grad_saliency(problem: ProblemView) -> Tensor:
    """FullGrad as published: magnitudes of the shares, scaled to 0 and 1 per layer (Srinivas & Fleuret 2019, Eq. 5).

    The magnitudes of input times gradient, and of every map of bias shares, are scaled to 0 and 1 over all channels
    of their layer, enlarged bilinearly and added up. Shares of dense layers are left out. `full_grad` is the signed
    decomposition itself.

    Raises
    ------
    UnsupportedError
        As for `full_grad`.
    """
    maps = []
    for inputs, slopes, found in _decomposed(problem):
        total = problem.layout.reduce(_scaled(inputs * slopes))
        for constants, share in found:
            if constants.is_map and bool(share.any()):
                size = problem.layout.feature_shape
                total = total + functional.interpolate(_scaled(share), size=size, mode="bilinear").sum(dim=1)
        maps.append(total)
    return torch.cat(maps)


def _decomposed(problem: ProblemView) -> list[tuple[Tensor, Tensor, list[tuple[_Constants, Tensor]]]]:
    """Inputs, their gradients, and the shares (n, ...) of all constants, batch by batch."""
    model = require_module(problem.model)
    parts = []
    for inputs, rows, context in model_batches(problem, model):
        noted: list[_Constants] = []
        raw = run_tracked(model, RuleMode(_METHOD, _rules(noted)), inputs, context)
        with torch.enable_grad():
            picked = problem.select(raw, rows)
            wanted = (inputs, raw, *[c.result for c in noted])
            slopes = torch.autograd.grad(picked.sum(), wanted, allow_unused=True)
        if slopes[0] is None or slopes[1] is None:
            raise UnsupportedError(NO_GRADIENT, INSTEAD)
        shares = [(c, c.constant * g) for c, g in zip(noted, slopes[2:], strict=True) if g is not None]
        # Of a network of straight pieces, all terms together are the line through its outputs.
        number = len(inputs)
        values = [inputs.detach() * slopes[0], *[share for _, share in shares]]
        terms = [_per_sample(v, number) for v in values]
        line = (raw.detach() * slopes[1]).double().sum(dim=1)
        if all(len(term) == number for term in terms):
            size = line.abs() + sum(term.abs() for term in terms)
            if bool(((sum(terms) - line).abs() <= _ROUNDING * size + _ROUNDING).all()):
                parts.append((inputs.detach(), slopes[0], shares))
                continue
        if number == 1:
            raise UnsupportedError(
                f"{_METHOD} needs a network of straight pieces, and the terms of this one do not add up"
            )
        # Samples are not along the first axis everywhere: one at a time they need no axis.
        for row in range(len(problem))[rows]:
            parts += _decomposed(problem.take(slice(row, row + 1)))
    return parts


def _per_sample(values: Tensor, number: int) -> Tensor:
    """Sums (n,) over everything but the samples, in float64; of a single sample over everything."""
    return values.double().flatten(1).sum(dim=1) if number > 1 else values.double().sum().unsqueeze(0)


def _rules(noted: list[_Constants]) -> dict[str, backward_rules.BackwardRule | None]:
    """Rules that leave every gradient as it is and take note of constants."""

    def affine(op: TracedOperation) -> Tensor:
        if op.name == "batch_norm" and not statistics_are_fixed(op):
            raise UnsupportedError(f"{_METHOD} has no rule for batch normalisation without running statistics")
        result: Tensor = op(*op.inputs)
        constant = op(*[torch.zeros_like(x) for x in op.inputs])
        _note(noted, op, result, constant.detach())
        return result

    def bent(op: TracedOperation) -> Tensor:
        (x,) = op.inputs
        result: Tensor = op(x)
        (slope,) = pull_back(op, (x.detach(),), torch.ones_like(result).detach())
        _note(noted, op, result, (result - slope * x).detach())
        return result

    return {
        **dict.fromkeys(backward_rules.WEIGHTED | backward_rules.LINEAR | {"batch_norm"}, affine),
        **dict.fromkeys(_PIECEWISE, bent),
        **dict.fromkeys(backward_rules.MAX_POOLING),
    }


def _note(noted: list[_Constants], op: TracedOperation, result: Tensor, constant: Tensor) -> None:
    if bool(constant.any()):
        noted.append(_Constants(result, constant.expand_as(result), result.ndim == 4 and op.name != "linear"))


def _spread(problem: ProblemView, share: Tensor, number: int, is_map: bool) -> Tensor:
    """Shares of constants as maps (n, *feature_shape) of the same sum."""
    layout = problem.layout
    if layout.kind == "image" and is_map:
        coarse = share.sum(dim=1, keepdim=True)
        size, ones = layout.feature_shape, share.new_ones(1, 1, *layout.feature_shape)

        def enlarge(maps: Tensor) -> Tensor:
            return functional.interpolate(maps, size=size, mode="bilinear", antialias=True)

        (columns,) = pull_back(enlarge, (coarse[:1],), ones)
        return enlarge(coarse / columns).squeeze(1)
    each = (_per_sample(share, number) / layout.n_features).to(share.dtype)
    return each.view(-1, *(1,) * len(layout.feature_shape)).expand(-1, *layout.feature_shape)


def _scaled(values: Tensor) -> Tensor:
    """Magnitudes from 0 to 1 per sample; 0 where all are equal."""
    sizes = values.abs()
    low, high = sizes.flatten(1).amin(dim=1), sizes.flatten(1).amax(dim=1)
    shape = (-1, *(1,) * (values.ndim - 1))
    width = (high - low).view(shape)
    return torch.where(width > 0, (sizes - low.view(shape)) / torch.where(width > 0, width, 1), 0)
