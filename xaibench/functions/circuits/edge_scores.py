"""AUROC of edge scores: how well they separate the edges of a circuit from the other edges."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array

FLOOR_SHARE = 1e-6
"""Scores below this share of the largest are rounding, and count as 0."""
_SOURCE = "Syed et al. 2023, Attribution patching outperforms automated circuit discovery: ROC of edges"


def sizes_of(scores: Tensor) -> Array:
    """Sizes of scores (E,): 0 below a millionth of the largest, -1 where there is none."""
    sizes = scores.abs()
    largest = sizes.nan_to_num(nan=0.0).max()
    sizes = torch.where(sizes < FLOOR_SHARE * largest, 0.0, sizes)
    found: Array = sizes.nan_to_num(nan=-1.0).numpy()
    return found


def edge_auroc(scores: Tensor, labels: Tensor) -> float:
    """Probability that a labelled edge has a larger score, by size, than another one; ties count one half.

    Parameters
    ----------
    scores : Tensor (E,)
        NaN ranks last.
    labels : Tensor (E,)
        1 or 0.

    Returns
    -------
    float
        NaN if the labels are all equal.
    """
    if bool((labels == labels[0]).all()):
        return float("nan")
    return float(roc_auc_score(labels.numpy(), sizes_of(scores)))


def _aurocs(ev: CaseEvaluation, labels: str) -> Array:
    return np.array([edge_auroc(ev.scores(i), case.hidden[labels]) for i, case in enumerate(ev.cases)])


_of_edges = partial(
    metric,
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "circuit"},
    skill_valid=True,
    source=_SOURCE,
)
"""A score of edges against the wiring."""


@_of_edges("edge_auroc_wiring")
def edge_auroc_wiring(ev: CaseEvaluation) -> Array:
    """AUROC of the sizes of scores against the wired edges: on a path to the output, constant messages included.

    A method that sees all but the constant edges, u of |T|, has 1 - u/(2|T|).

    Returns
    -------
    array (N,)
        Scores below a millionth of the largest count as 0, and ties one half.
    """
    return _aurocs(ev, "wiring")


@_of_edges("edge_auroc_variable")
def edge_auroc_variable(ev: CaseEvaluation) -> Array:
    """AUROC of the sizes of scores against the wired edges whose message depends on the input.

    Returns
    -------
    array (N,)
        Scores below a millionth of the largest count as 0, and ties one half.
    """
    return _aurocs(ev, "variable")
