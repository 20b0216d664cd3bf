"""Noisy copies around every sample: how far explanation, input and model move on the way there.

All robustness metrics of one radius and number of draws share them. Only numbers per copy are
kept, so memory does not grow with the size of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import require_module
from xaibench.metrics.hidden import Layer, Representation
from xaibench.metrics.perturbation import Block, blocks

VERSION = 1
"""Of what is kept in the shared cache."""
NEAR_ZERO = 1e-3
"""Entries below this share of their sample's largest magnitude count as that much in a relative change.

float32 knows the entries of a gradient to about 1e-7 of the largest: the change relative to a
smaller entry would depend on the batch.
"""
ROUNDING = 1e-6
"""Changes up to this share of what changes are rounding, and count as none in a ratio."""


@dataclass(frozen=True)
class Change:
    """How far something moves between N samples and their copies.

    Attributes
    ----------
    absolute : Tensor (N, n_samples)
        L2 norm of the difference.
    element : Tensor (N, n_samples)
        L2 norm of the difference divided, entry by entry, by what the sample has there (see
        `NEAR_ZERO` and `ROUNDING`); NaN where the sample is all zero.
    size : Tensor (N,), float64
        L2 norm of what the sample has.
    """

    absolute: Tensor
    element: Tensor
    size: Tensor

    @classmethod
    def empty(cls, ev: Evaluation, n_samples: int) -> Change:
        """Room for the changes of all copies, to be filled by `measure`."""
        shape, where = (len(ev), n_samples), ev.inputs.device
        size = torch.empty(len(ev), dtype=torch.float64, device=where)
        return cls(torch.empty(shape, device=where), torch.empty(shape, device=where), size)

    def measure(self, block: Block, own: Tensor, found: Tensor) -> None:
        """Measure the copies of a block.

        Parameters
        ----------
        block : Block
            n samples with m copies each.
        own : Tensor (n, ...)
            What the samples have.
        found : Tensor (n * m, ...)
            What the copies have.
        """
        at = block.rows, block.copies
        own = own.flatten(1).double().unsqueeze(1)
        difference = found.flatten(1).double().view(block.n_samples, block.n_copies, -1) - own
        magnitude = own.abs()
        peak = magnitude.amax(dim=2, keepdim=True)
        scale = torch.where(peak > 0, torch.maximum(magnitude, NEAR_ZERO * peak), torch.nan)
        self.size[block.rows] = torch.linalg.vector_norm(own, dim=2).squeeze(1).to(self.size)
        self.absolute[at] = torch.linalg.vector_norm(difference, dim=2).to(self.absolute)
        steady = difference.abs() <= ROUNDING * peak
        share = difference.div_(scale).masked_fill_(steady & (peak > 0), 0)
        self.element[at] = torch.linalg.vector_norm(share, dim=2).to(self.element)

    @property
    def relative(self) -> Tensor:
        """L2 norm of the difference divided by that of the sample (N, n_samples), float64; NaN where that is 0."""
        size = self.size.unsqueeze(1)
        return torch.where(size > 0, self.absolute / size, torch.nan)

    @property
    def steady(self) -> Tensor:
        """Whether the whole has not changed by more than rounding (N, n_samples)."""
        size = self.size.unsqueeze(1)
        return (self.absolute <= ROUNDING * size) & (size > 0)


def copies(ev: Evaluation, radius: float, n_samples: int) -> Iterator[tuple[Block, Tensor]]:
    """Blocks of copies with their inputs (n * m, *input_shape): noise from U(-radius, radius) in every number."""
    for block in blocks(ev, n_samples, ev.draws(f"robustness/{radius}")):
        noise = radius * (2 * block.draws.uniform((block.n_copies, *ev.layout.input_shape)) - 1)
        yield block, block.copies_of(ev.inputs) + noise.flatten(0, 1)


def explanation_change(ev: Evaluation, radius: float, n_samples: int) -> Change:
    """How far the explanation moves; copies are explained once per explanation, with the draws of their samples."""

    def compute() -> Change:
        change = Change.empty(ev, n_samples)
        for block, inputs in copies(ev, radius, n_samples):
            change.measure(block, ev.attributions[block.rows], ev.explain(inputs=inputs, rows=block.index))
        return change

    found: Change = ev.reuse(f"robustness/{radius}/{n_samples}", compute)
    return found


def input_change(ev: Evaluation, radius: float, n_samples: int) -> Change:
    """How far the input moves, once for all explainers."""

    def compute() -> dict[str, Tensor]:
        change = Change.empty(ev, n_samples)
        for block, inputs in copies(ev, radius, n_samples):
            change.measure(block, ev.inputs[block.rows], inputs)
        return vars(change)

    return Change(**ev.shared.get(("robustness", VERSION, "inputs", radius, n_samples), compute))


def model_change(ev: Evaluation, radius: float, n_samples: int, layer: Layer | None = None) -> tuple[Change, Tensor]:
    """How far the model moves, evaluated once for all explainers.

    Parameters
    ----------
    ev : Evaluation
    radius : float
    n_samples : int
    layer : {"first", "penultimate"}, optional
        A hidden representation (see `Representation`) instead of the raw outputs.

    Returns
    -------
    change : Change
    same_class : Tensor (N, n_samples) of bool
        Whether the model predicts the class that it predicts for the sample. A model of values has
        no classes; all its copies stay.
    """
    look: Callable[[Tensor], tuple[Tensor, Tensor]] = (
        _outputs(ev) if layer is None else Representation(require_module(ev.model), layer, ev.inputs[:1])
    )

    def compute() -> dict[str, Tensor]:
        change = Change.empty(ev, n_samples)
        same_class = torch.ones_like(change.absolute, dtype=torch.bool)
        rows, raw, own = slice(0, 0), ev.inputs, ev.inputs
        for block, inputs in copies(ev, radius, n_samples):
            if block.rows != rows:
                rows, (raw, own) = block.rows, look(ev.inputs[block.rows])
            raw_there, found = look(inputs)
            change.measure(block, own, found)
            if ev.model.returns != "value":
                there = raw_there.argmax(dim=1).view(block.n_samples, block.n_copies)
                same_class[block.rows, block.copies] = (there == raw.argmax(dim=1).unsqueeze(1)).to(same_class.device)
        return {**vars(change), "same_class": same_class}

    found = dict(ev.shared.get(("robustness", VERSION, layer or "outputs", radius, n_samples), compute))
    same_class = found.pop("same_class")
    return Change(**found), same_class


def _outputs(ev: Evaluation) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    def look(inputs: Tensor) -> tuple[Tensor, Tensor]:
        raw = ev.model.predict(inputs)
        return raw, raw

    return look
