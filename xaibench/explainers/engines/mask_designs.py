"""Designs of masks on a grid of cells over an image: quasi-random numbers, and the output under each mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from xaibench.core.copy_blocks import chunks
from xaibench.core.draws import Draws
from xaibench.core.features import FeatureLayout
from xaibench.core.problem import ProblemView
from xaibench.explainers.engines import perturbed_copies


def grid_cells(layout: FeatureLayout, cells: int) -> Tensor:
    """Cell of every pixel (H, W) of int64, counted along rows, for a grid of at most ``cells`` by ``cells``."""
    height, width = layout.feature_shape
    rows, columns = (
        torch.div(torch.arange(side) * min(cells, side), side, rounding_mode="floor") for side in (height, width)
    )
    return rows.unsqueeze(1) * min(cells, width) + columns


def shifted_sobol(draws: Draws, number: int, dimensions: int) -> Tensor:
    """The first points of a Sobol sequence, shifted at random around the unit cube: (N, number, dimensions).

    Every point is uniform, and every sample has a shift of its own (Cranley & Patterson 1976).
    """
    points = SobolEngine(dimensions).draw(number)  # type: ignore[no-untyped-call]
    return (points.to(draws.device) + draws.uniform((dimensions,)).unsqueeze(1)) % 1


def masked_scores(view: ProblemView, fill: Tensor, masks: Tensor) -> Tensor:
    """Explained output (n, m) of samples mixed with a fill by masks (n, m, H, W), 1 being the sample, in float64."""
    found = []
    at_once = max(1, perturbed_copies.copies_at_once(view, 4 * view.inputs[0].numel()) // len(view))
    for part in chunks(masks.shape[1], at_once):
        shown = view.layout.expand(masks[:, part].to(fill.dtype))
        copies = fill.unsqueeze(1) + shown * (view.inputs - fill).unsqueeze(1)
        found.append(perturbed_copies.scores(view, copies).double())
    return torch.cat(found, dim=1)
