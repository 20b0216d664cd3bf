"""Outputs of samples from which features of a set, or those outside of it, are removed at random."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.metrics.engines.perturbation import Block, Perturbations, clean_scores
from xaibench.metrics.maps.orders import ranked, ranks_of

Side = Literal["inside", "outside"]
SHARE = 0.2
"""Share of the features that an explanation stands for where no truth says how many there are."""


def explained_set(ev: Evaluation, share: float | None) -> Tensor:
    """Which features an explanation stands for: the largest attributions, as many as the truth has (N, F) of bool.

    Parameters
    ----------
    ev : Evaluation
    share : float or None
        Share of the features, at least one, instead; None: as many as the truth, or a fifth where there is none.
    """
    n_features = ev.layout.n_features
    truth = None if ev.truth is None else ev.truth.mask
    if share is None and truth is not None:
        sizes = truth.flatten(1).sum(dim=1, keepdim=True)
    else:
        wanted = round((SHARE if share is None else share) * n_features)
        sizes = torch.full((len(ev), 1), min(max(wanted, 1), n_features), device=ev.attributions.device)
    return ranks_of(ranked(ev, "signed")) < sizes


def mean_outputs(
    ev: Evaluation, chosen: Tensor, side: Side, probability: float, *, n_samples: int, masker: str
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
