"""Total Sobol indices of cells of an image (Fel et al. 2021)."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.mask_designs import grid_cells, masked_scores, shifted_sobol
from xaibench.explainers.engines.perturbed_copies import check_positive, sample_blocks

_CONSTANT = 1e-12
"""Variances below this share of the squared output are rounding."""


@explainer("sobol", kind="saliency", needs={"image"})
def sobol(
    problem: ProblemView, *, n_samples: PositiveInt = 32, cells: PositiveInt = 8, masker: str = "zero", draws: Draws
) -> Tensor:
    """Share of the output's variance under random masks that a cell has a part in (Fel et al. 2021, Eq. 5).

    Cells of a grid mix the sample with the fill by uniform numbers. The total index of a cell is estimated after Jansen
    (1999) from pairs of masks that differ in it alone: ``mean (f(A) - f(C))^2 / (2 V)``. Indices of a sum are
    shares that add up to 1; where cells interact, they add up to more.

    Parameters
    ----------
    n_samples : int
        Pairs of masks; the model is evaluated ``n_samples * (cells^2 + 2)`` times.
    cells : int
        Rows and columns of the grid, at most one for each pixel.
    masker : str
        What a mask of 0 shows.

    Returns
    -------
    Tensor (N, H, W)
        NaN for a sample whose output is the same under all masks.
    """
    check_positive(n_samples=n_samples, cells=cells)
    index = grid_cells(problem.layout, cells).to(problem.inputs.device)
    number = int(index.max()) + 1
    maps = []
    for block in sample_blocks(problem, 8 * n_samples * index.numel()):
        view = problem.take(block)
        fill = view.baseline(masker)
        first, second = shifted_sobol(draws[block], n_samples, 2 * number).chunk(2, dim=2)
        own, other = (masked_scores(view, fill, masks[..., index]) for masks in (first, second))
        variance = torch.cat([own, other], dim=1).var(dim=1, correction=0)
        indices = []
        for cell in range(number):
            changed = first.clone()
            changed[..., cell] = second[..., cell]
            left = masked_scores(view, fill, changed[..., index])
            indices.append((own - left).square().mean(dim=1) / 2)
        varies = variance > _CONSTANT * own.square().mean(dim=1)
        shares = torch.stack(indices, dim=1) / torch.where(varies, variance, torch.nan).unsqueeze(1)
        maps.append(shares[:, index])
    return torch.cat(maps).to(problem.inputs.dtype)
