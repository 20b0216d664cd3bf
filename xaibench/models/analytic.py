"""Analytic models: weights computed from the known parameters of a data generator, without training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.types import Array

_DIFFERENTIABLE = {"gradients", "module", "truth.weights"}


@model("piecewise_linear", provides=_DIFFERENTIABLE, features={"table"})
def piecewise_linear(data: Data) -> nn.Module:
    """The functions of the data set `piecewise`, exactly: one sum of piecewise linear functions per output.

    Raises
    ------
    UsageError
        If the data set has no such facts.
    """
    slopes, starts = _facts(data, "slopes", "knots")
    return PiecewiseLinear(slopes, starts)


@model("clusterwise", provides=_DIFFERENTIABLE, features={"table"})
def clusterwise(data: Data) -> nn.Module:
    """The labels' own rule in the data set `synthgauss`: linear, with the weights of the nearest centre.

    The two logits are minus and plus half of the rule's log odds, less their median.

    Raises
    ------
    UsageError
        If the data set has no such facts.
    """
    centres, weights, threshold = _facts(data, "centres", "weights", "threshold")
    return Clusterwise(centres, weights, float(threshold))


def _facts(data: Data, *names: str) -> list[Array]:
    missing = [name for name in names if name not in data.facts]
    if missing:
        raise UsageError(f"this model needs facts that the data set does not provide: {', '.join(missing)}")
    return [np.asarray(data.facts[name]) for name in names]


class PiecewiseLinear(nn.Module):
    """Outputs (N, C) that are sums over features of continuous piecewise linear functions, 0 at 0.

    Parameters
    ----------
    slopes : array (C, d, K)
        Slope of every function in every cell.
    starts : array (K,)
        Where the cells begin, the first at 0. All functions share them; the first and the last cell
        go on to infinity.
    """

    slope: Tensor
    value: Tensor

    def __init__(self, slopes: Array, starts: Array) -> None:
        super().__init__()
        n_outputs, n_features, n_cells = slopes.shape
        widths = np.diff(starts.astype(np.float64))
        rises = np.cumsum(slopes[..., :-1].astype(np.float64) * widths, axis=2)
        values = np.concatenate([np.zeros((n_outputs, n_features, 1)), rises], axis=2)
        # One row per feature and cell, with a column for every output: what the sums look up. In float64,
        # because what is asked of the outputs is their differences.
        for name, table in (("slope", slopes), ("value", values)):
            rows = np.ascontiguousarray(np.moveaxis(table, 0, 2).reshape(n_features * n_cells, n_outputs))
            self.register_buffer(name, torch.from_numpy(rows.astype(np.float64)))
        self.rows = Rows(starts, n_features)
        self.offsets = Offsets(starts)

    def forward(self, inputs: Tensor) -> Tensor:
        rows = self.rows(inputs)
        way = self.offsets(inputs, rows)
        at_knots = functional.embedding_bag(rows, self.value, mode="sum")
        since = functional.embedding_bag(rows, self.slope, mode="sum", per_sample_weights=way)
        return (at_knots + since).to(inputs.dtype)

    def slopes(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Slope of the targets' outputs (N,) in every feature of the inputs (N, d)."""
        found: Tensor = self.slope[self.rows(inputs), targets.unsqueeze(1)].to(inputs.dtype)
        return found


class Rows(nn.Module):
    """Row of a table (d * K, C) that holds the cell of every feature: inputs (N, d) to int64 (N, d)."""

    inner: Tensor
    first: Tensor

    def __init__(self, starts: Array, n_features: int) -> None:
        super().__init__()
        self.register_buffer("inner", torch.from_numpy(starts[1:].astype(np.float32)))
        self.register_buffer("first", torch.arange(n_features) * len(starts))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.bucketize(inputs.detach(), self.inner, right=True) + self.first


class Offsets(nn.Module):
    """Distance of every feature from where its cell begins: inputs (N, d) and rows (N, d) to float64 (N, d)."""

    starts: Tensor

    def __init__(self, starts: Array) -> None:
        super().__init__()
        self.register_buffer("starts", torch.from_numpy(starts.astype(np.float64)))

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        return inputs.double() - self.starts[rows % len(self.starts)]


class Clusterwise(nn.Module):
    """Two logits (N, 2), minus and plus half of ``x @ weights[k] - threshold``, k being the nearest centre.

    Parameters
    ----------
    centres, weights : array (K, d)
    threshold : float
    """

    centres: Tensor
    weights: Tensor

    def __init__(self, centres: Array, weights: Array, threshold: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.from_numpy(centres.astype(np.float32)))
        self.register_buffer("weights", torch.from_numpy(weights.astype(np.float32)))
        self.threshold = threshold

    def nearest(self, inputs: Tensor) -> Tensor:
        """Cluster of every input (N,): the one whose centre is nearest."""
        # The squared distance, less what it has in common for all centres.
        return (self.centres.square().sum(dim=1) - 2 * inputs.detach() @ self.centres.T).argmin(dim=1)

    def forward(self, inputs: Tensor) -> Tensor:
        odds = (inputs * self.weights[self.nearest(inputs)]).sum(dim=1) - self.threshold
        return torch.stack([-odds, odds], dim=1) / 2

    def slopes(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Slope of the targets' logits (N,) in every feature of the inputs (N, d)."""
        signs = (targets.to(inputs.dtype) - 0.5).unsqueeze(1)
        return signs * self.weights[self.nearest(inputs)]
