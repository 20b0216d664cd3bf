"""Partial dependence (Friedman 2001), ALE (Apley and Zhu 2020) and permutation importance (Breiman 2001)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.keys import row_digests
from xaibench.core.masking.missing import refuse_missing
from xaibench.core.outputs import has_classes
from xaibench.core.predictor import computing_in_float64
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.associations import background_of, explained_targets, target_outputs
from xaibench.explainers.engines.perturbed_copies import blocks_of


@explainer("partial_dependence", version=2, kind="slope", needs={"background"})
def partial_dependence(problem: ProblemView, *, steps: PositiveInt = 16) -> Tensor:
    """Slope of the partial dependence curve at the sample's value of each feature (Friedman 2001, section 8).

    The curve is the mean output over the background with the feature set to one value in all rows.
    It is taken at quantiles of the background, between which it is a straight line; beyond them the
    last slope counts. Slopes of channels are summed. A feature that does not vary there gets 0.

    Parameters
    ----------
    steps : int
        Cells between quantiles; fewer where the feature has fewer values.
    """
    problem.layout.require_single_quantities("partial dependence")
    background, grid = background_of(problem), _grid(problem, steps)
    classes, which = explained_targets(problem)
    features = torch.cat([torch.full((len(edges),), j) for j, edges in enumerate(grid)])
    values = torch.cat(grid)
    curves = torch.cat(
        [
            target_outputs(problem, raw.flatten(0, 1), classes).view(*raw.shape[:2], -1).mean(dim=1)
            for raw in _changed(
                problem, features, lambda part: values[part, None].expand(-1, len(background)), exact=True
            )
        ]
    )
    slopes, first = [], 0
    for edges in grid:
        curve = curves[first : first + len(edges)]
        slopes.append(curve.diff(dim=0) / edges.diff().unsqueeze(1).double())
        first += len(edges)
    return _at_samples(problem, grid, slopes, which)


@explainer("accumulated_local_effects", version=2, kind="slope", needs={"background"})
def accumulated_local_effects(problem: ProblemView, *, steps: PositiveInt = 16) -> Tensor:
    """Slope of the ALE curve at the sample's value of each feature (Apley & Zhu 2020).

    Cells end at quantiles of the background. The slope in a cell is the mean change of the output
    when the feature moves from one end to the other, over the background rows in that cell, by the
    width of the cell; beyond the cells the last slope counts. Slopes of channels are summed. A
    feature that does not vary in the background gets 0.

    Parameters
    ----------
    steps : int
        Cells; fewer where the feature has fewer values.
    """
    problem.layout.require_single_quantities("an accumulated local effect")
    grid = _grid(problem, steps)
    flat = background_of(problem).flatten(1)
    classes, which = explained_targets(problem)
    varying = [j for j, edges in enumerate(grid) if len(edges) > 1]
    cells = {j: _cell(grid[j], flat[:, j]) for j in varying}
    ends = [grid[j][cells[j] + side] for j in varying for side in (0, 1)]
    features = torch.tensor(varying).repeat_interleave(2)
    found = _changed(problem, features, lambda part: torch.stack(ends[part]), exact=True)
    outputs = [o for raw in found for o in target_outputs(problem, raw.flatten(0, 1), classes).view(*raw.shape[:2], -1)]
    slopes = [flat.new_zeros((0, len(classes)), dtype=torch.float64) for _ in grid]
    for i, j in enumerate(varying):
        change = outputs[2 * i + 1] - outputs[2 * i]
        widths = grid[j].diff().double()
        total = change.new_zeros(len(widths), len(classes)).index_add_(0, cells[j], change)
        slopes[j] = total / (cells[j].bincount(minlength=len(widths)) * widths).unsqueeze(1)
    return _at_samples(problem, grid, slopes, which)


@explainer("permutation_importance", kind="contribution", needs={"background", "labels"}, follows_outputs=False)
def permutation_importance(problem: ProblemView, *, n_samples: PositiveInt = 5, draws: Draws) -> Tensor:
    """Accuracy on the background that is lost when a feature is permuted among its rows (Breiman 2001).

    Equal for all samples. Negative where permuting happens to help. The channels of a pixel, and the
    columns of a group, move together.

    Parameters
    ----------
    n_samples : int
        Permutations of each feature.

    Raises
    ------
    UnsupportedError
        If the labels of the background are not known, or there are no classes.
    """
    background, labels = background_of(problem), problem.background_labels
    if labels is None or not has_classes(problem.model.returns):
        raise UnsupportedError("permutation importance needs the classes of the background rows")
    rows, n_features = problem.layout.by_feature(background), problem.layout.n_features
    # Keyed by the background: the map is that of the model, whichever samples are explained.
    shared = Draws(draws.seed, draws.stream, row_digests(background.cpu().numpy()[None]), device=background.device)
    orders = shared.permutation((n_features * n_samples, len(background)))[0]
    features = torch.arange(n_features).repeat_interleave(n_samples)

    def permuted(part: slice) -> Tensor:
        return rows[orders[part], features[part].to(rows.device).unsqueeze(1)]

    right = [(raw.argmax(dim=2) == labels).sum(dim=1) for raw in _changed(problem, features, permuted, pixels=True)]
    clean = (problem.predict_background().argmax(dim=1) == labels).sum()
    lost = (clean - torch.cat(right)).double().view(n_features, n_samples).mean(dim=1) / len(background)
    return lost.view(problem.layout.feature_shape).expand(len(problem), *problem.layout.feature_shape)


def _changed(
    problem: ProblemView,
    features: Tensor,
    values: Callable[[slice], Tensor],
    *,
    pixels: bool = False,
    exact: bool = False,
) -> Iterator[Tensor]:
    """Raw outputs (p, M, C) for the background with one feature changed in all rows, in blocks of the P changes.

    Parameters
    ----------
    features : Tensor (P,) of int64
        Input number that is changed, or pixel.
    values : callable
        Gives the new values (p, M) of a slice of the changes; of pixels (p, M, channels).
    pixels : bool
    exact : bool
        Compute in float64, where the model can: over a narrow cell, rounding would be a slope.
    """
    background = background_of(problem)
    m = len(background)
    context = problem.background_context or None
    with computing_in_float64(problem.model, background, context) if exact else nullcontext(problem.model) as model:
        view = replace(problem, model=model)
        for part in blocks_of(view, len(features), 4 * background.numel()):
            chosen = features[part].to(background.device)
            changed = background.expand(len(chosen), *background.shape).clone()
            channels = (problem.layout.channels or 1) if pixels else 1
            new = values(part).to(background)
            if pixels and problem.layout.groups:
                for copy, feature in enumerate(chosen.tolist()):
                    columns = list(problem.layout.groups[feature])
                    changed[copy][:, columns] = new[copy][:, : len(columns)]
            else:
                by_number = changed.view(len(chosen), m, channels, -1)
                by_number[torch.arange(len(chosen)), :, :, chosen] = new if pixels else new.unsqueeze(-1)
            owner = torch.arange(m, device=background.device).repeat(len(chosen))
            yield view.predict_background(changed.flatten(0, 1), owner).view(len(chosen), m, -1)


def _grid(problem: ProblemView, steps: int) -> list[Tensor]:
    """Distinct values (at most steps + 1) of every input number, at evenly spaced quantiles of the background."""
    refuse_missing(background_of(problem), "the background of quantiles")
    columns = background_of(problem).flatten(1).sort(dim=0).values
    ranks = torch.linspace(0, len(columns) - 1, steps + 1, dtype=torch.float64).round().long()
    grid = []
    for column in columns[ranks.to(columns.device)].T:
        edges = column.unique()
        # Cells so narrow that rounding would make their slopes.
        wide = edges.diff() > 1e-6 * (edges[-1] - edges[0])
        grid.append(edges[torch.cat([wide.new_ones(1), wide])])
    return grid


def _cell(edges: Tensor, values: Tensor) -> Tensor:
    """Cell between ``edges`` (K + 1,) that holds each value (N,), its upper end included: 0 to K - 1."""
    return (torch.searchsorted(edges, values.contiguous()) - 1).clamp(0, len(edges) - 2)


def _at_samples(problem: ProblemView, grid: list[Tensor], slopes: list[Tensor], which: Tensor) -> Tensor:
    """Slope in the cell of each input number of the samples, from the ``slopes`` (cells, K) of each: (N, F)."""
    flat = problem.inputs.flatten(1)
    maps = flat.new_zeros(flat.shape, dtype=torch.float64)
    for j, edges in enumerate(grid):
        if len(edges) > 1:
            maps[:, j] = slopes[j][_cell(edges, flat[:, j]), which]
    return problem.layout.reduce(maps.view(problem.inputs.shape))
