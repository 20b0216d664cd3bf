"""Ridge regression with closed forms: fitting, leverage, and what every output loses without each training row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of one-hot targets, in float64.

    Attributes
    ----------
    inputs : Tensor (n, d)
    targets : Tensor (n, c)
    penalty : float
        Added to the diagonal of ``inputs' inputs``.
    """

    inputs: Tensor
    targets: Tensor
    penalty: float

    def fit(self, rows: Tensor | None = None) -> Tensor:
        """Weights (d, c) of the regression on some rows, given as a mask (n,) of bool or as numbers; all by default."""
        x, y = (self.inputs, self.targets) if rows is None else (self.inputs[rows], self.targets[rows])
        hessian = x.T @ x + self.penalty * torch.eye(x.shape[1], dtype=x.dtype)
        weights: Tensor = torch.linalg.solve(hessian, x.T @ y)
        return weights

    @cached_property
    def hessian(self) -> Tensor:
        """Half of the second derivative of the loss, (d, d)."""
        return self.inputs.T @ self.inputs + self.penalty * torch.eye(self.inputs.shape[1], dtype=self.inputs.dtype)

    @cached_property
    def residuals(self) -> Tensor:
        """Targets less fitted values, (n, c)."""
        return self.targets - self.inputs @ self.fit()

    @cached_property
    def leverage(self) -> Tensor:
        """Diagonal of the hat matrix, (n,)."""
        solved: Tensor = torch.linalg.solve(self.hessian, self.inputs.T)
        return (self.inputs * solved.T).sum(dim=1)

    def kernel(self, test: Tensor) -> Tensor:
        """``x H^-1 x_i`` of test rows (q, d) and training rows: (q, n)."""
        solved: Tensor = torch.linalg.solve(self.hessian, self.inputs.T)
        return test @ solved

    def influence(self, test: Tensor, classes: Tensor) -> Tensor:
        """First-order change of each output by each training row (q, n): ``x H^-1 x_i r_i`` (Koh and Liang 2017)."""
        return self.kernel(test) * self.residuals[:, classes].T

    def leave_one_out(self, test: Tensor, classes: Tensor) -> Tensor:
        """Output with all rows minus the output without each, exactly (q, n): the influence over ``1 - h_i``.

        By the formula of Sherman and Morrison, as in PRESS (Allen 1974).
        """
        return self.influence(test, classes) / (1 - self.leverage)
