"""Feature ablation and occlusion (Zeiler and Fergus 2014): the output lost when a group of features is removed."""

from __future__ import annotations

import math

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.errors import UsageError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.coalitions import coalition_scores, default_patch, make_players, touched
from xaibench.explainers.engines.perturbed_copies import check_positive, sample_blocks


@explainer("feature_ablation", kind="contribution")
def feature_ablation(problem: ProblemView, *, patch: PositiveInt | None = None, masker: str = "zero") -> Tensor:
    """Output lost when one feature, or one patch of them, is removed (Robnik-Sikonja & Kononenko 2008).

    The loss of a patch is shared equally by its features, so that maps add up in units of the output.

    Parameters
    ----------
    patch : int, optional
        Side of the disjoint patches of an image, length in steps for a series. Default: the smallest
        with at most 256 patches. Tables lose one column at a time.
    masker : str
    """
    players = make_players(problem, patch, limit=256)
    removed = players.expand(torch.eye(players.count, dtype=torch.bool, device=problem.inputs.device))
    return _mean_loss(problem, removed, masker)


@explainer("occlusion", kind="contribution")
def occlusion(
    problem: ProblemView, *, patch: PositiveInt | None = None, stride: int | None = None, masker: str = "zero"
) -> Tensor:
    """Output lost under a sliding patch, averaged over the patches that cover a feature (Zeiler & Fergus 2014).

    The loss of a patch is shared equally by its features, so that maps add up in units of the output.

    Parameters
    ----------
    patch : int, optional
        Side of the patch in pixels, or its length in steps for a series. Default: twice the smallest
        side that gives at most 196 patches at half a patch's stride. Tables lose one column at a time.
    stride : int, optional
        Default: half the patch, at least 1.
    masker : str
    """
    if not problem.layout.neighbour_axes:
        side = step = 1
    else:
        side = patch if patch is not None else 2 * default_patch(problem.layout, 196)
        step = stride if stride is not None else max(1, side // 2)
    check_positive(patch=side, stride=step)
    if step > side:
        raise UsageError(f"stride {step} is wider than the patch ({side}) and would leave features out")
    return _mean_loss(problem, _windows(problem, side, step), masker)


def _windows(problem: ProblemView, side: int, step: int) -> Tensor:
    """Sliding windows (K, *feature_shape) of bool; the last of an axis is cut off by the edge."""
    layout, device = problem.layout, problem.inputs.device
    sides = layout.patch_sides(side)
    axes = []
    for n, s in zip(layout.feature_shape, sides, strict=True):
        jump = step if s == side else 1
        starts = torch.arange(math.ceil(max(n - s, 0) / jump) + 1, device=device) * jump
        offset = torch.arange(n, device=device) - starts.unsqueeze(1)
        axes.append((offset >= 0) & (offset < s))
    windows = axes[0]
    for axis in axes[1:]:
        across = axis.reshape(1, len(axis), *(1,) * (windows.ndim - 1), -1)
        windows = (windows[:, None, ..., None] & across).flatten(0, 1)
    return windows


def _mean_loss(problem: ProblemView, removed: Tensor, masker: str) -> Tensor:
    """Loss of output per removed feature, averaged over the groups that hold a feature.

    A group that is at the masker's value already changes nothing: its loss is exactly 0, and the
    model is not evaluated for it.

    Parameters
    ----------
    removed : Tensor (K, *feature_shape) of bool
        Groups; every feature is in at least one.
    """
    groups = removed.flatten(1).to(problem.inputs.dtype)
    shares = groups / groups.sum(dim=1, keepdim=True) / groups.sum(dim=0)
    clean = problem.scores(problem.inputs)
    maps = []
    for block in sample_blocks(problem, 8 * len(groups)):
        view = problem.take(block)
        rows, which = touched(view, removed, masker).nonzero(as_tuple=True)
        loss = torch.zeros(len(view), len(groups), dtype=groups.dtype, device=groups.device)
        if len(rows):
            left = coalition_scores(view, masker, rows, lambda part: ~removed[which[part]])  # noqa: B023
            loss[rows, which] = (clean[block][rows].to(left) - left).to(loss)
        maps.append(loss @ shares)
    return torch.cat(maps).view(len(problem), *problem.layout.feature_shape)
