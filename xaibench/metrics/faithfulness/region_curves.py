"""Removal of regions: AOPC on patches (Samek et al. 2017), selectivity, and IROF on superpixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import has_classes, label_threshold
from xaibench.core.registry import metric
from xaibench.core.series_groups import SeriesGroup, check_series_group, series_groups
from xaibench.metrics.engines.perturbation import clean_raw, clean_scores, select
from xaibench.metrics.engines.removal import Order, outputs_without, schedule
from xaibench.metrics.maps.orders import descending, ranks_of
from xaibench.metrics.maps.segments import group_values, patches, superpixels


@dataclass(frozen=True)
class Groups:
    """Features that go together.

    Attributes
    ----------
    name : str
        Says how they were made; part of the key of what is shared.
    labels : Tensor (N, *feature_shape) or (1, *feature_shape) of int64
        Group of every feature, from 0 on.
    """

    name: str
    labels: Tensor

    def sizes(self) -> Tensor:
        """Number of groups of every sample (N,) or (1,)."""
        return self.labels.flatten(1).amax(dim=1) + 1


@dataclass(frozen=True)
class GroupCurve:
    """What the output does while groups of features are removed.

    Attributes
    ----------
    values : Tensor (N, steps + 1)
    share : Tensor (N or 1, steps + 1)
        Share of the sample's groups that is gone.
    """

    values: Tensor
    share: Tensor

    def area(self) -> Tensor:
        """Mean height over the share of removed groups, by trapezoids (N,)."""
        return torch.trapezoid(self.values, self.share.expand_as(self.values), dim=1)


def group_curve(
    ev: Evaluation, order: Order, masker: str, groups: Groups, steps: int, *, mean: bool = False
) -> GroupCurve:
    """Measured output while groups of features are removed, largest sum of attributions first.

    Parameters
    ----------
    ev : Evaluation
    order : {"morf", "lerf"}
    masker : str
    groups : Groups
    steps : int
        Points after the first; point s has about ``s / steps`` of the sample's groups removed.
    mean : bool
        Order groups by the mean of their attributions instead of the sum.
    """
    sizes = groups.sizes().unsqueeze(1)
    counts = schedule(sizes, steps)

    def evaluate() -> Tensor:
        ranks = _group_ranks(ev, order, groups, mean)
        labels = groups.labels.flatten(1).expand(len(ev), -1)
        removed_at = ranks.gather(1, labels).view(-1, *ev.layout.feature_shape)
        return outputs_without(ev, removed_at, counts.to(torch.int32), masker)

    key = f"groups/{groups.name}/{order}/{masker}/{steps}/{'mean' if mean else 'sum'}"
    return GroupCurve(select(ev, ev.reuse(key, evaluate)), counts / sizes)


def _group_ranks(ev: Evaluation, order: Order, groups: Groups, mean: bool) -> Tensor:
    """Place of every group in the order of removal (N, G), int32."""
    labels = groups.labels.expand(len(ev), *ev.layout.feature_shape)
    values = group_values(ev.attributions, labels, mean=mean)
    # Samples with fewer groups than others have padding, which goes last and is never reached.
    number = torch.arange(values.shape[1], device=values.device)
    padding = number >= groups.sizes().unsqueeze(1)
    last = torch.inf if order == "lerf" else -torch.inf
    found = descending(ev, values.masked_fill(padding, last))
    return ranks_of(found.flip(1) if order == "lerf" else found)


def _patch_curve(
    ev: Evaluation, *, patch: int | None, steps: int | None, masker: str, group: SeriesGroup | None = None
) -> GroupCurve:
    """Curve over a grid of patches, a seventh of the image's shorter side wide unless ``patch`` says otherwise."""
    sides = [ev.layout.feature_shape[axis] for axis in ev.layout.neighbour_axes]
    side = max(1, round(min(sides, default=1) / 7)) if patch is None else patch
    if group is not None:
        check_series_group(ev.layout, group, patch)
        labels = series_groups(ev.layout, group, side if group == "segments" else None).to(ev.inputs.device)
        groups = Groups(f"{group}{side if group == 'segments' else ''}", labels.unsqueeze(0))
        return group_curve(ev, "morf", masker, groups, steps or int(groups.sizes().max()))
    groups = Groups(f"patch{side}", patches(ev.layout, side).to(ev.inputs.device).unsqueeze(0))
    return group_curve(ev, "morf", masker, groups, steps or int(groups.sizes().max()))


def _values(ev: Evaluation, **params: Any) -> Tensor:
    return _patch_curve(ev, **params).values


