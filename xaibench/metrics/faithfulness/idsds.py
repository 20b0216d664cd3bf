"""In-domain single deletion score (Hesse et al. 2024): effects of single cells on a model that knows missing cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.registry import metric
from xaibench.core.types import Array, Share
from xaibench.metrics.engines.gap_training import trained_with_gaps
from xaibench.metrics.engines.pairs import true_labels
from xaibench.metrics.maps.similarity import is_constant, spearman


@metric(
    "idsds",
    family="faithfulness",
    construct="in_domain_deletion",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"image", "reexplain", "retrain", "labels"},
    source="Hesse, Schaub-Meyer & Roth 2024, Benchmarking the attribution quality of vision models (IDSDS)",
    undefined_for={"zero maps", "constant maps"},
)
def idsds(ev: Evaluation, *, cells: Annotated[int, Ge(2)] = 4, min_kept: Share = 0.9, max_lost: Share = 0.02) -> Tensor:
    """Rank correlation of the sums of a map over cells with what the loss of each cell does to the logit of the label.

    The model is one that knows images with a missing cell: the recipe is fitted again to training images of which half
    have lost one (in the paper the network is tuned further). That model is explained, and asked. Its scores are
    about another model than the board's: compare them with each other only.

    Sums are signed, over all pixels of a cell: maps that are all positive lose by definition, which is a finding of the
    paper. Slopes are taken as they are.

    Parameters
    ----------
    cells : int
        Rows and columns of the grid.
    min_kept, max_lost : float
        Share of its accuracy that the model must keep on rows with gaps, and accuracy that training with them may cost.

    Returns
    -------
    Tensor (N,)
        NaN where the map of the first model is constant or not finite, and where all cells of the other have one sum.

    Raises
    ------
    UnsupportedError
        If the image is smaller than the grid, or the model is not a classifier, cannot be fitted again, or
        is too weak after it.
    """
    if ev.layout.kind != "image" or min(ev.layout.feature_shape) < cells:
        raise UnsupportedError(f"a grid of {cells} x {cells} cells is of images that are at least so large")
    grid = grid_of(ev.layout.feature_shape, cells)

    def one_cell(n: int, rng: np.random.Generator) -> Array:
        chosen = rng.integers(cells**2, size=n)
        lost: Array = (grid[None] == chosen[:, None, None]) & (rng.random(n) < 0.5)[:, None, None]
        return lost

    model = trained_with_gaps(ev, f"one of {cells} x {cells} cells", one_cell, min_kept=min_kept, max_lost=max_lost)
    labels = true_labels(ev)
    maps = ev.explain(ExplainRequest(model=model, targets=labels)).flatten(1).double()
    places = torch.from_numpy(grid).to(maps.device).flatten()
    sums = maps @ functional.one_hot(places, cells**2).double()
    asked, column = replace(ev, model=model), labels.unsqueeze(1)
    whole = asked.predict(ev.inputs).gather(1, column)
    left = []
    for cell in range(cells**2):
        kept = ev.layout.expand((places != cell).view(1, *grid.shape)).to(ev.inputs)
        left.append(asked.predict(ev.inputs * kept).gather(1, column))
    found = spearman(sums, (whole - torch.cat(left, dim=1)).double())
    given = ev.attributions.flatten(1)
    return torch.where(torch.isfinite(given).all(dim=1) & ~is_constant(given), found, torch.nan)


def grid_of(sides: tuple[int, ...], cells: int) -> Array:
    """Number of the cell of every pixel (H, W), in reading order; cells are as equal as sides allow."""
    rows, columns = (np.arange(side) * cells // side for side in sides)
    found: Array = rows[:, None] * cells + columns
    return found
