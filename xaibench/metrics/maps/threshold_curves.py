"""Precision and recall of scaled maps over thresholds, and the areas that published software takes of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xaibench.metrics.maps.similarity import is_constant


def scaled_to_unit(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values (N, F) scaled to [0, 1] per sample, float64, and whether they vary at all (N,)."""
    low, high = values.double().aminmax(dim=1, keepdim=True)
    return (values - low) / (high - low), ~is_constant(values)


def scaled_or_zero(values: Tensor) -> Tensor:
    """Values (N, F) scaled to [0, 1] per sample, float64; 0 everywhere where they do not vary."""
    found, varies = scaled_to_unit(values)
    return torch.where(varies.unsqueeze(1), found, 0.0)


@dataclass(frozen=True)
class ThresholdCurves:
    """Precision and recall of the features whose value is at least a threshold, the threshold at every value.

    Attributes
    ----------
    thresholds : Tensor (N, F), float64
        The values, falling.
    precision, recall : Tensor (N, F), float64
        At each of them. Equal values have equal entries: they pass a threshold together.
    """

    thresholds: Tensor
    precision: Tensor
    recall: Tensor

    @staticmethod
    def of(values: Tensor, mask: Tensor) -> ThresholdCurves:
        """The curves of values (N, F) as detectors of a mask (N, F) of bool with at least one true feature each."""
        ordered, order = values.double().sort(dim=1, descending=True)
        found = mask.gather(1, order).cumsum(dim=1).double()
        n = values.shape[1]
        last = torch.ones_like(mask)
        last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
        position = torch.arange(n, device=values.device)
        end = torch.where(last, position, n).flip(1).cummin(dim=1).values.flip(1)
        hits = found.gather(1, end)
        return ThresholdCurves(ordered, hits / (end + 1), hits / found[:, -1:])

    def area_over_thresholds(self, curve: Tensor) -> Tensor:
        """Trapezoid (N,) of a curve (N, F) between the smallest and the largest value; 0 where all are equal."""
        widths = self.thresholds[:, :-1] - self.thresholds[:, 1:]
        return (widths * (curve[:, :-1] + curve[:, 1:])).sum(dim=1) / 2

    def area_over_recall(self) -> Tensor:
        """Trapezoid (N,) of precision over recall, from precision 1 at recall 0."""
        ones, zeros = torch.ones_like(self.recall[:, :1]), torch.zeros_like(self.recall[:, :1])
        precision = torch.cat([ones, self.precision], dim=1)
        recall = torch.cat([zeros, self.recall], dim=1)
        return (recall.diff(dim=1) * (precision[:, :-1] + precision[:, 1:])).sum(dim=1) / 2

    def step_area(self, curve: Tensor) -> Tensor:
        """Integral (N,) of a curve (N, F) over the threshold, exact; NaN where all values are equal."""
        widths = self.thresholds[:, :-1] - self.thresholds[:, 1:]
        varies = self.thresholds[:, 0] > self.thresholds[:, -1]
        return torch.where(varies, (widths * curve[:, :-1]).sum(dim=1), torch.nan)

    def average_precision(self) -> Tensor:
        """Mean precision (N,) at the true features."""
        gained = self.recall.diff(dim=1, prepend=torch.zeros_like(self.recall[:, :1]))
        return (self.precision * gained).sum(dim=1)
