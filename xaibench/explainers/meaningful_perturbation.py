"""Meaningful perturbation (Fong & Vedaldi 2017): the smallest mask whose removal takes the output away."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from xaibench.core.copy_blocks import chunks
from xaibench.core.draws import Draws
from xaibench.core.outputs import curve_output
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.perturbed_copies import check_positive

_JITTER = 4 / 224
"""Largest shift of the picture per step, as a share of its side; at least one pixel."""
_DISC = 0.5
"""Radius of the disc that a search may start from, as a share of half the shorter side."""


@explainer("meaningful_perturbation", kind="saliency", needs={"gradients", "image"})
def meaningful_perturbation(
    problem: ProblemView,
    *,
    steps: PositiveInt = 200,
    cells: PositiveInt = 28,
    area: NonNegativeFloat = 1.0,
    smoothness: NonNegativeFloat = 1.0,
    learning_rate: PositiveFloat = 0.1,
    masker: str = "blur",
    draws: Draws,
) -> Tensor:
    """One minus the mask that takes the output away by removing little and smoothly (Fong & Vedaldi 2017, Eq. 3).

    The mask is a coarse grid, enlarged bilinearly. Adam minimises the output under it plus ``area`` times the mean of
    ``1 - m`` plus ``smoothness`` times the mean of the cubed differences between neighbours; the picture is shifted a
    little at random in every step. A search starts where this sum is smaller: with everything shown, or with a
    disc in the middle removed. The output is the class's probability (a contrast's, where one is explained); of models
    of values it is the value. Penalties are means over the grid, where the authors take sums, which depend on its size.

    Optimised masks find inputs that the network was never trained on; score them on a second network, too.

    Parameters
    ----------
    steps : int
        Steps of Adam.
    cells : int
        Rows and columns of the grid, at most half of those of the picture.
    area, smoothness : float
        Prices of what is removed and of edges of the mask.
    learning_rate : float
    masker : str
        What is shown where the mask is 0.
    """
    check_positive(steps=steps, cells=cells)
    output = curve_output(problem.model.returns, contrastive=problem.foils is not None)
    measured = replace(problem, output=output)
    sides = problem.layout.feature_shape
    grid = tuple(max(1, min(cells, side // 2)) for side in sides)
    maps = []
    for block in chunks(len(problem), max(1, problem.batch_size)):
        view, own = measured.take(block), draws[block]
        fill = view.baseline(masker)
        mask = _best_start(view, fill, grid, area, smoothness).requires_grad_(True)
        optimiser = torch.optim.Adam([mask], lr=learning_rate)
        for _ in range(steps):
            shifts = [own.integers(2 * most + 1) - most for most in (max(1, round(_JITTER * side)) for side in sides)]
            with torch.enable_grad():
                shown = _shifted(_mixed(view, fill, mask), shifts)
                price = _price(mask, area, smoothness).sum()
            (slopes,) = torch.autograd.grad(
                (shown, price), mask, (view.gradients(shown.detach()), torch.ones_like(price))
            )
            mask.grad = slopes
            optimiser.step()
            with torch.no_grad():
                mask.clamp_(0, 1)
        maps.append(1 - _enlarged(mask.detach(), sides))
    return torch.cat(maps)


def _enlarged(mask: Tensor, sides: tuple[int, ...]) -> Tensor:
    return functional.interpolate(mask.unsqueeze(1), size=sides, mode="bilinear").squeeze(1)


def _mixed(view: ProblemView, fill: Tensor, mask: Tensor) -> Tensor:
    shown = view.layout.expand(_enlarged(mask, view.layout.feature_shape))
    return fill + shown * (view.inputs - fill)


def _price(mask: Tensor, area: float, smoothness: float) -> Tensor:
    """Penalties (n,) of masks (n, h, w)."""
    edges = [difference.abs().pow(3).flatten(1) for axis in (1, 2) if (difference := mask.diff(dim=axis)).numel()]
    rough = torch.stack([e.mean(dim=1) for e in edges]).sum(dim=0) if edges else mask.new_zeros(len(mask))
    return area * (1 - mask).flatten(1).mean(dim=1) + smoothness * rough


def _best_start(view: ProblemView, fill: Tensor, grid: tuple[int, ...], area: float, smoothness: float) -> Tensor:
    """Everything shown, or a disc in the middle removed, whichever is better: (n, *grid)."""
    rows, columns = (torch.linspace(-1, 1, side) if side > 1 else torch.zeros(1) for side in grid)
    disc = (rows.unsqueeze(1).square() + columns.square() > _DISC**2).to(view.inputs)
    starts = [torch.ones_like(disc).expand(len(view), *grid), disc.expand(len(view), *grid)]
    costs = [view.scores(_mixed(view, fill, m)).to(m) + _price(m, area, smoothness) for m in starts]
    return torch.where((costs[1] < costs[0]).view(-1, 1, 1), starts[1], starts[0]).clone()


def _shifted(pictures: Tensor, shifts: list[Tensor]) -> Tensor:
    """Pictures moved by a number of pixels (n,) along each side, edges replicated."""
    for axis, shift in enumerate(shifts, pictures.ndim - 2):
        if not bool(shift.any()):
            continue
        side = pictures.shape[axis]
        places = (torch.arange(side, device=pictures.device) + shift.unsqueeze(1)).clamp(0, side - 1)
        shape = [len(pictures), *(side if a == axis else 1 for a in range(1, pictures.ndim))]
        pictures = pictures.gather(axis, places.view(shape).expand(pictures.shape))
    return pictures
