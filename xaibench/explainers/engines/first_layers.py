"""Which operations with weights are the first ones behind the inputs, and what is known of the inputs there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xaibench.explainers.engines.backward_rules import TracedOperation
from xaibench.explainers.engines.tracing import graph_nodes, tensors

_ELEMENTWISE = frozenset({"add", "batch_norm", "div", "mul", "neg", "sub"})


@dataclass(frozen=True)
class KnownInputs:
    """What is known of a tensor that only moves and scales the inputs.

    Attributes
    ----------
    low, high : Tensor or None
        Bounds of its numbers, where those of the inputs are known.
    real : Tensor
        1 for inputs and 0 for padding.
    """

    low: Tensor | None
    high: Tensor | None
    real: Tensor


class FirstLayers:
    """Follows inputs to the first operations with weights, by what is computed and not by the order of modules.

    Parameters
    ----------
    inputs : Tensor (N, *input_shape)
        The leaf that the network is run on.
    low, high : Tensor, optional
        Bounds of the inputs, of a shape that can be expanded to theirs.
    """

    def __init__(self, inputs: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> None:
        bounds = [None if b is None else b.to(inputs.detach()).expand_as(inputs) for b in (low, high)]
        start = KnownInputs(bounds[0], bounds[1], torch.ones_like(inputs, requires_grad=False))
        self._known: dict[int, tuple[Tensor, KnownInputs]] = {id(inputs): (inputs, start)}
        self._weighted: set[Any] = set()
        self._padded: dict[int, tuple[Tensor, Tensor]] = {}

    def known(self, tensor: Tensor) -> KnownInputs | None:
        """What is known of a tensor, or None where it is more than moved and scaled inputs."""
        found = self._known.get(id(tensor))
        return None if found is None else found[1]

    def real(self, tensor: Tensor) -> Tensor | None:
        """1 where numbers of a tensor were computed, 0 where it was padded; None where nothing is known of padding."""
        known, padded = self.known(tensor), self._padded.get(id(tensor))
        return known.real if known is not None else None if padded is None else padded[1]

    def is_first(self, op: TracedOperation) -> bool:
        """Whether no operation with weights stands between the inputs and this one."""
        return not any(node in self._weighted for node in graph_nodes(op.inputs[0]))

    def note_weighted(self, result: Tensor) -> None:
        """Take note of the result of an operation with weights."""
        self._weighted.add(result.grad_fn)

    def moved(self, op: TracedOperation) -> Any:
        """Compute an operation that moves numbers, and follow them."""
        result = op(*op.inputs)
        if op.name == "pad":
            ones = torch.ones_like(op.inputs[0])
            self._padded[id(result)] = (result, op(2 * ones) - op(ones))
        before = [self.known(t) for t in op.inputs]
        given = [k for k in before if k is not None]
        if len(given) == len(before):
            real = [k.real for k in given]
            # Without the constants that padding may put in.
            twice, once = op(*[2 * r for r in real]), op(*real)
            bounds = []
            for of in ([k.low for k in given], [k.high for k in given]):
                present = [b for b in of if b is not None]
                bounds.append(list(tensors(op(*present))) if len(present) == len(of) else None)
            for i, tensor in enumerate(tensors(result)):
                low, high = (None if b is None else b[i] for b in bounds)
                real_here = list(tensors(twice))[i] - list(tensors(once))[i]
                self._known[id(tensor)] = (tensor, KnownInputs(low, high, real_here))
        return result

    def scales_inputs(self, op: TracedOperation) -> bool:
        """Whether an operation moves and scales every input by itself, as a preprocessing does."""
        known = [self.known(t) for t in op.inputs]
        return len(known) == 1 and known[0] is not None and op.name in _ELEMENTWISE

    def note_scaled(self, op: TracedOperation, result: Tensor) -> None:
        """Follow bounds through such an operation."""
        known = self.known(op.inputs[0])
        if known is None or result.shape != op.inputs[0].shape:
            return
        low = high = None
        if known.low is not None and known.high is not None:
            ends = (op(known.low), op(known.high))
            low, high = torch.minimum(*ends), torch.maximum(*ends)
        self._known[id(result)] = (result, KnownInputs(low, high, known.real))
