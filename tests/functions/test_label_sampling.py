"""Estimates of F1 from a few labels, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.functions.scorers.candidates import Candidates
from xaibench.functions.scorers.corruptions import corrupted_descriptions
from xaibench.functions.scorers.label_sampling import SamplingScheme, sampled_inputs

N, RATE = 20_000, 0.01
SCHEMES: tuple[SamplingScheme, ...] = ("uniform", "top_and_random", "importance")


def neuron() -> xb.Case:
    return corrupted_descriptions(seed=4, n=1, rate=RATE, inputs=N, draws=1)[0]


def estimates(case: xb.Case, runs: int, **params: Any) -> np.ndarray[Any, Any]:
    """Ratings (runs, J)."""
    return torch.stack([xb.explain_case("sampled_f1", case, seed=s, **params).values for s in range(runs)]).numpy()


@pytest.mark.parametrize("sampling", SCHEMES)
def test_inputs_are_drawn_with_the_probability_that_is_said(sampling: SamplingScheme) -> None:
    active = np.arange(40) < 3
    rows, chances = sampled_inputs(active, sampling, 60_001, np.random.default_rng(0))
    expected = {int(i): p for i, p in zip(rows, chances, strict=True)}
    assert sum(expected.values()) == pytest.approx(1)
    counts = np.bincount(rows, minlength=40)
    for i, p in expected.items():
        assert abs(counts[i] / len(rows) - p) < 4 * np.sqrt(p * (1 - p) / len(rows))
    assert (chances[rows == 0][0] == 1 / 40) == (sampling == "uniform")


@pytest.mark.parametrize("sampling", ["uniform", "importance"])
def test_counts_are_unbiased(sampling: SamplingScheme) -> None:
    """True positives and size of a description that holds at half of the active inputs and at two others."""
    active, holds = np.arange(50) < 4, np.isin(np.arange(50), [0, 1, 9, 10])
    found = []
    for seed in range(2000):
        rows, chances = sampled_inputs(active, sampling, 10, np.random.default_rng(seed))
        weights = 1 / chances / 10
        found.append(
            [(weights * (holds & active)[rows]).sum(), (weights * holds[rows]).sum(), (weights * active[rows]).sum()]
        )
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(mean - [2, 4, 4]) < 4 * error + 1e-12).all()


def test_top_and_random_inputs_take_what_is_too_broad_for_right() -> None:
    """Twice the concept has an F1 of 2/3, and 2 (1 + g) / (2 + 3 g) on such a sample, for a firing rate g."""
    case = neuron()
    relation = case.hidden["relation"].numpy()
    found = estimates(case, 60, sampling="top_and_random", labels=500)
    mean, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(len(found))
    (extra,), (missing,) = np.flatnonzero(relation == 2), np.flatnonzero(relation == 1)
    assert abs(mean[extra] - 2 * (1 + RATE) / (2 + 3 * RATE)) < 4 * error[extra] + 2e-3
    assert abs(mean[missing] - 2 / 3) < 4 * error[missing] + 0.03
    weighted = estimates(case, 60, sampling="importance", labels=500)
    assert abs(weighted[:, extra].mean() - 2 / 3) < 0.08
    assert abs(weighted[:, relation == 0].mean() - 1) < 0.03


def test_few_uniform_labels_hold_no_active_input() -> None:
    active = torch.zeros(100_000, dtype=torch.bool)
    active[:3] = True
    case = xb.Case(
        "rare", "scorer", Candidates(active, torch.stack([active, ~active])), xb.Scores(torch.tensor([1.0, 0.0])),
        {"relation": torch.tensor([0, 2])}, units=("own", "other"),
    )  # fmt: skip
    assert xb.explain_case("sampled_f1", case, sampling="uniform", labels=100).values[0] == 0
    found = xb.explain_case("sampled_f1", case, labels=100)
    assert found.values[0] == pytest.approx(1, abs=0.01)
    assert found.facts == {"range": 1.0, "labels": 100}


def test_a_silent_neuron_has_no_top() -> None:
    nothing = torch.zeros(50, dtype=torch.bool)
    case = xb.Case(
        "silent", "scorer", Candidates(nothing, torch.stack([nothing, ~nothing])), xb.Scores(torch.tensor([1.0, 0.0])),
        {"relation": torch.tensor([0, 2])}, units=("own", "other"),
    )  # fmt: skip
    for sampling in SCHEMES:
        assert float(xb.explain_case("sampled_f1", case, sampling=sampling, labels=10).values[1]) == 0
