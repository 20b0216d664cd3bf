"""What a removal curve removes at a time: single features, or groups of cells of a series."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xaibench.core.errors import UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.masking.names import FROM_KEPT_STEPS
from xaibench.core.series_groups import CellGroup, check_series_group, series_groups


@dataclass(frozen=True)
class RemovalUnits:
    """The units that are removed one after another.

    Attributes
    ----------
    count : int
    labels : Tensor (*feature_shape) of int64 or None
        Unit of every feature; None where every feature is one.
    name : str
        Says how they were made; part of the keys of what is shared.
    """

    count: int
    labels: Tensor | None = None
    name: str = ""


def default_length(n_steps: int) -> int:
    """Steps of a segment where none are named: a sixteenth of the series, at least 2."""
    return max(2, round(n_steps / 16))


def removal_units(ev: Evaluation, masker: str, group: CellGroup | None, patch: int | None) -> RemovalUnits:
    """What is removed at a time under this masker.

    Where no group is named, single features; of series segments, if the masker would give a single cell back from
    its neighbours (`FROM_KEPT_STEPS`).

    Raises
    ------
    UsageError
        If there is a length, and no segments.
    UnsupportedError
        If groups of series are asked for and the data are none.
    """
    if group is None and ev.layout.kind == "series" and masker in FROM_KEPT_STEPS:
        group = "segments"
    if group is None or group == "cells":
        if patch is not None:
            raise UsageError("patch is the length of segments, and single features are removed", 'group="segments"')
        return RemovalUnits(ev.layout.n_features)
    check_series_group(ev.layout, group, patch)
    length = patch
    if group == "segments" and length is None:
        length = default_length(ev.layout.feature_shape[ev.layout.neighbour_axes[0]])
    labels = series_groups(ev.layout, group, length).to(ev.inputs.device)
    return RemovalUnits(int(labels.max()) + 1, labels, f"{group}{length or ''}")
