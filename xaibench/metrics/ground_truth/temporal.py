"""Localisation in time and among sensors: when an explanation starts, which steps and which sensors it finds."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.features import FeatureLayout
from xaibench.core.registry import metric
from xaibench.metrics.maps.average_precision import average_precision
from xaibench.metrics.maps.masks import nontrivial_masks, true_mask
from xaibench.metrics.maps.orders import OrderSign

_in_series = partial(
    metric,
    family="ground_truth",
    needs={"series", "truth.mask"},
    place_matters=True,  # steps and sensors are axes of the series
)
"""Declares a metric of series against a mask."""


@_in_series(
    "onset_error",
    construct="onset",
    higher_is_better=False,
    bounds=(0, None),
    sign="absolute",
    source="Half-maximum onset of the mass over time; the question of Tonekaboni et al. 2020, What went wrong and when",
    undefined_for={"zero maps", "constant maps"},
)
def onset_error(ev: Evaluation) -> Tensor:
    """Steps between the first true step and the first step with at least half the mass of the strongest step.

    The mass of a step is the sum of the magnitudes of its cells. Only the beginning counts: a map that is right at the
    first step and wrong afterwards scores 0.

    Returns
    -------
    Tensor (N,)
        In steps. NaN where all steps have the same mass, which begins nowhere, and where no step or every step is true.
    """
    true = _true_steps(ev)
    mass = _over_sensors(ev.attributions.abs().double(), ev.layout)
    low, peak = mass.aminmax(dim=1, keepdim=True)
    begins = ((peak - low) > 1e-9 * peak).squeeze(1)
    error = (_first(mass >= peak / 2) - _first(true)).abs().double()
    return torch.where(nontrivial_masks(true) & begins, error, torch.nan)


@_in_series(
    "step_auprc",
    construct="localisation",
    higher_is_better=True,
    bounds=(0, 1),
    skill_valid=True,
    source="Average precision over steps as in Ismail et al. 2020, Benchmarking deep learning interpretability in time "
    "series predictions",
)
def step_auprc(ev: Evaluation, *, sign: OrderSign = "absolute") -> Tensor:
    """Average precision of the steps, each with the sum of its cells: are the right times found, whatever the sensor?

    A step is true where one of its cells is. See `auprc`.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Sum attributions as they are, or their magnitudes.

    Returns
    -------
    Tensor (N,)
        NaN where no step or every step is true.
    """
    return average_precision(_over_sensors(_values(ev, sign), ev.layout), _true_steps(ev))


@_in_series(
    "sensor_auprc",
    construct="localisation",
    higher_is_better=True,
    bounds=(0, 1),
    skill_valid=True,
    source="Average precision over sensors as in Ismail et al. 2020, Benchmarking deep learning interpretability in "
    "time series predictions",
    undefined_for={"some inputs"},
)
def sensor_auprc(ev: Evaluation, *, sign: OrderSign = "absolute") -> Tensor:
    """Average precision of the sensors, each with the sum of its cells: are the right sensors found, at whatever time?

    A sensor is true where one of its cells is. See `auprc`.

    Parameters
    ----------
    sign : {"signed", "absolute"}
        Sum attributions as they are, or their magnitudes.

    Returns
    -------
    Tensor (N,)
        NaN where every sensor is true, as always with a single one, or none is.
    """
    return average_precision(_over_time(_values(ev, sign), ev.layout), _over_time(_mask(ev), ev.layout) > 0)


def _values(ev: Evaluation, sign: OrderSign) -> Tensor:
    _require_series(ev)
    return (ev.attributions.abs() if sign == "absolute" else ev.attributions).double()


def _require_series(ev: Evaluation) -> None:
    if ev.layout.kind != "series":
        raise UnsupportedError(f"steps and sensors are those of a series, and this is {ev.layout.kind} data")


def _mask(ev: Evaluation) -> Tensor:
    """The true mask (N, *feature_shape) as 0 and 1."""
    _require_series(ev)
    return true_mask(ev).view(-1, *ev.layout.feature_shape).double()


def _true_steps(ev: Evaluation) -> Tensor:
    return _over_sensors(_mask(ev), ev.layout) > 0


def _over_sensors(values: Tensor, layout: FeatureLayout) -> Tensor:
    """Sum over sensors (N, T)."""
    if values.ndim == 2:
        return values
    return values.sum(dim=1 if layout.sensors_first else 2)


def _over_time(values: Tensor, layout: FeatureLayout) -> Tensor:
    """Sum over time (N, D)."""
    summed = values.sum(dim=1 + layout.neighbour_axes[0])
    return summed.unsqueeze(1) if summed.ndim == 1 else summed


def _first(flags: Tensor) -> Tensor:
    """Place of the first true flag of each row (N,); 0 where there is none."""
    return flags.int().argmax(dim=1)
