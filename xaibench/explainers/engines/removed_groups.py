"""Groups of features that are removed one after another: sliding windows, and the output that each loses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xaibench.core.errors import UsageError
from xaibench.core.features import FeatureLayout
from xaibench.core.masking.maskers import Masker
from xaibench.core.problem import ProblemView
from xaibench.core.series_groups import SeriesGroup, check_series_group, segment_length, series_groups
from xaibench.explainers.engines.coalitions import coalition_scores, default_patch, touched
from xaibench.explainers.engines.perturbed_copies import check_positive, sample_blocks


def sliding_windows(layout: FeatureLayout, patch: int | None, stride: int | None, group: SeriesGroup | None) -> Tensor:
    """Sliding windows (K, *feature_shape) of bool, by the rules and defaults of `occlusion`.

    Raises
    ------
    UsageError
        If windows would leave features out, or have no length.
    UnsupportedError
        If a group of series is asked for and the data are none.
    """
    if group is not None:
        check_series_group(layout, group, patch)
    if group in ("sensors", "steps"):
        if stride is not None:
            raise UsageError(f"stride is the way from one window to the next, and {group} are taken one by one")
        labels = series_groups(layout, group)
        return labels == torch.arange(int(labels.max()) + 1).view(-1, *(1,) * labels.ndim)
    if not layout.neighbour_axes:
        side = step = 1
    else:
        default = default_patch(layout, 196) if group is None else segment_length(layout, 196)
        side = patch if patch is not None else 2 * default
        step = stride if stride is not None else max(1, side // 2)
    check_positive(patch=side, stride=step)
    if step > side:
        raise UsageError(f"stride {step} is wider than the patch ({side}) and would leave features out")
    if group is None:
        return _sliding(layout.feature_shape, layout.patch_sides(side), side, step)
    time = layout.neighbour_axes[0]
    spans = _sliding((layout.feature_shape[time],), (side,), side, step)
    shape = [len(spans), *(-1 if axis == time else 1 for axis in range(len(layout.feature_shape)))]
    return spans.view(shape).expand(-1, *layout.feature_shape)


def word_windows(n: int, length: int) -> Tensor:
    """Every run of ``length`` neighbouring words of a text of n words (K, n) of bool; a shorter text is one run."""
    return _sliding((n,), (length,), length, 1)


def _sliding(shape: tuple[int, ...], sides: tuple[int, ...], side: int, step: int) -> Tensor:
    """Sliding windows (K, *shape) of bool; the last of an axis is cut off by the edge."""
    axes = []
    for n, s in zip(shape, sides, strict=True):
        jump = step if s == side else 1
        starts = torch.arange(math.ceil(max(n - s, 0) / jump) + 1) * jump
        offset = torch.arange(n) - starts.unsqueeze(1)
        axes.append((offset >= 0) & (offset < s))
    found = axes[0]
    for axis in axes[1:]:
        across = axis.reshape(1, len(axis), *(1,) * (found.ndim - 1), -1)
        found = (found[:, None, ..., None] & across).flatten(0, 1)
    return found


def mean_loss(problem: ProblemView, removed: Tensor, masker: str) -> Tensor:
    """Loss of output per removed feature, averaged over the groups that hold a feature.

    Parameters
    ----------
    problem : ProblemView
    removed : Tensor (K, *feature_shape) of bool
        Groups; every feature is in at least one.
    masker : str

    Returns
    -------
    Tensor (N, *feature_shape)
    """
    shares = shares_of_features(removed, problem.inputs.dtype)
    clean = problem.scores(problem.inputs)
    maps = []
    for block in sample_blocks(problem, 8 * len(removed)):
        maps.append(group_losses(problem.take(block), clean[block], removed, masker) @ shares)
    return torch.cat(maps).view(len(problem), *problem.layout.feature_shape)


def shares_of_features(removed: Tensor, dtype: torch.dtype) -> Tensor:
    """What a feature gets of the loss of each group that holds it (K, F): an equal part, averaged over such groups."""
    groups = removed.flatten(1).to(dtype)
    return groups / groups.sum(dim=1, keepdim=True) / groups.sum(dim=0)


def group_losses(view: ProblemView, clean: Tensor, removed: Tensor, masker: str | Masker) -> Tensor:
    """Output lost (N, K) when each of the groups (K, *feature_shape) is removed from samples with outputs ``clean``.

    A group that is at the masker's value already changes nothing: its loss is exactly 0, and the
    model is not evaluated for it.
    """
    dtype = view.inputs.dtype
    rows, which = touched(view, removed, masker).nonzero(as_tuple=True)
    loss = torch.zeros(len(view), len(removed), dtype=dtype, device=removed.device)
    if len(rows):
        left = coalition_scores(view, masker, rows, lambda part: ~removed[which[part]])
        loss[rows, which] = (clean[rows].to(left) - left).to(dtype)
    return loss
