"""Noisy copies around every sample: how far explanation, input and model output move.

All robustness metrics of one radius and number of draws share them. Only numbers per copy are
cached, so memory does not grow with the size of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.outputs import has_classes, label_threshold
from xaibench.core.predictor import require_module
from xaibench.metrics.engines.exact_outputs import FLOAT32_ROUNDING
from xaibench.metrics.engines.perturbation import Block, SharedCopies, clean_raw
from xaibench.metrics.engines.representations import Layer, Representation

NOISY_COPIES_VERSION = 1
"""Of what is in the shared cache."""
NEAR_ZERO = 1e-3
"""Entries below this share of their sample's largest magnitude count as that much in a relative change.

float32 knows the entries of a gradient to about 1e-7 of the largest: the change relative to a
smaller entry would depend on the batch.
"""


@dataclass(frozen=True)
class Change:
    """How far something moves between N samples and their copies.

    Attributes
    ----------
    absolute : Tensor (N, n_samples)
        L2 norm of the difference.
    element : Tensor (N, n_samples)
        L2 norm of the difference divided, entry by entry, by what the sample has there (see
        `NEAR_ZERO` and `FLOAT32_ROUNDING`); NaN where the sample is all zero.
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
        own = own.flatten(1).unsqueeze(1)
        difference = found.flatten(1).view(block.n_samples, block.n_copies, -1) - own
        magnitude = own.abs()
        peak = magnitude.amax(dim=2, keepdim=True)
        scale = torch.where(peak > 0, torch.maximum(magnitude, NEAR_ZERO * peak), torch.nan)
        self.size[block.rows] = torch.linalg.vector_norm(own, dim=2).squeeze(1).to(self.size)
        self.absolute[at] = torch.linalg.vector_norm(difference, dim=2).to(self.absolute)
        share = torch.where(difference.abs() <= FLOAT32_ROUNDING * peak, 0, difference) / scale
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
        return (self.absolute <= FLOAT32_ROUNDING * size) & (size > 0)


def noise(ev: Evaluation, radius: float, n_samples: int) -> SharedCopies:
    """Copies with noise from U(-radius, radius) in every input number that is a quantity."""
    ev.layout.require_quantities("noise")

    def draw(block: Block) -> Tensor:
        drawn = radius * (2 * block.draws.uniform((block.n_copies, *ev.layout.input_shape)) - 1)
        return ev.layout.only_quantities(drawn, "noise")

    def build(block: Block, drawn: Tensor) -> Tensor:
        return block.copies_of(ev.inputs) + drawn.flatten(0, 1)

    return SharedCopies(n_samples, f"robustness/{radius}", draw, build=build)


def explanation_change(ev: Evaluation, radius: float, n_samples: int) -> Change:
    """How far the explanation moves; copies are explained once per explanation, with the draws of their samples."""

    def own(rows: slice) -> Tensor:
        return ev.attributions[rows].double()

    def found(block: Block, inputs: Tensor) -> Tensor:
        return ev.explain(ExplainRequest(inputs=inputs, rows=block.index)).double()

    key = f"robustness/{radius}/{n_samples}"
    change: Change = ev.reuse(key, lambda: _change(ev, noise(ev, radius, n_samples), own, found))
    return change


def input_change(ev: Evaluation, radius: float, n_samples: int) -> Change:
    """How far the input moves, once for all explainers."""

    def compute() -> dict[str, Tensor]:
        return vars(
            _change(
                ev,
                noise(ev, radius, n_samples),
                lambda rows: ev.inputs[rows].double(),
                lambda _block, inputs: inputs.double(),
            )
        )

    return Change(**ev.shared.get(("robustness", NOISY_COPIES_VERSION, "inputs", radius, n_samples), compute))


def output_change(ev: Evaluation, radius: float, n_samples: int) -> Tensor:
    """L2 norm (N, n_samples) of the change of the model's raw outputs, evaluated once for all explainers."""
    raw = noise(ev, radius, n_samples).raw(ev).double()
    change: Tensor = torch.linalg.vector_norm(raw - clean_raw(ev).unsqueeze(1), dim=2)
    return change


def same_class(ev: Evaluation, radius: float, n_samples: int) -> Tensor:
    """Which copies (N, n_samples) keep the class that the model predicts for the sample; all where there are none."""
    return _same_class(ev, clean_raw(ev), noise(ev, radius, n_samples).raw(ev))


def representation_change(ev: Evaluation, radius: float, n_samples: int, layer: Layer) -> tuple[Change, Tensor]:
    """How far a hidden representation moves, with `same_class` of the same evaluations, once for all explainers."""

    def compute() -> dict[str, Tensor]:
        context = context_rows(ev.context, slice(0, 1))
        look = Representation(require_module(ev.model), layer, ev.inputs[:1], context)
        same = torch.empty(len(ev), n_samples, dtype=torch.bool, device=ev.inputs.device)
        raw: list[Tensor] = [ev.inputs]

        def own(rows: slice) -> Tensor:
            raw[0], hidden = look(ev.inputs[rows], lambda inputs: ev.predict(inputs, rows))
            return hidden

        def found(block: Block, inputs: Tensor) -> Tensor:
            there, hidden = look(inputs, lambda inputs: ev.predict(inputs, block.index))
            there = there.view(block.n_samples, block.n_copies, -1)
            same[block.rows, block.copies] = _same_class(ev, raw[0], there).to(same.device)
            return hidden

        return {**vars(_change(ev, noise(ev, radius, n_samples), own, found)), "kept": same}

    values = dict(ev.shared.get(("robustness", NOISY_COPIES_VERSION, layer, radius, n_samples), compute))
    same = values.pop("kept")
    return Change(**values), same


def _same_class(ev: Evaluation, own: Tensor, there: Tensor) -> Tensor:
    """Whether raw outputs (n, m, C) name the class of ``own`` (n, C), or the same labels."""
    if ev.model.returns == "value":
        return torch.ones(there.shape[:2], dtype=torch.bool, device=there.device)
    if not has_classes(ev.model.returns):
        least = label_threshold(ev.model.returns)
        return ((there > least) == (own > least).unsqueeze(1)).all(dim=2)
    return there.argmax(dim=2) == own.argmax(dim=1, keepdim=True)


def _change(
    ev: Evaluation, probes: SharedCopies, own: Callable[[slice], Tensor], found: Callable[[Block, Tensor], Tensor]
) -> Change:
    """Change between what the samples of a block have, and what its copies have (n * m, ...)."""
    change = Change.empty(ev, probes.n_copies)

    def measure(block: Block, drawn: Tensor) -> None:
        change.measure(block, own(block.rows), found(block, probes.build(block, drawn)))

    probes.over(ev, measure)
    return change


def largest(values: Tensor, allowed: Tensor) -> Tensor:
    """Largest of the allowed ``values`` (N, n_samples) of each sample (N,); NaN where none is."""
    found = torch.where(allowed, values, -torch.inf).amax(dim=1)
    return torch.where(allowed.any(dim=1), found, torch.nan)
