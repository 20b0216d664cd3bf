"""Subset simulation against known probabilities, and what it says where it must not be used."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs, make_view
from scipy.stats import norm
from torch import nn

import xaibench as xb
from xaibench.metrics.engines.subset_simulation import rare_event

D = 64


def maps_field(bound: float, *, slope: float | None = 2.0):
    """One minus the correlation of a field of maps: at least .6 exactly where the first coordinate is above bound."""
    made = torch.Generator().manual_seed(5)
    first, other = torch.randn((2, 32), generator=made, dtype=torch.float64)
    first, other = first - first.mean(), other - other.mean()
    other = other - (other @ first) / (first @ first) * first

    def correlation(share: torch.Tensor) -> torch.Tensor:
        maps = first + share.unsqueeze(1) * (other - first)
        return (maps @ first) / (maps.norm(dim=1) * first.norm())

    # The share at which the correlation with the first map is exactly .4.
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if correlation(torch.tensor([middle]).double())[0] > 0.4 else (low, middle)
    crossing = math.log(low / (1 - low))

    def discrepancy(points: torch.Tensor) -> torch.Tensor:
        above = points[:, 0] - bound
        share = (above >= 0).double() if slope is None else torch.sigmoid(slope * above + crossing)
        return 1 - correlation(share)

    return discrepancy


@pytest.mark.slow
@pytest.mark.parametrize("power", [-2, -4, -6])
def test_known_probabilities_are_found(power: int) -> None:
    """Ten runs: their mean within .1 in log10, and each within three of its standard deviations."""
    field = maps_field(float(norm.isf(10.0**power)))
    runs = [rare_event(field, 0.6, D, generator=torch.Generator().manual_seed(seed)) for seed in range(10)]
    assert {run.method for run in runs} == {"subset"}
    logs = np.array([run.log10_p for run in runs])
    assert abs(logs.mean() - power) <= 0.1
    assert (np.abs(logs - power) <= 3 * max(logs.std(ddof=1), 0.05)).all()
    assert all(0 < run.variation < 1 for run in runs)


@pytest.mark.parametrize(("power", "seen"), [(-2, True), (-6, False)])
def test_a_step_is_told_as_a_plateau(power: int, seen: bool) -> None:
    """Subset simulation would return a number that means nothing; plain sampling has an exact interval."""
    bound = float(norm.isf(10.0**power))
    field = maps_field(bound, slope=None)
    run = rare_event(field, 0.6, D, generator=torch.Generator().manual_seed(0))
    assert run.method == "plateau"
    assert run.queries == 11_000
    assert run.low <= power <= run.high
    if seen:
        assert abs(run.log10_p - power) < 0.1
    else:
        assert run.log10_p == -math.inf
        assert run.high == pytest.approx(math.log10(3.7e-4), abs=0.01)


def test_a_linear_event_in_the_cube() -> None:
    """P[x1 > .9] for x1 from U(-1, 1) is .05, and of x1 and x2 both .0025."""
    runs = [
        rare_event(lambda x: x[:, :2].amin(dim=1), 0.9, 6, generator=torch.Generator().manual_seed(s), space="cube")
        for s in range(6)
    ]
    assert np.mean([10**run.log10_p for run in runs]) == pytest.approx(0.0025, rel=0.2)


def test_an_event_that_is_never_reached_is_an_upper_bound() -> None:
    run = rare_event(
        lambda x: torch.tanh(x[:, 0]), 2.0, 2, generator=torch.Generator().manual_seed(0), n=200, most_levels=3
    )
    assert run.method == "exhausted"
    assert run.low == -math.inf
    assert run.high == run.log10_p <= -2.9


class Smooth(nn.Module):
    """Logits whose gradient turns with the first two inputs."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found = torch.sin(3 * inputs).sum(dim=1) + 10
        return torch.stack([-found, found], dim=1)


@pytest.mark.slow
def test_the_metric_is_plain_sampling_where_that_is_enough() -> None:
    view = make_view(Smooth().eval(), make_inputs((4,), 3))
    given = {"model": view.model.module, "inputs": view.inputs.numpy(), "explain": "gradient"}
    found = xb.score("misinterpretation_log10p", **given, radius=1.0, n_samples=300)
    twice = xb.score("misinterpretation_log10p", **given, radius=1.0, n_samples=300)
    np.testing.assert_array_equal(found, twice)
    made = torch.Generator().manual_seed(9)
    for row in range(3):
        noise = 2 * torch.rand((20_000, 4), generator=made) - 1
        own = 3 * torch.cos(3 * view.inputs[row])
        maps = 3 * torch.cos(3 * (view.inputs[row] + noise))
        centred, first = maps - maps.mean(dim=1, keepdim=True), own - own.mean()
        correlation = (centred @ first) / (centred.norm(dim=1) * first.norm())
        assert found[row] == pytest.approx(math.log10(float((correlation < 0.4).float().mean())), abs=0.12)


def test_maps_that_never_turn_have_the_bound_of_plain_sampling() -> None:
    """None of 500: below 1 - .025^(1/500), and nothing more is known."""
    linear = nn.Sequential(nn.Linear(5, 2)).eval()
    found = xb.score(
        "misinterpretation_log10p", model=linear, inputs=make_inputs((5,), 2).numpy(), explain="gradient", n_samples=50
    )
    assert found == pytest.approx([math.log10(1 - 0.025 ** (1 / 500))] * 2, abs=1e-4)
