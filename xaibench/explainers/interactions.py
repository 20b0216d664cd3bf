"""Interactions of pairs of columns: indices of all coalitions, and integrated Hessians."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError, UsageError, did_you_mean
from xaibench.core.explaining import check_masker
from xaibench.core.masking.names import DRAWN, FILLING
from xaibench.core.problem import ProblemView
from xaibench.explainers.engines.coalitions import all_coalitions, coalition_values, make_players
from xaibench.explainers.engines.integrated_hessians import integrated_hessians
from xaibench.explainers.engines.interactions import INDICES

InteractionIndex = Literal[
    "shapley_interaction", "shapley_taylor", "banzhaf_interaction", "pair_occlusion", "integrated_hessians"
]
MOST_PLAYERS = 12
"""Features of which all coalitions are evaluated."""


def find_interactions(view: ProblemView, index: InteractionIndex, masker: str) -> Tensor:
    """Main effects and interactions of pairs (N, d, d), float64; see `xaibench.interactions`.

    Parameters
    ----------
    view : ProblemView
    index : str
    masker : str
        What takes the place of a column that is left out.

    Raises
    ------
    UsageError
        If there is no such index or masker.
    UnsupportedError
        If features are not 2 to 12 columns of a table, or the masker draws again for every coalition.
    """
    known = (*INDICES, "integrated_hessians")
    if index not in known:
        raise UsageError(f"there is no interaction index {index!r}", did_you_mean(index, list(known)))
    if masker in DRAWN and masker not in FILLING:
        raise UnsupportedError(
            f"masker {masker!r} draws again for every coalition, and its draws would pass for interactions",
            "use zero, mean, or marginal: one row of the background per sample",
        )
    check_masker({"masker": masker}, view)
    if index == "integrated_hessians":
        return integrated_hessians(view, baseline=masker)
    d = view.layout.n_features
    if view.layout.kind != "table" or not 2 <= d <= MOST_PLAYERS:
        raise UnsupportedError(
            f"interactions of all coalitions are of tables of 2 to {MOST_PLAYERS} columns, not of {d} features "
            f"of {view.layout.kind} data",
            "group columns, or leave some out",
        )
    players = make_players(view, None)
    coalitions = all_coalitions(d).to(view.inputs.device)
    values = torch.cat(
        [coalition_values(view.take(slice(i, i + 1)), players, coalitions, masker).double() for i in range(len(view))]
    )
    return INDICES[index](values)
