"""Models that are formulas of a data set written as modules: the behaviours of `units`, Boolean functions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.types import Array

_DIFFERENTIABLE = {"gradients", "module"}
COLUMN_BOUND = 2.0
"""A number that no column of `units` reaches: a switched off ReLU is 0 whatever its column is."""


@model("units", provides=_DIFFERENTIABLE, features={"table"})
def units_formula(data: Data) -> nn.Module:
    """The formula of the data set `units`: logits of which that of class 1 is the formula.

    Raises
    ------
    UsageError
        If the data set is another one.
    """
    if "behaviour" not in data.facts:
        raise UsageError("the model units is the formula of the data set units, and this is another one")
    behaviour, weights = str(data.facts["behaviour"]), torch.from_numpy(np.asarray(data.facts["weights"]))
    return _BEHAVIOURS[behaviour](weights).eval()


@model("boolean", provides=_DIFFERENTIABLE, features={"table"})
def boolean_extension(data: Data) -> nn.Module:
    """The multilinear extension of the functions of the data set `boolean`, an output each: exact, and differentiable.

    Raises
    ------
    UsageError
        If the data set is another one.
    """
    if "tables" not in data.facts:
        raise UsageError("the model boolean is the functions of the data set boolean, and this is another one")
    return MultilinearExtension(np.asarray(data.facts["tables"])).eval()


class MultilinearExtension(nn.Module):
    """Functions on {0, 1}^d, extended to all of R^d, linear in every variable (Owen 1972).

    Parameters
    ----------
    tables : array (C, 2^d)
        Values at instances; that of number i has the bits of i.
    """

    tables: Tensor

    def __init__(self, tables: Array) -> None:
        super().__init__()
        self.register_buffer("tables", torch.from_numpy(tables.astype(np.float32)))

    def forward(self, inputs: Tensor) -> Tensor:
        shares = torch.ones_like(inputs[:, :1])
        for j in range(inputs.shape[1]):
            x = inputs[:, j : j + 1]
            # Instances with the next bit: 0 first, then 1.
            shares = torch.cat([shares * (1 - x), shares * x], dim=1)
        return shares @ self.tables.T


class _Formula(nn.Module):
    """A formula of eight columns as the logit of class 1."""

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.relu = nn.ReLU()

    def formula(self, x: Tensor) -> Tensor:
        """Values (N,)."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        found = self.formula(inputs)
        return torch.stack([-found, found], dim=1)


class CancelFormula(_Formula):
    """Pairs ``w x (1 - c)``, with ReLUs: ``relu(x - B c) - relu(-x - B c)`` is x where c is 0, and 0 where c is 1."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__(weights)
        self.other = nn.ReLU()

    def formula(self, x: Tensor) -> Tensor:
        number, switch = x[:, ::2], x[:, 1::2]
        passed: Tensor = self.relu(number - COLUMN_BOUND * switch) - self.other(-number - COLUMN_BOUND * switch)
        return (self.weights[0, ::2] * passed).sum(dim=1)


class InteractFormula(_Formula):
    """Four numbers whose weights a switch selects, and the switch by itself."""

    def formula(self, x: Tensor) -> Tensor:
        switch = x[:, 4:5]
        weights = self.weights[0, :4] * (1 - switch) + self.weights[1, :4] * switch
        return (weights * x[:, :4]).sum(dim=1) + self.weights[0, 4] * x[:, 4]


class SaturateFormula(_Formula):
    """The sum of all columns, at most 1."""

    def formula(self, x: Tensor) -> Tensor:
        total = x.sum(dim=1)
        found: Tensor = total - self.relu(total - 1)
        return found


class ProductFormula(_Formula):
    """The product of three columns, and two more by themselves."""

    def formula(self, x: Tensor) -> Tensor:
        return x[:, 0] * x[:, 1] * x[:, 2] + (self.weights[0, 3:5] * x[:, 3:5]).sum(dim=1)


class AbsenceFormula(_Formula):
    """A sum of three columns that the first one would switch off."""

    def formula(self, x: Tensor) -> Tensor:
        there: Tensor = self.relu(1 - x[:, 0])
        return there * (self.weights[0, 1:4] * x[:, 1:4]).sum(dim=1)


class CommonCauseFormula(_Formula):
    """A term that both classes share, and what separates them."""

    def forward(self, inputs: Tensor) -> Tensor:
        shared = 3 * inputs[:, 0]
        apart = (self.weights[0, 1:4] * inputs[:, 1:4]).sum(dim=1)
        return torch.stack([shared - apart, shared + apart], dim=1)


class ShatterFormula(_Formula):
    """A linear function with ripples, .01 high and of slope 10."""

    def formula(self, x: Tensor) -> Tensor:
        return (self.weights[0] * x).sum(dim=1) + 0.01 * torch.sin(1000 * x).sum(dim=1)


_BEHAVIOURS: dict[str, type[_Formula]] = {
    "absence": AbsenceFormula,
    "cancel": CancelFormula,
    "common_cause": CommonCauseFormula,
    "interact": InteractFormula,
    "product": ProductFormula,
    "saturate": SaturateFormula,
    "shatter": ShatterFormula,
}


@model("ripple", provides=_DIFFERENTIABLE, features={"table"})
def ripple_function(data: Data) -> nn.Module:
    """The function of the data set `ripple`: logits of which that of class 1 is the function.

    Raises
    ------
    UsageError
        If the data set is another one.
    """
    if not {"w", "u", "amplitude", "frequency"} <= set(data.facts):
        raise UsageError("the model ripple is the function of the data set ripple, and this is another one")
    facts = data.facts
    return Ripple(np.asarray(facts["w"]), np.asarray(facts["u"]), facts["amplitude"], facts["frequency"]).eval()


class Ripple(nn.Module):
    """``w.x + (A / k) sin(k u.x)``, in float64, because what is asked of it are differences of nothing.

    Parameters
    ----------
    w, u : array (d,)
    amplitude, frequency : float
        A and k.
    """

    w: Tensor
    u: Tensor

    def __init__(self, w: Array, u: Array, amplitude: float, frequency: float) -> None:
        super().__init__()
        self.register_buffer("w", torch.from_numpy(w.astype(np.float64)))
        self.register_buffer("u", torch.from_numpy(u.astype(np.float64)))
        self.amplitude, self.frequency = float(amplitude), float(frequency)

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.double()
        waves = torch.sin(self.frequency * (x @ self.u)) / self.frequency
        found = (x @ self.w + self.amplitude * waves).to(inputs.dtype)
        return torch.stack([-found, found], dim=1)
