"""Whether an answer names the features that an autoencoder represents."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array

NAMED_SHARE = 0.1
"""Share of the largest score from which on a feature is named."""


def named_features(scores: Tensor) -> Tensor:
    """Features (F,) whose score is more than a tenth of the largest, by size; NaN is none."""
    sizes = scores.abs().nan_to_num(nan=0.0)
    return sizes > NAMED_SHARE * sizes.max()


@metric(
    "representation_accuracy",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "superposition"},
    skill_valid=True,
    source="after Elhage et al. 2022, Toy models of superposition",
)
def representation_accuracy(ev: CaseEvaluation) -> Array:
    """Whether the features with a score above a tenth of the largest are those that the net represents.

    A feature is represented if the reconstruction explains at least 5 % of its variance.

    Returns
    -------
    array (N,)
        1 or 0.
    """
    pairs = [(named_features(ev.scores(i)), case.hidden["represented"] > 0) for i, case in enumerate(ev.cases)]
    return np.array([float(torch.equal(found, wanted)) for found, wanted in pairs])
