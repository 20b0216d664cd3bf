"""Series as reports draw them: time first, with what a masker puts in the place of each stretch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from xaibench.core.draws import Draws
from xaibench.core.features import FeatureLayout
from xaibench.core.masking.maskers import make_masker
from xaibench.core.masking.names import FROM_KEPT_STEPS
from xaibench.core.series_groups import series_groups
from xaibench.core.types import Array
from xaibench.metrics.engines.removal_units import default_length
from xaibench.store import StoredExamples
from xaibench.store.examples import CURVED, SENSORS_FIRST

SHOWN_MASKERS = (*sorted(FROM_KEPT_STEPS), "zero", "mean", "blur", "sample_min")
"""Maskers that draw nothing at random: what they put into a stored series can be said from it."""


def time_first(values: Array, stored: StoredExamples) -> Array:
    """Values of one series with its time as the first axis, as reports draw them; values of other data as they are."""
    return values.T if stored.axes == SENSORS_FIRST and values.ndim == 2 else values


def shown_masker(rows: pd.DataFrame) -> Mapping[str, Any] | None:
    """Name and parameters of the removal metric whose masker is drawn into series.

    Parameters
    ----------
    rows : DataFrame
        Cells of one problem, with ``metric``, ``params`` and ``status``.

    Returns
    -------
    mapping or None
        The parameters, and ``metric``: of the metrics whose curves are drawn the first one, else of the first that has
        a masker of `SHOWN_MASKERS`. None where no metric has one.
    """
    scored = rows[rows["status"] == "ok"]
    pairs = list(dict.fromkeys(zip(scored["metric"], scored["params"], strict=True)))
    pairs.sort(key=lambda pair: CURVED.index(pair[0]) if pair[0] in CURVED else len(CURVED))
    for metric, text in pairs:
        params = json.loads(text) if isinstance(text, str) and text else {}
        if isinstance(params, dict) and params.get("masker") in SHOWN_MASKERS:
            return {**params, "metric": metric}
    return None


def filled(series: Array, sensor_means: Array | None, params: Mapping[str, Any]) -> tuple[Array, str] | None:
    """What a masker puts into a series wherever one group alone is removed, and the groups in words.

    Parameters
    ----------
    series : array (T,) or (T, D)
        Time first.
    sensor_means : array (D,) or None
        Mean of the background by sensor, for the masker ``mean``.
    params : mapping
        ``masker``, ``group`` and ``patch`` of a removal metric. Single cells are drawn as steps, of all sensors at
        once: every sensor is filled by itself.

    Returns
    -------
    (array (T,) or (T, D), str) or None
        None where numbers are missing: of a series that is shorter than others.

    Examples
    --------
    A bump becomes the line between its ends, and each end the nearest step that remains, which is in the bump:

    >>> import numpy as np
    >>> found = filled(np.array([0.0, 0, 5, 5, 0, 0]), None, {"masker": "interpolate", "group": "segments", "patch": 2})
    >>> found[0].tolist(), found[1]
    ([5.0, 5.0, 0.0, 0.0, 5.0, 5.0], '2 steps')
    """
    if not np.isfinite(series).all():
        return None
    name, group, patch = str(params["masker"]), params.get("group"), params.get("patch")
    layout = FeatureLayout("series", series.shape)
    if group is None and name in FROM_KEPT_STEPS:
        group = "segments"
    if group == "segments":
        length = int(patch) if patch else default_length(len(series))
        labels, words = series_groups(layout, "segments", length), "1 step" if length == 1 else f"{length} steps"
    elif group == "sensors":
        labels, words = series_groups(layout, "sensors"), "a whole sensor"
    else:
        labels, words = series_groups(layout, "steps"), "1 step"
    inputs = torch.from_numpy(np.ascontiguousarray(series)).unsqueeze(0)
    background = None
    if sensor_means is not None:
        background = torch.from_numpy(np.broadcast_to(sensor_means, series.shape).copy()).to(inputs.dtype).unsqueeze(0)
    masker = make_masker(name, inputs, layout, background, Draws(0, "reports draw nothing", (b"",)))
    removed = labels == torch.arange(int(labels.max()) + 1).view(-1, *[1] * labels.ndim)
    copies = masker.copies(slice(0, 1), ~removed.unsqueeze(0))
    return torch.where(removed, copies, 0).sum(dim=0).numpy(), words
