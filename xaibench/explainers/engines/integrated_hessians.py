"""Integrated Hessians (Janizek et al. 2021): interactions from second derivatives along the line from a baseline."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView

MOST_HESSIAN_COLUMNS = 32
PATH_POINTS = 16
"""Midpoints in each of the two directions."""
INCOMPLETE = 0.1
"""Share of the difference from the baseline by which the sum may miss it."""


def integrated_hessians(problem: ProblemView, *, baseline: str = "zero") -> Tensor:
    """Interactions (N, d, d) of the columns of a table (Janizek et al. 2021, Eq. 6 and 7), float64.

    ``(x_i - b_i)(x_j - b_j)`` times the mean of ``u v f_ij(b + u v (x - b))`` over u and v from 0 to 1; on the diagonal
    also ``(x_i - b_i)`` times the mean of ``f_i``. All entries together, the two places of a pair included, add up to
    ``f(x) - f(b)``. Half of a pure product of two columns is given to their main effects.

    Parameters
    ----------
    problem : ProblemView
    baseline : str
        Masker whose fill is the start of the line.

    Raises
    ------
    UnsupportedError
        If there are not 2 to 32 columns or features are not columns, and if the entries do not add up: second
        derivatives of piecewise linear units are 0 everywhere, and what happens at their kinks is lost.
    """
    layout = problem.layout
    if layout.kind != "table" or not layout.one_number_each or not 2 <= layout.n_features <= MOST_HESSIAN_COLUMNS:
        raise UnsupportedError(f"integrated_hessians takes tables of 2 to {MOST_HESSIAN_COLUMNS} columns")
    layout.require_quantities("a second derivative")
    found = torch.stack([_of_sample(problem.take(slice(i, i + 1)), baseline) for i in range(len(problem))])
    start = problem.baseline(baseline)
    difference = (problem.scores(problem.inputs) - problem.scores(start)).double()
    off = (found.sum(dim=(1, 2)) - difference).abs()
    if bool((off > INCOMPLETE * difference.abs().clamp(min=1e-3)).any()):
        worst = float((off / difference.abs().clamp(min=1e-3)).max())
        raise UnsupportedError(
            f"integrated_hessians does not add up to what it explains (off by {worst:.0%}): "
            "piecewise linear units have no second derivatives",
            "replace ReLU by softplus, or use an index of coalitions, such as shapley_taylor",
        )
    return found


def _of_sample(view: ProblemView, baseline: str) -> Tensor:
    """Interactions (d, d) of one sample."""
    x, b = view.inputs, view.baseline(baseline)
    d = x.shape[1]
    mid = (torch.arange(PATH_POINTS, device=x.device, dtype=x.dtype) + 0.5) / PATH_POINTS
    product = (mid.unsqueeze(1) * mid).flatten().unsqueeze(1)
    model = require_module(view.model)
    rows = torch.zeros(len(product), dtype=torch.int64, device=x.device)
    with torch.enable_grad():
        points = (b + product * (x - b)).detach().requires_grad_(True)
        context = {name: values[rows] for name, values in view.context.items()} or None
        output = view.select(model.forward(points, context), rows)
        (slopes,) = torch.autograd.grad(output.sum(), points, create_graph=True)
        curved = []
        for i in range(d):
            column = slopes[:, i].sum()
            found = None
            if column.requires_grad:
                (found,) = torch.autograd.grad(column, points, retain_graph=True, allow_unused=True)
            curved.append(torch.zeros_like(points) if found is None else found)
    view.model.n_evaluations += len(points)
    hessian = torch.stack(curved, dim=1).double()
    way = (x - b)[0].double()
    together = (product.unsqueeze(2).double() * hessian).mean(dim=0) * way.unsqueeze(1) * way
    together = (together + together.T) / 2
    return (together + torch.diag(way * slopes.detach().double().mean(dim=0))).detach()
