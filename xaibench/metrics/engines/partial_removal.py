"""Outputs of samples from which features of a set, or those outside of it, are removed at random."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.metrics.engines.perturbation import Block, Perturbations, clean_scores

SetSide = Literal["inside", "outside"]


def mean_outputs(
    ev: Evaluation, chosen: Tensor, side: SetSide, probability: float, *, n_samples: int, masker: str
) -> Tensor:
    """Mean measured output (N,) when every feature on one side of a set is removed with some probability.

    Parameters
    ----------
    ev : Evaluation
    chosen : Tensor (N, F) of bool
        The set.
    side : {"inside", "outside"}
        Features of the set are removed, or those outside of it.
    probability : float
    n_samples : int
        Draws; one alone where nothing is random. They are the same for all sets, so that sets are compared in pairs.
    masker : str
    """
    mask, clean = ev.masker(masker), clean_scores(ev)
    n_draws = 1 if probability in (0.0, 1.0) else n_samples
    sides = chosen if side == "inside" else ~chosen
    shape = ev.layout.feature_shape

    def measure(block: Block, drawn: Tensor) -> Tensor:
        keep = ~(sides[block.rows].unsqueeze(1) & (drawn < probability))
        copies = mask.copies(block.rows, keep.view(*keep.shape[:2], *shape))
        found = ev.scores(copies, block.index)
        # A sample from which nothing is removed has exactly its own output.
        return torch.where(keep.flatten(0, 1).all(dim=1), block.copies_of(clean), found)

    def draw(block: Block) -> Tensor:
        return block.draws.uniform((block.n_copies, ev.layout.n_features))

    return Perturbations(n_draws, f"partial removal/{side}", draw).numbers(ev, measure).mean(dim=1)
