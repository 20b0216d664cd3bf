"""Coalitions of players: groups of features that are masked together, and the model's output for each coalition."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from xaibench.core.features import FeatureLayout
from xaibench.core.masking.maskers import FillMasker, Masker
from xaibench.core.masking.missing import complete_rows
from xaibench.core.masking.series import SeriesMasker
from xaibench.core.problem import EXPLAINER_STREAM, ProblemView
from xaibench.core.series_groups import SeriesGroup, check_series_group, segment_length, series_groups
from xaibench.explainers.engines.perturbed_copies import blocks_of, check_positive

N_ROWS = 16
"""Background rows over which the output is averaged where a group of columns is removed by ``marginal``."""


@dataclass(frozen=True)
class Players:
    """A partition of the features.

    Attributes
    ----------
    index : Tensor (*feature_shape) of int64
        Player of every feature.
    count : int
    """

    index: Tensor
    count: int

    def expand(self, coalitions: Tensor) -> Tensor:
        """Features of coalitions (..., count), which are not masked: (..., *feature_shape)."""
        return coalitions[..., self.index]

    def share(self, values: Tensor) -> Tensor:
        """Divide each player's number (..., count) equally among its features (..., *feature_shape)."""
        sizes = torch.bincount(self.index.flatten(), minlength=self.count)
        return self.expand(values / sizes)


def make_players(
    problem: ProblemView, patch: int | None, *, group: SeriesGroup | None = None, limit: int = 64
) -> Players:
    """Square patches of an image, cubes of a volume, stretches of one sensor of a series, columns of a table.

    Parameters
    ----------
    problem : ProblemView
    patch : int, optional
        Side of a patch in pixels, or its length in time steps. Default: the smallest that gives at
        most ``limit`` players. Tables have one player per column whatever it is.
    group : {"segments", "sensors", "steps"}, optional
        Players of a series instead of stretches of one sensor; see `series_groups`.
    limit : int
    """
    layout, device = problem.layout, problem.inputs.device
    if group is not None:
        check_series_group(layout, group, patch)
        length = segment_length(layout, limit) if group == "segments" and patch is None else patch
        index = series_groups(layout, group, length).to(device)
        return Players(index, int(index.max()) + 1)
    side = patch if patch is not None else default_patch(layout, limit)
    check_positive(patch=side)
    index = layout.patches(side).to(device)
    return Players(index, int(index.max()) + 1)


def default_patch(layout: FeatureLayout, limit: int) -> int:
    """Smallest patch that gives at most ``limit`` players, or the longest that the layout has room for."""
    if not layout.neighbour_axes:
        return 1
    shape = layout.feature_shape
    for side in range(1, max(shape)):
        if math.prod(math.ceil(n / s) for n, s in zip(shape, layout.patch_sides(side), strict=True)) <= limit:
            return side
    return max(shape)


def all_coalitions(d: int) -> Tensor:
    """Every subset of d players (2^d, d) of bool; row i holds the bits of i."""
    return (torch.arange(2**d).unsqueeze(1) >> torch.arange(d)) & 1 == 1


def shapley_weights(coalitions: Tensor) -> Tensor:
    """Weight (2^d, d) of every coalition's value in every player's Shapley value (Shapley 1953), float64.

    For a player in the coalition ``(s-1)! (d-s)! / d!``, s being its size; otherwise ``-s! (d-s-1)! / d!``.
    """
    d = coalitions.shape[1]
    sizes = coalitions.sum(dim=1, keepdim=True)
    table = torch.tensor([1 / (d * math.comb(d - 1, s)) for s in range(d)], dtype=torch.float64)
    return torch.where(coalitions, table[(sizes - 1).clamp(min=0)], -table[sizes.clamp(max=d - 1)])


def coalition_values(problem: ProblemView, players: Players, coalitions: Tensor, masker: str | Masker) -> Tensor:
    """Explained output (N, K) of coalitions of players: (K, count) for all samples, or (N, K, count) for each."""
    shared, n_coalitions = coalitions.ndim == 2, coalitions.shape[-2]
    flat = coalitions.reshape(-1, players.count)
    pairs = torch.arange(len(problem) * n_coalitions, device=problem.inputs.device)
    which = pairs % n_coalitions if shared else pairs
    values = coalition_scores(problem, masker, pairs // n_coalitions, lambda part: players.expand(flat[which[part]]))
    return values.view(len(problem), n_coalitions)


def touched(problem: ProblemView, groups: Tensor, masker: str | Masker) -> Tensor:
    """Whether masking a group of features (K, *feature_shape) changes a sample at all: (N, K) of bool.

    Always, as far as one can tell, under maskers of series: what they fill in depends on what else is masked.
    """
    fills = removal_fills(problem, masker)
    if any(isinstance(fill, SeriesMasker) for fill in fills):
        return torch.ones(len(problem), len(groups), dtype=torch.bool, device=problem.inputs.device)
    changed = torch.stack([problem.inputs != fill.fill for fill in fills]).any(dim=0)
    moved = problem.layout.reduce(changed.to(problem.inputs.dtype))
    return (moved.flatten(1) @ groups.flatten(1).to(moved).T) > 0


def coalition_scores(
    problem: ProblemView, masker: str | Masker, rows: Tensor, keep: Callable[[slice], Tensor]
) -> Tensor:
    """Explained output (B,) of masked copies; the mean over several fills, see `removal_fills`.

    In float64 where the model returns that, else of the type of the inputs.

    Parameters
    ----------
    problem : ProblemView
    masker : str or Masker
        The name of one, or one that is bound to the samples.
    rows : Tensor (B,) of int64
        Sample of each copy.
    keep : callable
        Gives the unmasked features (K, *feature_shape) of a slice of the copies.
    """
    fills = removal_fills(problem, masker)
    values = torch.empty(len(rows), dtype=problem.inputs.dtype, device=problem.inputs.device)
    for part in blocks_of(problem, len(rows), 4 * problem.inputs[0].numel()):
        own = rows[part]
        copies = problem.inputs.index_select(0, own)
        found = [problem.scores(fill(copies, keep(part), own), own) for fill in fills]
        if found[0].dtype == torch.float64:
            values = values.double()
        values[part] = (found[0] if len(found) == 1 else torch.stack(found).mean(dim=0)).to(values)
    return values


def removal_fills(problem: ProblemView, masker: str | Masker) -> list[Masker]:
    """What takes the place of removed features: one fill, or for ``marginal`` and groups of columns `N_ROWS` of them.

    A single background row often has the sample's own category, and then removes nothing of a block.
    """
    if not isinstance(masker, str):
        return [masker]
    if masker != "marginal" or problem.layout.one_number_each or not problem.layout.groups:
        return [problem.masker(masker)]
    rows = complete_rows(problem.require_background("the marginal masker needs a background"))
    draws = problem.draws(f"{EXPLAINER_STREAM}/{masker}")
    return [FillMasker(masker, problem.inputs, rows[draws.integers(len(rows))], problem.layout) for _ in range(N_ROWS)]