@metric(
    "region_perturbation",
    family="faithfulness",
    construct="removal",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"image", "volume", "series"},
    output="curve",
    convert="order",
    curve=_values,
    source="Samek et al. 2017, Evaluating the visualization of what a DNN has learned, equation 12 (AOPC)",
    place_matters=True,  # patches are made of neighbours
    in_output_unit=True,
    unkeyed_defaults={"group"},
)
def region_perturbation(
    ev: Evaluation,
    *,
    patch: PositiveInt | None = None,
    steps: PositiveInt | None = None,
    masker: str = "uniform",
    group: SeriesGroup | None = None,
) -> Tensor:
    """Area over the perturbation curve while patches go, the most relevant first.

    ``1 / (L + 1) sum_k f(x) - f(x without the first k / L of the patches)`` for k = 0..L. Patches are ordered
    by the sum of their attributions; the published removal is uniform noise.

    Parameters
    ----------
    patch : int, optional
        Side of a patch in pixels (steps of time for series); default a seventh of the shorter side.
    steps : int, optional
        Points L after the first, evenly spaced until all patches are removed (the number of patches is rounded, halves
        up); default one per patch.
    masker : str
    group : {"segments", "sensors", "steps"}, optional
        Of series: windows across all sensors, whole sensors or steps, instead of windows of one sensor.

    Returns
    -------
    Tensor (N,)
    """
    curve = _patch_curve(ev, patch=patch, steps=steps, masker=masker, group=group)
    return clean_scores(ev) - curve.values.mean(dim=1)


@metric(
    "selectivity",
    family="faithfulness",
    construct="removal",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"image", "volume", "series"},
    output="curve",
    convert="order",
    curve=_values,
    source="Montavon et al. 2018, Methods for interpreting and understanding deep neural networks, section 7.2",
    place_matters=True,  # patches are made of neighbours
    in_output_unit=True,
    unkeyed_defaults={"group"},
)
def selectivity(
    ev: Evaluation,
    *,
    patch: PositiveInt | None = None,
    steps: PositiveInt | None = None,
    masker: str = "zero",
    group: SeriesGroup | None = None,
) -> Tensor:
    """Area under the target-score curve while patches are removed, the most relevant first.

    The curve of `region_perturbation`, which it shares with equal parameters.

    Parameters
    ----------
    patch : int, optional
        Side of a patch in pixels (steps of time for series); default a seventh of the shorter side.
    steps : int, optional
        Points after the first, as for `region_perturbation`; default one per patch.
    masker : str
    group : {"segments", "sensors", "steps"}, optional
        Of series: windows across all sensors, whole sensors or steps, instead of windows of one sensor.

    Returns
    -------
    Tensor (N,)
    """
    return _patch_curve(ev, patch=patch, steps=steps, masker=masker, group=group).area()


def _superpixel_curve(ev: Evaluation, *, n_segments: int, compactness: float, steps: int, masker: str) -> GroupCurve:
    labels = superpixels(ev, n_segments=n_segments, compactness=compactness)
    groups = Groups(f"superpixels{n_segments}/{compactness}", labels)
    return group_curve(ev, "morf", masker, groups, steps, mean=True)


@metric(
    "irof",
    family="faithfulness",
    construct="removal",
    higher_is_better=True,
    bounds=(None, 1),
    version=2,
    needs={"image"},
    output="curve",
    convert="order",
    curve=lambda ev, **params: _superpixel_curve(ev, **params).values,
    source="Rieger and Hansen 2020, IROF: a low resource evaluation metric for explanation methods, equation 2",
    place_matters=True,  # superpixels are made of neighbours
    output_bounds=dict.fromkeys(
        ("logit", "margin", "contrast", "value"), (None, None)
    ),  # a ratio of numbers of either sign
)
def irof(
    ev: Evaluation,
    *,
    n_segments: PositiveInt = 50,
    compactness: PositiveFloat = 0.1,
    steps: PositiveInt = 32,
    masker: str = "mean",
) -> Tensor:
    """Area over the curve of the relative output while superpixels are removed, largest mean attribution first.

    ``1 - area of f(x without the first segments) / f(x)``. Segments come from SLIC on the sample,
    the same for all explainers.

    Parameters
    ----------
    n_segments : int
        Segments that SLIC aims at.
    compactness : float
        How much SLIC weighs closeness against colour.
    steps : int
        Parts in which the segments are removed.
    masker : str

    Returns
    -------
    Tensor (N,)
        NaN where a classifier predicts another class than the target, or not its label, since its tiny probability
        would be divided by, and where a value is 0.
    """
    curve = _superpixel_curve(ev, n_segments=n_segments, compactness=compactness, steps=steps, masker=masker)
    score = 1 - curve.area() / clean_scores(ev)
    if ev.model.returns == "value":
        return score
    if not has_classes(ev.model.returns):
        own = clean_raw(ev).gather(1, ev.targets.unsqueeze(1)).squeeze(1)
        return torch.where(own > label_threshold(ev.model.returns), score, torch.nan)
    return torch.where(clean_raw(ev).argmax(dim=1) == ev.targets, score, torch.nan)
