"""Layer-wise relevance propagation, LRP (Bach et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.features import FeatureLayout
from xaibench.core.input_gradients import input_gradient
from xaibench.core.masking.missing import observed_range
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines import backward_rules
from xaibench.explainers.engines.backward_rules import BackwardRule, RuleMode, TracedOperation, pull_back
from xaibench.explainers.engines.channels import Channels, per_feature
from xaibench.explainers.engines.first_layers import FirstLayers
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.engines.relevance_rules import (
    activation_rule,
    alpha_beta_rule,
    box_rule,
    epsilon_rule,
    flat_rule,
    gamma_rule,
    pass_relevance,
    plus_rule,
)
from xaibench.explainers.engines.tracing import run_tracked
from xaibench.explainers.engines.weighted_layers import LayerRule, weighted_rules

Composite = Literal[
    "epsilon_plus",
    "epsilon",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box",
    "gamma",
]


def _reads_background(params: Mapping[str, Any]) -> bool:
    return params["rule"] == "epsilon_gamma_box" and (params["low"] is None or params["high"] is None)


@explainer(
    "lrp",
    version=2,
    kind="contribution",
    needs={"module"},
    uses_background=_reads_background,
    unkeyed_defaults={"gamma", "low", "high"},
)
def lrp(
    problem: ProblemView,
    *,
    rule: Composite = "epsilon_plus",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
    low: float | None = None,
    high: float | None = None,
    channels: Channels = "sum",
) -> Tensor:
    """Layer-wise relevance propagation (Bach et al. 2015).

    The relevance of the raw outputs is their value times the gradient of the explained output (for
    a logit: the logit itself). Activations pass relevance on unchanged, max pooling gives it to the
    winner, sums and means divide it by their terms. Batch normalisation with fixed statistics is
    merged into the convolution or dense layer whose output channels it scales. Where none stands
    directly before it (networks with pre-activation, DenseNet) or the axes differ (behind a dense
    layer on sequences, which has its channels last), the rule says what becomes of it.

    The authors of the method claim a patent on it.

    Parameters
    ----------
    rule : str
        ``epsilon_plus``: the z+ rule for convolutions, epsilon for dense layers; unmerged batch
        normalisation passes relevance on unchanged (Kohlbrenner et al. 2020).
        ``epsilon``: the epsilon rule for every affine operation, unmerged batch normalisation among
        them; in a ReLU network with a small epsilon that is input times gradient (Ancona et al. 2018,
        Prop. 1).
        ``epsilon_alpha2_beta1``: as epsilon_plus, with the alpha-beta rule (2, 1) for convolutions.
        ``epsilon_plus_flat``, ``epsilon_alpha2_beta1_flat``: the first layers behind the inputs, found by what is
        computed, divide their relevance equally among their inputs.
        ``epsilon_gamma_box``: the first layers by the z^B rule between ``low`` and ``high``, the gamma rule for other
        convolutions, epsilon for dense layers (Montavon et al. 2019).
        ``gamma``: the gamma rule for convolutions and dense layers.
        Elementwise preprocessing before layers that flat or z^B is for, such as a standardisation, passes
        relevance on unchanged.
    epsilon : float
        Stabiliser of divisions, in units of the activations.
    gamma : float
        How much more terms of the unit's own sign count, for the rules of this name.
    low, high : float, optional
        Bounds of the inputs for ``epsilon_gamma_box``. Default: the range of the background, per channel, sensor or
        column.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.

    Raises
    ------
    UnsupportedError
        If the network holds an operation that has no rule, such as attention or recurrence, or if the
        pass over it does not give the model's own outputs. For z^B, if the bounds of the inputs are unknown.
    """
    if epsilon <= 0:
        raise UsageError(f"epsilon must be positive, not {epsilon}")
    if gamma < 0:
        raise UsageError(f"gamma must not be negative, and it is {gamma}")
    bounds = input_bounds(problem, low, high) if rule == "epsilon_gamma_box" else None
    if rule == "epsilon_gamma_box" and bounds is None:
        raise UnsupportedError(
            "the z^B rule needs the lowest and the highest value of inputs, and there is no background that has them",
            "pass low= and high=, or background=, reference samples",
        )
    model = require_module(problem.model)
    maps = []
    for inputs, rows, context in model_batches(problem, model):
        first = FirstLayers(inputs, *(bounds or ()))
        raw = run_tracked(model, RuleMode("LRP", _rules(rule, epsilon, gamma, first)), inputs, context)

        def picked(raw: Tensor, rows: slice = rows) -> Tensor:
            return problem.select(raw, rows)

        (slopes,) = pull_back(picked, (raw,), torch.ones_like(raw[:, 0]).detach())
        maps.append(input_gradient(raw, inputs, raw.detach() * slopes))
    return per_feature(problem, torch.cat(maps), channels)


def input_bounds(problem: ProblemView, low: float | None, high: float | None) -> tuple[Tensor, Tensor] | None:
    """Lowest and highest value of inputs: as given, else of the background; None where neither says.

    Returns
    -------
    tuple of Tensor
        Of shapes that can be expanded to the inputs'.

    Raises
    ------
    UsageError
        Unless the lowest is below the highest.
    """
    found: tuple[Tensor | None, Tensor | None] = (None, None)
    if (low is None or high is None) and problem.background is not None:
        found = observed_range(problem.background, _range_axes(problem.layout))
    ends = [
        own if given is None else problem.inputs.new_tensor(given)
        for given, own in zip((low, high), found, strict=True)
    ]
    lowest, highest = ends
    if lowest is None or highest is None:
        if lowest is not None or highest is not None:
            raise UsageError("one bound of the inputs is given, and there is no background for the other", "pass both")
        return None
    if bool((lowest > highest).any()) or (low is not None and low == high):
        raise UsageError("low must be below high", "give the range of the inputs, for example low=0 and high=1")
    return lowest, highest


def _range_axes(layout: FeatureLayout) -> tuple[int, ...]:
    """Axes that a range is taken over: all but the columns of a table, and the channels of other data."""
    if layout.kind == "table":
        return (0,)
    inside = len(layout.input_shape)
    own = () if layout.channels is None else ((inside,) if layout.slot else (1,))
    return tuple(axis for axis in range(inside + 1) if axis not in own)


def _rules(rule: Composite, epsilon: float, gamma: float, first: FirstLayers) -> dict[str, BackwardRule | None]:
    """Rules for one pass over the network; batch normalisation must know what came before it."""
    convolution: dict[str, LayerRule] = {
        **dict.fromkeys(("epsilon_plus", "epsilon_plus_flat"), lambda op: plus_rule(op, epsilon)),
        **dict.fromkeys(
            ("epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat"), lambda op: alpha_beta_rule(op, 2, 1, epsilon)
        ),
        **dict.fromkeys(("epsilon_gamma_box", "gamma"), lambda op: gamma_rule(op, gamma, epsilon)),
    }
    dense: dict[str, LayerRule] = {"gamma": lambda op: gamma_rule(op, gamma, epsilon)}

    def by_epsilon(op: TracedOperation) -> Tensor:
        return epsilon_rule(op, epsilon)

    def inner(op: TracedOperation) -> Tensor:
        return (convolution if "conv" in op.name else dense).get(rule, by_epsilon)(op)

    def outer(op: TracedOperation) -> Tensor:
        known = first.known(op.inputs[0])
        if rule != "epsilon_gamma_box":
            return flat_rule(op, first.real(op.inputs[0]))
        if known is None or known.low is None or known.high is None:
            raise UnsupportedError(
                "the z^B rule needs to know between what bounds the inputs of the first layer are, and this model does "
                "more to its inputs than move and scale them",
                "other rules, such as epsilon_plus_flat, need no bounds",
            )
        return box_rule(op, known.low, known.high, epsilon)

    special = rule.endswith(("_flat", "_box"))
    return {
        **weighted_rules(
            "LRP", inner, outer if special else None, first,
            linear=by_epsilon, unmerged=by_epsilon if rule == "epsilon" else pass_relevance,
        ),
        **dict.fromkeys(backward_rules.ACTIVATIONS, lambda op: activation_rule(op, "LRP")),
        **dict.fromkeys(backward_rules.MAX_POOLING),
    }  # fmt: skip
