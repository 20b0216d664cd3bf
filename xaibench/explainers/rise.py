"""RISE (Petsiuk et al. 2018): the mean output over random masks in which a feature is present."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.features import FeatureLayout
from xaibench.core.masking.names import SERIES_MASKERS
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.series_groups import SeriesGroup
from xaibench.explainers.engines import perturbed_copies
from xaibench.explainers.engines.coalitions import make_players
from xaibench.explainers.engines.perturbed_copies import check_positive


@explainer("rise", kind="saliency", unkeyed_defaults={"group", "patch"})
def rise(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 256,
    cells: int = 7,
    p: float = 0.5,
    masker: str = "zero",
    group: SeriesGroup | None = None,
    patch: PositiveInt | None = None,
    draws: Draws,
) -> Tensor:
    """Mean output over random masks, given that a feature is not masked (Petsiuk et al. 2018, Eq. 3).

    Masks are coarse random grids, enlarged linearly and shifted at random, along the sides of an
    image or volume, or the time axis of a series; columns of tables are masked independently. The mean is divided
    by the drawn weight of every feature instead of its expectation, so that adding a constant to the
    output changes nothing but the level; maps start at 0. A feature that every mask hides (with few masks
    or a small ``p``) has no such mean; it takes that over all masks, which says neither more nor less
    of it than of an average feature.

    Parameters
    ----------
    n_samples : int
        Masks.
    cells : int
        Cells of the grid along an axis.
    p : float
        Probability that a cell is not masked, between 0 and 1.
    masker : str
        What a mask of 0 shows; masks between 0 and 1 mix.
    group : {"segments", "sensors", "steps"}, optional
        Of series: instead of grids, stretches of ``patch`` steps of all sensors, whole sensors, or single steps are
        masked independently, and wholly or not at all.
    patch : int, optional
        Steps of a segment. Default: at most 64 segments.

    Raises
    ------
    UnsupportedError
        If masks would mix with what a masker of series puts in place, which depends on what is removed.
    """
    check_positive(n_samples=n_samples, cells=cells)
    if patch is not None and group is None:
        raise UsageError("patch is the length of segments, and there are none", 'say group="segments"')
    if group is None and masker in SERIES_MASKERS:
        raise UnsupportedError(
            f"masks between 0 and 1 cannot mix with the {masker} masker, whose values depend on what is removed",
            'remove whole segments: group="segments"',
        )
    players = None if group is None else make_players(problem, patch, group=group)
    if not 0 < p < 1:
        raise UsageError(f"p must be between 0 and 1, not {p}")
    layout = problem.layout
    maps = []
    for block, parts in perturbed_copies.copy_blocks(problem, n_samples):
        view, own = problem.take(block), draws[block]
        fill, remove = view.baseline(masker).unsqueeze(1), view.masker(masker)
        weighted = torch.zeros(len(view), *layout.feature_shape, dtype=fill.dtype, device=fill.device)
        weight = torch.zeros_like(weighted)
        total = torch.zeros_like(weighted.flatten(1)[:, 0])
        for part in parts:
            k = part.stop - part.start
            if players is None:
                masks = _masks(layout, k, cells, p, own).to(fill.dtype)
                shown = fill + layout.expand(masks) * (view.inputs.unsqueeze(1) - fill)
            else:
                keep = players.expand(own.uniform((k, players.count)) < p)
                masks = keep.to(fill.dtype)
                shown = remove.copies(slice(0, len(view)), keep).view(len(view), k, *layout.input_shape)
            values = perturbed_copies.scores(view, shown)
            if values.dtype == torch.float64:
                # Large values that differ by little keep their differences.
                weighted, weight, total, masks = weighted.double(), weight.double(), total.double(), masks.double()
            values = values.to(weighted)
            weighted += torch.einsum("nk,nk...->n...", values, masks)
            weight += masks.sum(dim=1)
            total += values.sum(dim=1)
        level = (total / n_samples).view(-1, *(1,) * len(layout.feature_shape))
        seen = torch.where(weight > 0, weighted / weight, level).flatten(1)
        maps.append((seen - seen.amin(dim=1, keepdim=True)).view_as(weight).to(fill.dtype))
    return torch.cat(maps)


def _masks(layout: FeatureLayout, k: int, cells: int, p: float, draws: Draws) -> Tensor:
    """Masks (N, k, *feature_shape) in [0, 1]."""
    shape, n_axes = layout.feature_shape, len(layout.neighbour_axes)
    if not n_axes:
        return (draws.uniform((k, *shape)) < p).float()
    shape = shape[::-1] if layout.sensors_first else shape
    sides = [min(cells, n) for n in shape[:n_axes]]
    grid = (draws.uniform((k, *(s + 1 for s in sides), *shape[n_axes:])) < p).float()
    shifts = draws.uniform((k, n_axes))
    rows = _enlarge(shape[0], sides[0], shifts[..., 0])
    if n_axes == 2:
        return rows @ grid @ _enlarge(shape[1], sides[1], shifts[..., 1]).mT
    masks = torch.einsum("nkts,nks...->nkt...", rows, grid)
    for axis in range(1, n_axes):
        along = _enlarge(shape[axis], sides[axis], shifts[..., axis])
        masks = torch.einsum("nkts,nks...->nkt...", along, masks.movedim(2 + axis, 2)).movedim(2, 2 + axis)
    return masks.mT if layout.sensors_first else masks


def _enlarge(n: int, cells: int, shift: Tensor) -> Tensor:
    """Linear interpolation (..., n, cells + 1) from grid points to n places, shifted by part of a cell."""
    places = (torch.arange(n, dtype=shift.dtype, device=shift.device) + 0.5) * ((cells - 1) / n)
    points = torch.arange(cells + 1, dtype=shift.dtype, device=shift.device)
    distance = (places + shift.unsqueeze(-1)).unsqueeze(-1).sub(points).abs_()
    return distance.neg_().add_(1).clamp_(min=0)  # in place: this is as large as the masks
