"""Outputs with single features removed or redrawn, evaluated once for all explainers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.masking.maskers import Masker
from xaibench.metrics.engines.exact_outputs import FLOAT32_ROUNDING, above, in_float64
from xaibench.metrics.engines.perturbation import Block, over_copies

EFFECTS_VERSION = 2
"""Of metrics that take exact outputs, and of what is in the shared cache."""
RandomMasker = Literal["uniform", "marginal"]


def without_each(ev: Evaluation, masker: str, draw: int = 0, *, exact: bool = False) -> Tensor:
    """Measured output when each feature alone is masked (N, F), evaluated once for all explainers.

    Parameters
    ----------
    ev : Evaluation
    masker : str
    draw : int
        For maskers that draw their fill: 0 is what all metrics see, other numbers are further draws.
    exact : bool
        Compute in float64, where the model can.
    """

    def evaluate() -> dict[str, Tensor]:
        each = torch.arange(ev.layout.n_features, device=ev.inputs.device).unsqueeze(0)
        mask = drawn_masker(ev, masker, draw)
        if not exact:
            return {"outputs": outputs_without_groups(ev, each, ev.layout.n_features, mask)}
        with in_float64(ev) as model:
            return {"outputs": outputs_without_groups(model, each, ev.layout.n_features, mask)}

    key = ("effects", EFFECTS_VERSION, masker, draw, ev.output, exact)
    return ev.shared.get(key, evaluate)["outputs"].to(ev.inputs.device)


def drawn_masker(ev: Evaluation, masker: str, draw: int) -> Masker:
    """The masker of the evaluation for draw 0, and one with a fresh fill for every other number."""
    if draw == 0:
        return ev.masker(masker)
    return ev.masker_of(f"masker/{masker}#{draw}", masker)


def mean_square_effects(ev: Evaluation, masker: str, n_samples: int) -> tuple[Tensor, Tensor]:
    """Mean squared change of the output as each feature is redrawn (N, F), and its largest magnitude (N, 1), float64.

    Rounding counts as no change. Of values in float64 the magnitude is that of the changes.
    """

    def evaluate() -> dict[str, Tensor]:
        with in_float64(ev) as exact:
            return {"outputs": exact.scores(ev.inputs)}

    clean = ev.shared.get(("effects/clean", EFFECTS_VERSION, ev.output), evaluate)["outputs"].to(ev.inputs.device)
    clean = clean.double().unsqueeze(1)
    outputs = [above(ev, without_each(ev, masker, draw, exact=True), clean) for draw in range(n_samples)]
    clean = above(ev, clean, clean)
    size = torch.cat([clean, *(o.abs().amax(dim=1, keepdim=True) for o in outputs)], dim=1).abs().amax(dim=1)
    total = torch.zeros(len(ev), ev.layout.n_features, dtype=torch.float64, device=ev.inputs.device)
    for changed in outputs:
        change = changed.double() - clean
        total += change.masked_fill_(change.abs() <= FLOAT32_ROUNDING * size.unsqueeze(1), 0).square_()
    return total / n_samples, size.unsqueeze(1)


def outputs_without_groups(ev: Evaluation, groups: Tensor, n_groups: int, mask: Masker) -> Tensor:
    """Measured output (N, n_groups) without the features of each group; ``groups`` (N or 1, F) says whose they are."""
    groups = groups.expand(len(ev), -1).view(-1, 1, *ev.layout.feature_shape)
    ones = [1] * len(ev.layout.feature_shape)

    def without(block: Block) -> Tensor:
        number = torch.arange(block.copies.start, block.copies.stop, device=groups.device)
        return ev.scores(mask.copies(block.rows, groups[block.rows] != number.view(1, -1, *ones)), block.index)

    return over_copies(ev, n_groups, without)
