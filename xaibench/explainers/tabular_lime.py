"""LIME for tables (Ribeiro et al. 2016): a linear model fitted to random rows around the sample."""

from __future__ import annotations

import math

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.components import AttributionKind
from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.perturbed_copies import check_positive, sample_blocks, scores
from xaibench.explainers.surrogates import weighted_ridge


def tabular_lime_kind(problem: ProblemView) -> AttributionKind:
    """Coefficients of columns are slopes; those of categories and of groups are contributions."""
    layout = problem.layout
    return "contribution" if layout.categorical or not layout.one_number_each else "slope"


@explainer("tabular_lime", kind=tabular_lime_kind, needs={"background", "table"})
def tabular_lime(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 500,
    radius: PositiveFloat = 1.0,
    kernel_width: PositiveFloat | None = None,
    neighbours: NonNegativeInt = 0,
    ridge: NonNegativeFloat = 1.0,
    draws: Draws,
) -> Tensor:
    """Coefficients of a local ridge regression on perturbed rows (Ribeiro et al. 2016, tabular data).

    Numbers get Gaussian noise around the sample. Columns that hold zeros and ones only are drawn
    again, by their frequency in the background. A row weighs ``sqrt(exp(-(distance / kernel_width)^2))``.

    Categories, codes and one-hot blocks as a whole, are those of drawn background rows, and a code counts as 1 where
    it is the sample's own and 0 elsewhere. Where there are categories or groups, attributions are contributions:
    coefficient times what the sample has beyond the background's mean, summed in every group.

    With ``neighbours`` the perturbed rows stay where data are: the numbers of a row are those of
    one of the background rows that are nearest to the sample, taken together. A model that behaves
    well on made-up rows only (Slack et al. 2020) cannot tell such a row from a real one.

    Parameters
    ----------
    n_samples : int
        Rows; the first is the sample itself.
    radius : float
        Standard deviation of the noise, in input units: 1 is published for standardised columns.
    kernel_width : float, optional
        Default: 0.75 times the root of the number of columns, as published.
    neighbours : int
        Draw the numbers from this many nearest background rows (at most all). 0: add noise instead.
    ridge : float
        Penalty on the squared coefficients; the intercept is free.

    Raises
    ------
    UnsupportedError
        If the problem is not a table, or has no background.
    """
    check_positive(n_samples=n_samples)
    if problem.background is None or problem.layout.kind != "table":
        raise UnsupportedError("tabular_lime needs a table and a background", "pass background=, reference rows")
    background = problem.background
    d = background.shape[1]
    width = 0.75 * math.sqrt(d) if kernel_width is None else kernel_width
    layout = problem.layout
    codes, blocks = _categorical_columns(layout)
    binary = ((background == 0) | (background == 1)).all(dim=0)
    frequency = background.mean(dim=0)
    maps = []
    for block in sample_blocks(problem, 8 * n_samples * d + 8 * len(background)):
        view, own = problem.take(block), draws[block]
        bits = (own.uniform((n_samples, d)) < frequency).to(view.inputs.dtype)
        if neighbours == 0:
            numbers = view.inputs.unsqueeze(1) + radius * own.normal((n_samples, d)).to(view.inputs.dtype)
        else:
            numbers = background[_nearest(view.inputs, background, ~binary, neighbours, n_samples, own)]
        rows = torch.where(binary, bits, numbers)
        for columns in blocks:
            rows[:, :, columns] = background[own.integers(len(background), (n_samples,))][:, :, columns]
        rows[:, 0] = view.inputs
        z = (rows - view.inputs.unsqueeze(1)).double()
        z[:, :, codes] = -(z[:, :, codes] != 0).double()
        weights = torch.exp(-0.5 * z.square().sum(dim=2) / width**2)
        coefficients = weighted_ridge(z, scores(view, rows).double(), weights, ridge)
        if tabular_lime_kind(problem) == "contribution":
            beyond = (view.inputs - frequency).double()
            same = background[:, codes] == view.inputs[:, codes].unsqueeze(1)
            beyond[:, codes] = 1 - same.double().mean(dim=1)
            coefficients = layout.reduce(coefficients * beyond)
        maps.append(coefficients)
    return torch.cat(maps).to(problem.inputs.dtype)


def _categorical_columns(layout: FeatureLayout) -> tuple[list[int], list[list[int]]]:
    """Columns of codes, and the columns of every category: of a one-hot block several."""
    members = [list(layout.columns[feature]) for feature in layout.categorical]
    return [columns[0] for columns in members if len(columns) == 1], members


def _nearest(inputs: Tensor, background: Tensor, columns: Tensor, k: int, n: int, draws: Draws) -> Tensor:
    """Draw, with replacement, numbers of background rows (N, n) out of the k nearest in these columns."""
    k = min(k, len(background))
    gaps = torch.cdist(inputs[:, columns].double(), background[:, columns].double())
    near = gaps.sort(dim=1, stable=True).indices[:, :k]
    return near.gather(1, draws.integers(k, (n,)).to(near.device))
