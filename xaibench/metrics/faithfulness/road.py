"""ROAD (Rong et al. 2022): removal by noisy linear imputation, which hides the mask from the model."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import require_classes
from xaibench.core.registry import metric
from xaibench.core.series_groups import CellGroup
from xaibench.metrics.engines.removal import Order, SharesUpToOne, counts_of_shares, removal_points, removal_raw
from xaibench.metrics.engines.removal_units import removal_units

REMOVED_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""Shares of removed pixels, as published."""
RoadMeasure = Literal["output", "accuracy"]
_SOURCE = "Rong et al. 2022, A consistent and efficient evaluation strategy for attribution methods, section 4 (ROAD)"


def _curve(
    order: Order,
    ev: Evaluation,
    shares: SharesUpToOne,
    masker: str,
    measure: RoadMeasure,
    group: CellGroup | None = None,
    patch: int | None = None,
) -> Tensor:
    """Output, or 1 where the target is still predicted, at every share (N, len(shares))."""
    units = removal_units(ev, masker, group, patch)
    counts = counts_of_shares(units.count, shares)
    if measure == "output":
        return removal_points(ev, order, masker, counts, units)
    require_classes(ev.model.returns, "accuracy is about predicted classes")
    return (removal_raw(ev, order, masker, counts, units).argmax(dim=2) == ev.targets.unsqueeze(1)).float()


@metric(
    "road_morf",
    family="faithfulness",
    construct="removal",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"image", "series"},
    output="curve",
    convert="order",
    curve=lambda ev, **params: _curve("morf", ev, **params),
    source=_SOURCE,
    place_matters=True,  # pixels are imputed from their neighbours
    in_output_unit={"measure": "output"},
    unkeyed_defaults={"group", "patch"},
)
def road_morf(
    ev: Evaluation,
    *,
    shares: SharesUpToOne = REMOVED_SHARES,
    masker: str = "noisy_linear",
    measure: RoadMeasure = "output",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Mean target score when shares of the most relevant pixels are imputed from the others.

    Imputed pixels are weighted means of their neighbours plus a little noise, so that the shape of
    what was removed tells the model as little as possible. No model is retrained.

    Parameters
    ----------
    shares : tuple of float
        Shares of the features to remove, above 0 and up to 1.
    masker : str
    measure : {"output", "accuracy"}
        The measured output, or as published whether the target is still the predicted class.
    group : {"segments", "sensors", "steps", "cells"}, optional
    patch : int, optional
        Of series: what is removed at a time, and the length of a segment; see `pixel_flipping`. Shares are then of
        these units.

    Returns
    -------
    Tensor (N,)
    """
    return _curve("morf", ev, shares, masker, measure, group, patch).mean(dim=1)


@metric(
    "road_lerf",
    family="faithfulness",
    construct="removal",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"image", "series"},
    output="curve",
    convert="order",
    curve=lambda ev, **params: _curve("lerf", ev, **params),
    source=_SOURCE,
    place_matters=True,  # pixels are imputed from their neighbours
    in_output_unit={"measure": "output"},
    unkeyed_defaults={"group", "patch"},
)
def road_lerf(
    ev: Evaluation,
    *,
    shares: SharesUpToOne = REMOVED_SHARES,
    masker: str = "noisy_linear",
    measure: RoadMeasure = "output",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Mean target score when shares of the least relevant pixels are imputed from the others.

    Parameters
    ----------
    shares : tuple of float
        Shares of the features to remove, above 0 and up to 1.
    masker : str
    measure : {"output", "accuracy"}
        The measured output, or as published whether the target is still the predicted class.
    group : {"segments", "sensors", "steps", "cells"}, optional
    patch : int, optional
        Of series: what is removed at a time, and the length of a segment; see `pixel_flipping`. Shares are then of
        these units.

    Returns
    -------
    Tensor (N,)
    """
    return _curve("lerf", ev, shares, masker, measure, group, patch).mean(dim=1)
