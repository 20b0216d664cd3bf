"""Scores of dictionaries on planted ones, whose scores follow by hand, and with planted faults."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.dictionaries.matching import absolute_cosines, firing_f1, mean_cosine


@dataclass(frozen=True)
class Given:
    test: Tensor


ON = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [2, 0, 0, 1]])
DIRECTIONS = torch.eye(4)
INPUTS = ON @ DIRECTIONS


def planted(dictionary: xb.Dictionary) -> dict[str, float]:
    truth = xb.Dictionary(DIRECTIONS[:2], ON[:, :2], ON[:, :2] @ DIRECTIONS[:2])
    hidden = {"directions": DIRECTIONS, "activations": ON}
    case = xb.Case("planted", "dictionary", Given(INPUTS), truth, hidden)
    found = {}
    for name in (
        "dictionary_mcc", "dictionary_f1", "dictionary_mmcs", "dictionary_uniqueness", "explained_variance",
        "active_codes", "silent_directions",
    ):  # fmt: skip
        spec = get("metric", name)
        assert isinstance(spec, MetricSpec)
        ev = xb.CaseEvaluation((case,), (dictionary,), seed=0, budget=0)
        found[name] = float(score_programs(spec, spec.bind({}), ev)[0])
    return found


def made(directions: Tensor, codes: Tensor) -> xb.Dictionary:
    return xb.Dictionary(directions, codes, codes @ directions)


def test_all_features_score_1_and_explain_all() -> None:
    found = planted(made(DIRECTIONS, ON))
    assert found == pytest.approx(
        {
            "dictionary_mcc": 1, "dictionary_f1": 1, "dictionary_mmcs": 1, "dictionary_uniqueness": 1,
            "explained_variance": 1, "active_codes": 7 / 6, "silent_directions": 0,
        }
    )  # fmt: skip


def test_the_sign_and_the_length_of_a_direction_do_not_count() -> None:
    found = planted(made(-3 * DIRECTIONS, -ON / 3))
    assert found["dictionary_mcc"] == pytest.approx(1)
    assert found["dictionary_f1"] == pytest.approx(1)
    assert found["explained_variance"] == pytest.approx(1)


def test_matching_is_one_to_one_and_the_best_there_is() -> None:
    """A greedy matching takes .7 first and is left with 0; the best one is .6 and .65."""
    features = torch.eye(3)[:2]
    directions = torch.tensor([[0.7, 0.6, 0.0], [0.65, 0.0, 0.0]])
    directions[:, 2] = (1 - directions.square().sum(dim=1)).sqrt()
    assert mean_cosine(directions, features) == pytest.approx((0.6 + 0.65) / 2, abs=1e-6)


def test_directions_that_share_a_feature_all_count_in_f1_and_not_in_uniqueness() -> None:
    same = made(DIRECTIONS[[0, 0, 0]], ON[:, [0, 0, 0]])
    found = planted(same)
    assert found["dictionary_f1"] == pytest.approx(1)
    assert found["dictionary_uniqueness"] == pytest.approx(1 / 3)
    assert found["dictionary_mcc"] == pytest.approx(1 / 3)


def test_directions_that_never_fire_count_as_0() -> None:
    codes = ON.clone()
    codes[:, 2:] = 0
    found = planted(made(DIRECTIONS, codes))
    assert found["dictionary_f1"] == pytest.approx(0.5)
    assert found["silent_directions"] == pytest.approx(0.5)
    assert found["dictionary_mcc"] == pytest.approx(1)


def test_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    directions = torch.from_numpy(rng.standard_normal((5, 4)))
    codes = torch.from_numpy(rng.random((6, 5)) * (rng.random((6, 5)) < 0.5))
    nearest = absolute_cosines(directions, DIRECTIONS).argmax(axis=1)
    wanted = [
        f1_score((ON[:, j] > 0).numpy(), (codes[:, i] > 0).numpy(), zero_division=0) for i, j in enumerate(nearest)
    ]
    assert firing_f1(made(directions, codes), DIRECTIONS, ON) == pytest.approx(np.mean(wanted))


def test_codes_at_the_level_of_rounding_do_not_fire() -> None:
    found = planted(made(DIRECTIONS, ON + 1e-9))
    assert found["dictionary_f1"] == pytest.approx(1)
    assert found["active_codes"] == pytest.approx(7 / 6)


def test_explained_variance_is_0_for_the_mean_and_for_what_is_worse() -> None:
    mean = INPUTS.mean(dim=0).expand_as(INPUTS)
    zeros = xb.Dictionary(DIRECTIONS, torch.zeros(6, 4), mean)
    assert planted(zeros)["explained_variance"] == pytest.approx(0, abs=1e-6)
    assert planted(replace(zeros, reconstruction=10 + mean))["explained_variance"] == 0
    half = xb.Dictionary(DIRECTIONS, ON, (INPUTS + mean) / 2)
    assert planted(half)["explained_variance"] == pytest.approx(0.75)
