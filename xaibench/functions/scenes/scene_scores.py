"""Whether the predicate that an answer names is the true one, and how well it separates pictures."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array

TIE = 1e-9
"""Scores that differ by less than this, as a share of the largest, are equal."""
_of_scenes = partial(
    metric,
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "scene"},
    skill_valid=True,
    source="after Rott Shaham et al. 2024, A multimodal automated interpretability agent (MAIA)",
)
"""A score of predicates of pictures."""


def named_predicates(scores: Tensor) -> Tensor:
    """Predicates (P,) of bool with the largest score; several where they tie. NaN is none."""
    known = scores.nan_to_num(nan=-torch.inf)
    best = known.max()
    return known >= best - TIE * best.abs()


@_of_scenes("scene_concept")
def scene_concept(ev: CaseEvaluation) -> Array:
    """Whether the predicate with the largest score is the true one; of several that tie, the share that it is.

    Returns
    -------
    array (N,)
    """
    found = []
    for i, _ in enumerate(ev.cases):
        named = named_predicates(ev.scores(i))
        true = ev.truth(i) > 0
        found.append(float((named & true).any()) / float(named.sum()))
    return np.array(found)


@_of_scenes("scene_auroc")
def scene_auroc(ev: CaseEvaluation) -> Array:
    """AUROC of the predicate with the largest score on twenty firing and twenty silent pictures; mean over ties.

    Returns
    -------
    array (N,)
    """
    found = []
    for i, case in enumerate(ev.cases):
        inside = case.hidden["tested"][:, named_predicates(ev.scores(i))].double()
        fires = case.hidden["fires"]
        firing, silent = inside[fires].mean(dim=0), inside[~fires].mean(dim=0)
        found.append(float(((1 + firing - silent) / 2).mean()))
    return np.array(found)
