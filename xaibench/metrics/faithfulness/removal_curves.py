"""Pixel flipping (Bach et al. 2015), deletion and insertion (Petsiuk et al. 2018), and the area between curves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.core.series_groups import CellGroup
from xaibench.metrics.engines.removal import Order, area, removal_curve
from xaibench.metrics.engines.removal_units import removal_units


def _removed(order: Order) -> Callable[..., Tensor]:
    return lambda ev, **params: _curve(ev, order, **params)[0]


def _curve(
    ev: Evaluation, order: Order, *, steps: int, masker: str, group: CellGroup | None = None, patch: int | None = None
) -> tuple[Tensor, int]:
    """The curve, and how many units are removed one after another."""
    units = removal_units(ev, masker, group, patch)
    return removal_curve(ev, order, masker, steps, units), units.count


def _area(ev: Evaluation, order: Order, **params: Any) -> Tensor:
    return area(*_curve(ev, order, **params))


def _inserted(ev: Evaluation, **params: Any) -> Tensor:
    return _curve(ev, "lerf", **params)[0].flip(1)


def _between(ev: Evaluation, **params: Any) -> Tensor:
    return _curve(ev, "lerf", **params)[0] - _curve(ev, "morf", **params)[0]


# Skill is not valid here: no ground truth is provably the best order for a non-linear model.
_removal = partial(
    metric,
    family="faithfulness",
    construct="removal",
    output="curve",
    convert="order",
    in_output_unit=True,
    unkeyed_defaults={"group", "patch"},
)
"""Declares a metric of the construct ``removal``."""


@_removal(
    "pixel_flipping",
    higher_is_better=False,
    bounds=(0, 1),
    curve=_removed("morf"),
    source="Bach et al. 2015, On pixel-wise explanations, section 'Pixel-flipping'; area as in Samek et al. 2017",
)
def pixel_flipping(
    ev: Evaluation,
    *,
    steps: PositiveInt = 32,
    masker: str = "mean",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Area under the target-score curve while the most relevant features are removed first.

    Attributions are ordered by their signed values. Slopes are first turned into what a linear model
    would lose, slope times (input - masked input), where one channel makes that possible: a slope
    alone says nothing about what removing a feature does. The area is the mean output over the
    share of removed features (0 to 1, start and end included), so it lies in [0, 1] where the model
    gives probabilities and has the unit of the output where it gives values.

    Parameters
    ----------
    steps : int
        Parts in which the features are removed: after part j of F features ``j F / steps``, rounded to the nearest
        number and halves up; one at a time where there are fewer features than parts.
    masker : str
        What removed features are set to.
    group : {"segments", "sensors", "steps", "cells"}, optional
        Of series: what is removed at a time, ``patch`` steps of all sensors, whole sensors, steps or single cells, by
        the sum of their attributions. Default: segments under `interpolate`, `carry_forward` and `window_mean`, which
        give a single cell back from its neighbours; else cells.
    patch : int, optional
        Steps of a segment; default a sixteenth of the series, at least 2.

    Returns
    -------
    Tensor (N,)
    """
    return _area(ev, "morf", steps=steps, masker=masker, group=group, patch=patch)


@_removal(
    "deletion",
    higher_is_better=False,
    bounds=(0, 1),
    curve=_removed("morf"),
    source="Petsiuk et al. 2018, RISE, section 4.1",
)
def deletion(
    ev: Evaluation,
    *,
    steps: PositiveInt = 32,
    masker: str = "mean",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Area under the target-score curve while the most relevant features are deleted.

    The same curve as `pixel_flipping`, and with equal parameters the same number, at no further
    cost. It is the other half of `insertion`: give both the same masker. Petsiuk et al. delete to
    the channel mean, which is the default.

    Parameters
    ----------
    steps : int
    masker : str
    group, patch : str, int, optional
        What is removed at a time, of series; see `pixel_flipping`.

    Returns
    -------
    Tensor (N,)
    """
    return _area(ev, "morf", steps=steps, masker=masker, group=group, patch=patch)


@_removal(
    "insertion",
    higher_is_better=True,
    bounds=(0, 1),
    curve=_inserted,
    source="Petsiuk et al. 2018, RISE, section 4.1",
)
def insertion(
    ev: Evaluation,
    *,
    steps: PositiveInt = 32,
    masker: str = "mean",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Area under the target-score curve while the most relevant features are put back into the masked sample.

    Inserting the most relevant features first is removing the least relevant ones first, read
    backwards; the curve is shared with every metric that uses that order. Petsiuk et al. start
    from a blurred image (``masker="blur"``); the default is the mean, because blur has no meaning
    for tables.

    Parameters
    ----------
    steps : int
    masker : str
    group, patch : str, int, optional
        What is removed at a time, of series; see `pixel_flipping`.

    Returns
    -------
    Tensor (N,)
    """
    return _area(ev, "lerf", steps=steps, masker=masker, group=group, patch=patch)


@_removal(
    "abpc",
    higher_is_better=True,
    bounds=(-1, 1),
    curve=_between,
    source="Samek et al. 2017, area between curves; Schulz et al. 2020, Restricting the flow, section 4.3",
)
def abpc(
    ev: Evaluation,
    *,
    steps: PositiveInt = 32,
    masker: str = "mean",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Area between two perturbation curves: least relevant features removed first, minus most relevant first.

    What both orders have in common, the harm that any removal does, falls out. With equal
    parameters it is the difference of `insertion` and `pixel_flipping`, at no further cost.

    Parameters
    ----------
    steps : int
    masker : str
    group, patch : str, int, optional
        What is removed at a time, of series; see `pixel_flipping`.

    Returns
    -------
    Tensor (N,)
    """
    between = _between(ev, steps=steps, masker=masker, group=group, patch=patch)
    return area(between, removal_units(ev, masker, group, patch).count)
