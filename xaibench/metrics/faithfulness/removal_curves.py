"""Pixel flipping (Bach et al. 2015), deletion and insertion (Petsiuk et al. 2018), and the area between curves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.removal import Order, area, removal_curve


def _removed(order: Order) -> Callable[..., Tensor]:
    return lambda ev, *, steps, masker: removal_curve(ev, order, masker, steps)


def _inserted(ev: Evaluation, *, steps: int, masker: str) -> Tensor:
    return removal_curve(ev, "lerf", masker, steps).flip(1)


def _between(ev: Evaluation, *, steps: int, masker: str) -> Tensor:
    return removal_curve(ev, "lerf", masker, steps) - removal_curve(ev, "morf", masker, steps)


# Skill is not valid here: no ground truth is provably the best order for a non-linear model.
_removal = partial(
    metric,
    family="faithfulness",
    construct="removal",
    output="curve",
    convert="order",
    in_output_unit=True,
)
"""Declares a metric of the construct ``removal``."""


@_removal(
    "pixel_flipping",
    higher_is_better=False,
    bounds=(0, 1),
    curve=_removed("morf"),
    source="Bach et al. 2015, On pixel-wise explanations, section 'Pixel-flipping'; area as in Samek et al. 2017",
)
def pixel_flipping(ev: Evaluation, *, steps: PositiveInt = 32, masker: str = "mean") -> Tensor:
    """Area under the target-score curve while the most relevant features are removed first.

    Attributions are ordered by their signed values. Slopes are first turned into what a linear model
    would lose, slope times (input - masked input), where one channel makes that possible: a slope
    alone says nothing about what removing a feature does. The area is the mean output over the
    share of removed features (0 to 1, start and end included), so it lies in [0, 1] where the model
    gives probabilities and has the unit of the output where it gives values.

    Parameters
    ----------
    steps : int
        Parts in which the features are removed.
    masker : str
        What removed features are set to.

    Returns
    -------
    Tensor (N,)
    """
    return area(removal_curve(ev, "morf", masker, steps), ev.layout.n_features)


@_removal(
    "deletion",
    higher_is_better=False,
    bounds=(0, 1),
    curve=_removed("morf"),
    source="Petsiuk et al. 2018, RISE, section 4.1",
)
def deletion(ev: Evaluation, *, steps: PositiveInt = 32, masker: str = "mean") -> Tensor:
    """Area under the target-score curve while the most relevant features are deleted.

    The same curve as `pixel_flipping`, and with equal parameters the same number, at no further
    cost. It is the other half of `insertion`: give both the same masker. Petsiuk et al. delete to
    the channel mean, which is the default.

    Parameters
    ----------
    steps : int
    masker : str

    Returns
    -------
    Tensor (N,)
    """
    return area(removal_curve(ev, "morf", masker, steps), ev.layout.n_features)


@_removal(
    "insertion",
    higher_is_better=True,
    bounds=(0, 1),
    curve=_inserted,
    source="Petsiuk et al. 2018, RISE, section 4.1",
)
def insertion(ev: Evaluation, *, steps: PositiveInt = 32, masker: str = "mean") -> Tensor:
    """Area under the target-score curve while the most relevant features are put back into the masked sample.

    Inserting the most relevant features first is removing the least relevant ones first, read
    backwards; the curve is shared with every metric that uses that order. Petsiuk et al. start
    from a blurred image (``masker="blur"``); the default is the mean, because blur has no meaning
    for tables.

    Parameters
    ----------
    steps : int
    masker : str

    Returns
    -------
    Tensor (N,)
    """
    return area(removal_curve(ev, "lerf", masker, steps), ev.layout.n_features)


@_removal(
    "abpc",
    higher_is_better=True,
    bounds=(-1, 1),
    curve=_between,
    source="Samek et al. 2017, area between curves; Schulz et al. 2020, Restricting the flow, section 4.3",
)
def abpc(ev: Evaluation, *, steps: PositiveInt = 32, masker: str = "mean") -> Tensor:
    """Area between two perturbation curves: least relevant features removed first, minus most relevant first.

    What both orders have in common, the harm that any removal does, falls out. With equal
    parameters it is the difference of `insertion` and `pixel_flipping`, at no further cost.

    Parameters
    ----------
    steps : int
    masker : str

    Returns
    -------
    Tensor (N,)
    """
    return area(_between(ev, steps=steps, masker=masker), ev.layout.n_features)
