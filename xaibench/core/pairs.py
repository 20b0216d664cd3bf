"""Pairs: the samples of a problem with another model, or with other inputs, for comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.predictor import Predictor
from xaibench.core.truth import Truth


@dataclass(frozen=True)
class Pair:
    """N samples seen otherwise.

    Attributes
    ----------
    model : callable without arguments, or None
        Gives the other model (fitted, or taken from the cache, when it is first asked for).
    inputs : Tensor (N, *input_shape) or None
    labels : Tensor (N,) of int64 or None
    level : float or None
    truth : Truth or None
        What is true of these samples as they are seen here.
    context : mapping of str to Tensor (N, ...) or None
        What goes to the model beside these inputs; None: what goes there beside the samples' own.
    sizes : Tensor (N,) of int64 or None
        Of texts that are longer or shorter than the samples: their sizes. Inputs are then ids as the data set has them,
        and not encoded: the model is asked about them, and they are not explained.
    """

    model: Callable[[], Predictor] | None = None
    inputs: Tensor | None = None
    labels: Tensor | None = None
    level: float | None = None
    truth: Truth | None = None
    context: Mapping[str, Tensor] | None = None
    sizes: Tensor | None = None

    def __getitem__(self, rows: slice | Tensor) -> Pair:
        inputs, labels, sizes = (None if t is None else t[rows] for t in (self.inputs, self.labels, self.sizes))
        truth = None if self.truth is None else self.truth[rows]
        context = None if self.context is None else context_rows(self.context, rows)
        return Pair(self.model, inputs, labels, self.level, truth, context, sizes)
