"""Conditional draws of Gaussian features given others, for many masks at a time."""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-4
"""Share of every variance that is added to it, so that columns that others determine can be solved for."""
MATRIX_BLOCK_NUMBERS = 2**21
"""Numbers of the matrices that are solved at a time; bounds memory, never changes a result."""


class Gaussian:
    """Jointly Gaussian features.

    Parameters
    ----------
    mean : Tensor (d,)
    covariance : Tensor (d, d)
    """

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        self.mean = mean.double()
        self.covariance = covariance.double()

    @classmethod
    def fitted(cls, rows: Tensor) -> Gaussian:
        """The mean and the sample covariance of rows (M, d), with a little more variance; see `RIDGE`."""
        rows = rows.double()
        covariance = torch.cov(rows.T).reshape(rows.shape[1], rows.shape[1])
        # A constant column has no variance to take a share of; any will do, since it is independent.
        own = covariance.diagonal()
        return cls(rows.mean(dim=0), covariance + torch.diag(torch.where(own > 0, RIDGE * own, RIDGE)))

    def sample(self, normal: Tensor) -> Tensor:
        """Turn standard normal numbers (N, d) into draws (N, d), float64."""
        factor = torch.linalg.cholesky(self.covariance)
        drawn: Tensor = self.mean + normal.to(factor) @ factor.T
        return drawn

    def redraw(self, inputs: Tensor, keep: Tensor, draws: Tensor) -> Tensor:
        """Draw the features that are not kept, given those that are.

        A draw of all features is moved by what its kept ones miss of the inputs, in the direction
        in which kept and other features vary together: ``draw + C_rk C_kk^-1 (x - draw)_k``. Its
        distribution is exactly the conditional one (Matheron's rule; Journel & Huijbregts 1978,
        conditioning by kriging), for any number of masks with the same draw, and a feature more or
        less moves it no further than it must.

        Parameters
        ----------
        inputs : Tensor (B, d)
        keep : Tensor (B, d) of bool
        draws : Tensor (B, d)
            From `sample`.

        Returns
        -------
        Tensor (B, d), of the dtype of ``inputs``
            Kept features exactly as they were; the draw itself where none is kept.
        """
        step = max(1, MATRIX_BLOCK_NUMBERS // self.covariance.numel())
        parts = [
            self._redraw(*block)
            for block in zip(torch.split(inputs, step), torch.split(keep, step), torch.split(draws, step), strict=True)
        ]
        return torch.cat(parts)

    def _redraw(self, inputs: Tensor, keep: Tensor, draws: Tensor) -> Tensor:
        # Rows and columns of other features are those of the identity: one matrix shape for all masks.
        both = keep.unsqueeze(1) & keep.unsqueeze(2)
        matrix = torch.where(both, self.covariance, torch.diag_embed((~keep).double()))
        missed = torch.where(keep, inputs.double() - draws.double(), 0)
        weights = torch.cholesky_solve(missed.unsqueeze(2), torch.linalg.cholesky(matrix)).squeeze(2)
        moved = draws.double() + weights @ self.covariance
        return torch.where(keep, inputs, moved.to(inputs.dtype))
