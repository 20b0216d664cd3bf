"""Outputs that do not depend on the batch, for metrics that compare outputs and ask which is larger.

What rounding adds to an output changes with what else is in the batch and with the processor. Between
outputs that are equal but for rounding it would decide, so such outputs count as equal; and where
the model can, it computes in float64, or what lies at the limit of that would change all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import computing_in_float64
from xaibench.core.storage.cache import MemoryCache, SharedCache

FLOAT32_ROUNDING = 1e-6
"""Differences up to this share of the largest of the numbers are rounding in float32."""
FLOAT64_ROUNDING = 1e-10
"""The same in float64."""
VALUE_ROUNDING = 1e-13
"""Differences of values in float64 up to this share of the values are rounding."""


@contextmanager
def in_float64(ev: Evaluation, rows: Tensor | None = None) -> Iterator[Evaluation]:
    """The evaluation, of some ``rows`` of int64 if they are given, of the model in float64, or as it is if it cannot.

    It has caches of its own, and its evaluations are counted for the model of ``ev``.
    """
    exact = replace(ev, cache=MemoryCache(), shared=SharedCache())
    if rows is not None:
        exact = replace(
            exact,
            inputs=ev.inputs[rows],
            targets=ev.targets[rows],
            digests=tuple(ev.digests[i] for i in rows.tolist()),
            foils=None if ev.foils is None else ev.foils[rows],
            clusters=None,
            units=None if ev.units is None else ev.units[rows],
            labels=None if ev.labels is None else ev.labels[rows],
            attributions=ev.attributions[rows],
            truth=None if ev.truth is None else ev.truth[rows],
            explainer=None,
            pairs={},
            context=context_rows(ev.context, rows),
        )
    with computing_in_float64(ev.model, ev.inputs, ev.context or None) as model:
        yield replace(exact, model=model)


def rounding_of(outputs: Tensor) -> float:
    """The share of the largest number up to which differences of such outputs are rounding."""
    return FLOAT64_ROUNDING if outputs.dtype == torch.float64 else FLOAT32_ROUNDING


def above(ev: Evaluation, outputs: Tensor, level: Tensor) -> Tensor:
    """Outputs (N, m) less ``level`` (N, 1) where they are values in float64, other outputs as they are.

    What goes by the size of outputs, such as a tolerance, would not see small differences of large values: those of
    100 000 000 and 100 000 001. Differences that are rounding are 0.
    """
    if ev.model.returns != "value" or outputs.dtype != torch.float64:
        return outputs
    size = torch.maximum(outputs.abs().amax(dim=1, keepdim=True), level.abs())
    found = outputs - level
    return found.masked_fill_(found.abs() <= VALUE_ROUNDING * size, 0)


def merged(values: Tensor, tolerance: Tensor) -> Tensor:
    """Values (N, F), those that are equal but for rounding made equal: neighbours at most ``tolerance`` (N,) apart."""
    ordered, order = values.sort(dim=1)
    new = torch.ones_like(order)
    new[:, 1:] = ordered.diff(dim=1) > tolerance.unsqueeze(1)
    first = torch.where(new.bool(), torch.arange(values.shape[1], device=values.device), 0).cummax(dim=1).values
    return torch.empty_like(values).scatter_(1, order, ordered.gather(1, first))
