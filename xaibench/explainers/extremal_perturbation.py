"""Extremal perturbation (Fong et al. 2019): the smooth mask of a given area that keeps the output highest."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from xaibench.core.copy_blocks import chunks
from xaibench.core.errors import UsageError
from xaibench.core.outputs import curve_output
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.perturbed_copies import check_positive

_MOMENTUM = 0.9
_START = 0.5
"""First value of every cell."""
_FIRST_PRICE = 1 / 300
"""Price of a wrong area in the first step, as a share of that in the last one."""
_SAME = 1e-4
"""Values of a mask that differ by less are equal."""
_REACH = 2
"""Cells that a cell of a mask reaches to every side."""
_SHARPNESS = 20.0
"""Of the smooth maximum: 0 is a mean, infinity the maximum."""


@explainer("extremal_perturbation", kind="saliency", needs={"gradients", "image"})
def extremal_perturbation(
    problem: ProblemView,
    *,
    areas: tuple[PositiveFloat, ...] = (0.05, 0.1, 0.2, 0.4),
    steps: PositiveInt = 400,
    cells: PositiveInt = 28,
    width: NonNegativeFloat = 1.0,
    price: PositiveFloat = 300.0,
    learning_rate: PositiveFloat = 0.02,
    masker: str = "blur",
) -> Tensor:
    """Sum over areas of the masks of that area that keep the output highest (Fong et al. 2019, Eq. 4).

    A mask is a grid of cells that each spread to their neighbours by a smooth maximum, enlarged bilinearly. Gradient
    ascent with momentum maximises the output under the mask minus the price of a wrong area: ``price`` times the mean
    squared difference between the sorted mask and as many ones as the area says. The price grows geometrically to
    ``price``, from 1 / 300 of it: at its full height from the start it would decide alone which cells are shown,
    before the output has put them in order. Gradients are scaled to a largest entry of 1 per mask and steps shrink
    linearly, so that nothing depends on the number of pixels. The output is the class's probability (a contrast's,
    where one is explained); of models of values it is the value, whose scale then weighs against the price.

    The mask is smooth by construction: among regions that are smaller than about six cells it need not find the best.
    Optimised masks find inputs that the network was never trained on: `mask_transfer` scores them on a second network.

    Parameters
    ----------
    areas : tuple of float
        Shares of the picture that are shown, between 0 and 1.
    steps : int
        Steps of gradient ascent.
    cells : int
        Rows and columns of the grid, at most half of those of the picture.
    width : float
        Standard deviation of the reach of a cell, in cells; 0 for none.
    price : float
        Of a mask of another area, in the last step, in units of the output.
    learning_rate : float
        Largest change of a cell in the first step.
    masker : str
        What is shown where the mask is 0.

    Returns
    -------
    Tensor (N, H, W)
        From 0 to the number of areas. The same value everywhere where the output does not depend on the mask.

    Raises
    ------
    UsageError
        If ``areas`` is empty or has a number that is not between 0 and 1.
    """
    check_positive(steps=steps, cells=cells)
    if not areas or not all(0 < area < 1 for area in areas):
        raise UsageError(
            f"areas = {areas} are not shares", "give numbers between 0 and 1, for example areas=[0.1, 0.3]"
        )
    output = curve_output(problem.model.returns, contrastive=problem.foils is not None)
    measured = replace(problem, output=output)
    sides = problem.layout.feature_shape
    grid = tuple(max(1, min(cells, side // 2)) for side in sides)
    maps = []
    for block in chunks(len(problem), max(1, problem.batch_size // len(areas))):
        rows = torch.arange(block.start, block.stop).repeat_interleave(len(areas))
        view = measured.take(rows.to(problem.targets.device))
        masks = _optimised(view, view.baseline(masker), grid, areas, steps, width, price, learning_rate)
        maps.append(masks.view(-1, len(areas), *sides).sum(dim=1))
    return torch.cat(maps)


def _optimised(
    view: ProblemView,
    fill: Tensor,
    grid: tuple[int, ...],
    areas: tuple[float, ...],
    steps: int,
    width: float,
    price: float,
    learning_rate: float,
) -> Tensor:
    """Masks (n, H, W) of samples that stand there once for every area, one after the other."""
    sides = view.layout.feature_shape
    wanted = view.inputs.new_tensor(areas).repeat(len(view) // len(areas)).unsqueeze(1)
    border = _REACH if width > 0 else 0
    # Cells beyond the border, too: every place of the picture has neighbours on all sides.
    cells = torch.full((len(view), *(side + 2 * border for side in grid)), _START).to(fill)
    speed, asked = torch.zeros_like(cells), torch.zeros(len(view), dtype=torch.bool, device=fill.device)
    for step in range(steps):
        done = step / max(1, steps - 1)
        with torch.enable_grad():
            leaf = cells.detach().requires_grad_(True)
            mask = _smooth_mask(leaf, width, sides)
            shown = fill + view.layout.expand(mask) * (view.inputs - fill)
            wrong = (mask.flatten(1) - _nearest(mask.detach().flatten(1), wanted)).square().mean(dim=1).sum()
        slopes = view.gradients(shown.detach())
        weight = wrong.new_tensor(price * _FIRST_PRICE ** (1 - done))
        (gradient,) = torch.autograd.grad((shown, wrong), leaf, (-slopes, weight))
        # Until the output says anything, nothing is moved: which of equal cells is shown would be arbitrary.
        asked |= slopes.flatten(1).abs().amax(dim=1) > 0
        largest = gradient.flatten(1).abs().amax(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
        speed = _MOMENTUM * speed + gradient * (asked / largest).view(-1, 1, 1)
        moved = cells - learning_rate * (1 - done) * speed
        cells = moved.clamp(0, 1)
        # A cell at its limit has no speed, or it would stay there long after its gradient has turned.
        speed = speed * (moved == cells)
    return _smooth_mask(cells, width, sides)


def _nearest(values: Tensor, areas: Tensor) -> Tensor:
    """The masks (n, F) of zeros and ones of areas (n, 1) in the order of masks (n, F); equal values share equally."""
    places, values = values.shape[1], (values / _SAME).round()
    ordered = values.sort(dim=1).values
    ones = (torch.arange(places, device=values.device) >= (places * (1 - areas)).round()).to(torch.float64)
    below = functional.pad(ones.cumsum(dim=1), (1, 0))
    first, last = (torch.searchsorted(ordered, values.contiguous(), right=right) for right in (False, True))
    return ((below.gather(1, last) - below.gather(1, first)) / (last - first)).to(values.dtype)


def _smooth_mask(cells: Tensor, width: float, sides: tuple[int, ...]) -> Tensor:
    """Masks (n, H, W) of cells (n, h, w): a smooth maximum over neighbours, weighed by their distance; enlarged."""
    if width > 0:
        rows, columns = (side - 2 * _REACH for side in cells.shape[1:])
        offsets = torch.arange(-_REACH, _REACH + 1, dtype=cells.dtype, device=cells.device)
        reach = torch.exp(-(offsets.square().unsqueeze(1) + offsets.square()) / (2 * width**2)).flatten()
        values = functional.unfold(cells.unsqueeze(1), 2 * _REACH + 1) * reach.view(1, -1, 1)
        weights = torch.softmax(_SHARPNESS * values, dim=1)
        cells = (weights * values).sum(dim=1).view(-1, rows, columns)
    return functional.interpolate(cells.unsqueeze(1), size=sides, mode="bilinear").squeeze(1)
