"""Rules for operations with weights: batch normalisation merged into them, and what stands before the first."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.explainers.engines import affine_layers, backward_rules
from xaibench.explainers.engines.backward_rules import BackwardRule, TracedOperation, statistics_are_fixed
from xaibench.explainers.engines.first_layers import FirstLayers
from xaibench.explainers.engines.relevance_rules import pass_relevance

LayerRule = Callable[[TracedOperation], Tensor]


def weighted_rules(
    method: str,
    inner: LayerRule,
    outer: LayerRule | None,
    first: FirstLayers,
    *,
    linear: LayerRule,
    unmerged: LayerRule,
) -> dict[str, BackwardRule | None]:
    """Rules of operations with weights, of other linear ones, and of batch normalisation, for one pass.

    Parameters
    ----------
    method : str
        Name for messages.
    inner : callable
        Rule of convolutions and dense layers.
    outer : callable, optional
        Rule of those that the inputs reach first. With it, elementwise preprocessing passes relevance on.
    first : FirstLayers
    linear : callable
        Rule of linear operations without weights.
    unmerged : callable
        Rule of batch normalisation that stands behind no layer whose output channels it scales.
    """
    affine: dict[int, tuple[Tensor, TracedOperation, LayerRule]] = {}

    def apply(op: TracedOperation, rule: LayerRule) -> Tensor:
        result = rule(op)
        affine[id(result)] = (result, op, rule)
        first.note_weighted(result)
        return result

    def weighted(op: TracedOperation) -> Tensor:
        return apply(op, outer if outer is not None and first.is_first(op) else inner)

    def scaled(op: TracedOperation, rule: LayerRule) -> Tensor:
        if outer is None or not first.scales_inputs(op):
            return rule(op)
        result = pass_relevance(op) if op(*op.inputs).shape == op.inputs[0].shape else rule(op)
        first.note_scaled(op, result)
        return result

    def normalise(op: TracedOperation) -> Tensor:
        if not statistics_are_fixed(op):
            raise UnsupportedError(f"{method} has no rule for batch normalisation without running statistics")
        found = affine.get(id(op.inputs[0]))
        if found is None or affine_layers.channel_axis(found[1], found[0]) != 1:
            return scaled(op, unmerged)
        _, before, rule = found
        return apply(affine_layers.with_norm_merged(before, op), rule)

    moving = dict.fromkeys(backward_rules.REARRANGING, first.moved) if outer is not None else {}
    return {
        **moving,
        **dict.fromkeys(backward_rules.WEIGHTED, weighted),
        **dict.fromkeys(backward_rules.LINEAR, lambda op: scaled(op, linear)),
        "batch_norm": normalise,
    }
