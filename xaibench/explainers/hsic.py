"""Dependence between cells of an image and the output, by the Hilbert-Schmidt independence criterion."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UsageError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.mask_designs import grid_cells, masked_scores, shifted_sobol
from xaibench.explainers.engines.perturbed_copies import check_positive


@explainer("hsic", kind="saliency", needs={"image"})
def hsic(
    problem: ProblemView, *, n_samples: PositiveInt = 1024, cells: PositiveInt = 7, masker: str = "zero", draws: Draws
) -> Tensor:
    """Dependence of the output on whether a cell is shown (Novello et al. 2022, HSIC attribution, Eq. 7).

    ``tr(K H L H) / (n - 1)^2`` over random binary masks, with the kernel K that is 1 where the cell has the same
    state, the centring H, and a Gaussian kernel L of the output with the median distance as its width. A cell that the
    output does not depend on has about ``tr(L H) / (2 (n - 1)^2)``, not 0.

    Parameters
    ----------
    n_samples : int
        Masks, at least 2.
    cells : int
        Rows and columns of the grid, at most one for each pixel.
    masker : str
        What is shown in the place of a hidden cell.

    Returns
    -------
    Tensor (N, H, W)
        NaN for a sample whose output is the same under all masks.
    """
    check_positive(n_samples=n_samples, cells=cells)
    if n_samples < 2:
        raise UsageError("n_samples must be at least 2", "the default is 1024")
    index = grid_cells(problem.layout, cells).to(problem.inputs.device)
    number = int(index.max()) + 1
    maps = []
    for row in range(len(problem)):
        own = slice(row, row + 1)
        view = problem.take(own)
        shown = shifted_sobol(draws[own], n_samples, number) >= 0.5
        outputs = masked_scores(view, view.baseline(masker), shown[..., index])[0]
        signs = torch.where(shown[0], 1.0, -1.0).double()
        maps.append(dependence(signs, outputs)[index])
    return torch.stack(maps).to(problem.inputs.dtype)


def dependence(signs: Tensor, outputs: Tensor) -> Tensor:
    """HSIC (d,) of columns of -1 and 1 (n, d) with outputs (n,); NaN where all outputs are the same.

    The kernel of a column s is ``(1 + s s') / 2``, so that the trace is ``s' H L H s / 2``.
    """
    distances = (outputs.unsqueeze(0) - outputs.unsqueeze(1)).abs()
    width = distances.median()
    width = width if bool(width > 0) else distances.mean()
    if not bool(width > 1e-12 * outputs.abs().amax()):
        return signs.new_full((signs.shape[1],), torch.nan)
    kernel = torch.exp(-((distances / width) ** 2) / 2)
    centred = kernel - kernel.mean(dim=0, keepdim=True)
    centred = centred - centred.mean(dim=1, keepdim=True)
    trace = ((centred @ signs) * signs).sum(dim=0) / 2
    return (trace / (len(outputs) - 1) ** 2).clamp(min=0)
