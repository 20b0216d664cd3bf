"""Sobol indices and HSIC of cells: closed forms, and a double loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_view
from helpers.explainer_cases import run
from torch import nn

from xaibench.core.draws import Draws
from xaibench.core.errors import UsageError
from xaibench.core.features import FeatureLayout
from xaibench.core.predictor import CallablePredictor
from xaibench.explainers.engines.mask_designs import grid_cells, shifted_sobol
from xaibench.explainers.hsic import dependence

WEIGHTS = np.array([2.0, -1.0, 0.5, 0.0])


def view_of(function: Any, n: int = 20):
    """Images of ones, 4x4, of which the function sees the mean of each of 2x2 cells; every sample its own draws."""

    def model(images):
        cells = images.reshape(len(images), 2, 2, 2, 2).mean((2, 4)).reshape(len(images), 4)
        return function(cells)[:, None]

    inputs = torch.ones(n, 4, 4)
    view = make_view(
        CallablePredictor(model, "value"), inputs, targets=torch.zeros(n, dtype=torch.int64), features="image"
    )
    object.__setattr__(view, "digests", tuple(bytes([i]) for i in range(n)))
    return view


def of_cells(maps: torch.Tensor) -> torch.Tensor:
    assert torch.equal(maps[:, ::2, ::2], maps[:, 1::2, 1::2])
    return maps[:, ::2, ::2].flatten(1)


def within_three_errors(found: torch.Tensor, expected) -> None:
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - torch.as_tensor(expected).float()).abs() <= 3 * error + 1e-6).all()


def test_sobol_indices_of_a_sum_are_shares_of_squared_weights():
    found = of_cells(run("sobol", view_of(lambda c: c @ WEIGHTS), cells=2))
    within_three_errors(found, WEIGHTS**2 / (WEIGHTS**2).sum())
    assert found[:, 3].abs().max() == 0


def test_sobol_indices_of_a_product_are_four_sevenths_each():
    """Var(m1 m2) = 1/9 - 1/16 = 7/144, and what m1 has a part in is E m2^2 / 12 = 4/144."""
    found = of_cells(run("sobol", view_of(lambda c: c[:, 0] * c[:, 1]), cells=2, n_samples=256))
    within_three_errors(found[:, :2], [4 / 7, 4 / 7])
    assert found[:, 2:].abs().max() == 0


@pytest.mark.parametrize("name", ["sobol", "hsic"])
def test_an_output_that_does_not_vary_has_no_indices(name):
    assert torch.isnan(run(name, view_of(lambda c: np.full(len(c), 7.3), n=2), n_samples=16)).all()


def by_double_loop(signs: torch.Tensor, outputs: torch.Tensor) -> list[float]:
    n, outputs = len(outputs), outputs.tolist()
    apart = sorted(abs(a - b) for a in outputs for b in outputs)
    width = apart[(len(apart) - 1) // 2]
    kernel = [[math.exp(-((a - b) ** 2) / (2 * width**2)) for a in outputs] for b in outputs]
    centre = np.eye(n) - 1 / n
    found = []
    for column in signs.T.tolist():
        same = [[float(a == b) for a in column] for b in column]
        found.append(np.trace(np.array(same) @ centre @ np.array(kernel) @ centre) / (n - 1) ** 2)
    return found


def test_hsic_is_that_of_a_double_loop():
    generator = torch.Generator().manual_seed(0)
    signs = torch.where(torch.rand(64, 5, generator=generator) < 0.5, -1.0, 1.0).double()
    outputs = signs[:, 0] + 0.5 * signs[:, 1] * signs[:, 2] + torch.randn(64, generator=generator).double()
    expected = torch.tensor(by_double_loop(signs, outputs)).double()
    torch.testing.assert_close(dependence(signs, outputs), expected, rtol=1e-10, atol=1e-14)


def test_a_single_driver_has_the_largest_hsic_and_an_ignored_cell_that_of_an_independent_column():
    view = view_of(lambda c: 3 * c[:, 1] + 0.01 * c[:, 0], n=6)
    found = of_cells(run("hsic", view, cells=2, n_samples=256))
    assert (found.argmax(1) == 1).all()
    generator = torch.Generator().manual_seed(0)
    for row in range(6):
        shown = shifted_sobol(view.draws("explain")[row : row + 1], 256, 4)[0] >= 0.5
        outputs = 3 * shown[:, 1].double() + 0.01 * shown[:, 0].double()
        columns = torch.where(torch.rand(256, 200, generator=generator) < 0.5, -1.0, 1.0).double()
        limit = dependence(columns, outputs).quantile(0.95)
        assert found[row, 2] <= limit
        assert found[row, 3] <= limit


def test_masks_are_uniform_and_keyed_by_the_sample():
    draws = [str(i).encode() for i in range(400)]
    points = shifted_sobol(Draws(0, "a", draws), 8, 3)
    assert points.shape == (400, 8, 3)
    assert abs(float(points.mean()) - 0.5) < 0.01
    assert abs(float(points.var()) - 1 / 12) < 0.005
    assert torch.equal(shifted_sobol(Draws(0, "a", draws[7:8]), 8, 3)[0], points[7])


@pytest.mark.parametrize(("shape", "cells"), [((8, 8), 8), ((8, 6), 7), ((5, 5), 2), ((3, 9), 4)])
def test_cells_cover_an_image(shape, cells):
    index = grid_cells(FeatureLayout("image", shape), cells)
    assert index.shape == shape
    assert torch.equal(index.unique(), torch.arange(min(cells, shape[0]) * min(cells, shape[1])))


def test_hsic_needs_two_masks():
    with pytest.raises(UsageError, match="at least 2"):
        run("hsic", view_of(lambda c: c.sum(1), n=2), n_samples=1)


@pytest.mark.parametrize("name", ["sobol", "hsic"])
def test_colours_and_networks(name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    found = run(name, make_view(net, torch.randn(2, 3, 8, 8)), n_samples=16)
    assert torch.isfinite(found).all()
    assert (found >= 0).all()
