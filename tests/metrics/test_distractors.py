"""Scores of distractors: by hand, by what random maps must get, and by what they promise each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_evaluation, make_inputs, make_view
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth

nan = math.nan
NAMES = ["distractor_share", "distractor_mass", "distractor_ratio"]


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def evaluation(maps: object, truth: object, distractors: object) -> Evaluation:
    attributions = torch.as_tensor(maps, dtype=torch.float32)
    shape = tuple(attributions.shape[1:])
    both = [torch.as_tensor(m).bool().expand(attributions.shape) for m in (truth, distractors)]
    view = make_view(linear(shape), make_inputs(shape, len(attributions)))
    return make_evaluation(view, attributions, kind="contribution", truth=Truth("data", both[0], distractors=both[1]))


MAP = [0.5, -3.0, 2.0, 0.1, 0.0, -0.4]
TRUTHS = [[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1], [0, 0, 1, 1, 1, 0]]
DISTRACTORS = [[0, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("distractor_share", {}, [0, 1, 1]),
        ("distractor_share", {"k": 2}, [1 / 2, 2 / 2, 1 / 2]),
        ("distractor_share", {"k": 0.5}, [1 / 2, 2 / 2, 1 / 3]),
        ("distractor_share", {"k": 6}, [1 / 2, 2 / 2, 1 / 3]),
        ("distractor_mass", {}, [2.1 / 5.6, 5 / 5.9, 3.4 / 5.5]),
        (
            "distractor_ratio",
            {},
            [math.sqrt(4.01 / 9.25), math.sqrt(13 / 0.41), math.sqrt((9.16 / 2) / (4.01 / 3))],
        ),
    ],
)
def test_scores_by_hand(name: str, params: dict[str, object], expected: list[float]) -> None:
    np.testing.assert_allclose(run(name, evaluation([MAP] * 3, TRUTHS, DISTRACTORS), **params), expected, rtol=1e-6)


def test_with_one_feature_each_the_mass_is_the_share_of_a_suppressor() -> None:
    phi = make_inputs((2,), 50)
    ev = evaluation(phi, [1, 0], [0, 1])
    first, second = phi.abs().unbind(dim=1)
    np.testing.assert_allclose(run("distractor_mass", ev), second / (first + second), rtol=1e-6)
    np.testing.assert_allclose(run("distractor_ratio", ev), second / first, rtol=1e-5)


def test_the_ratio_is_that_of_gradient_norms_for_blocks_of_one_size() -> None:
    maps = make_inputs((12,), 30)
    ev = evaluation(maps, [1] * 4 + [0] * 8, [0] * 4 + [1] * 8)
    norms = maps.view(30, 3, 4).square().sum(dim=2)
    np.testing.assert_allclose(run("distractor_ratio", ev), (norms[:, 1:].mean(dim=1) / norms[:, 0]).sqrt(), rtol=1e-5)


@pytest.mark.parametrize("flat", [False, True])
def test_random_orders_score_the_area_of_the_distractors(flat: bool) -> None:
    n, k = 600, 8
    maps = torch.ones(n, 40) if flat else make_inputs((40,), n)
    ev = evaluation(maps, [1] * 10 + [0] * 30, [0] * 10 + [1] * 12 + [0] * 18)
    shares = run("distractor_share", ev, k=k)
    p, left = 12 / 40, (40 - k) / (40 - 1)  # hypergeometric
    assert shares.mean().item() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) * left / k / n))
    assert len(shares.unique()) > 3


def test_the_truth_scores_zero_and_the_distractors_score_worst() -> None:
    truth, distractors = torch.tensor([1.0] * 3 + [0] * 7), torch.tensor([0.0] * 5 + [1] * 5)
    ev = evaluation(torch.stack([truth, distractors]), truth, distractors)
    for name, worst in zip(NAMES, (1, 1, 1e12), strict=True):
        assert run(name, ev).tolist() == pytest.approx([0, worst])
    assert run("distractor_share", ev, k=9).tolist() == [0, 1]  # never more than the three true ones are asked for


def test_what_cannot_be_told_is_undefined() -> None:
    truth = [[0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    distractors = [[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    ev = evaluation([[1.0, 2, 3, 4], [1, 2, 3, 4], [0, 0, 1, 0], [1, 1, 0, 0]], truth, distractors)
    assert run("distractor_share", ev, k=1).isnan().tolist() == [True, True, False, False]
    for name in NAMES[1:]:
        assert run(name, ev).isnan().tolist() == [True, True, True, False]
        assert run(name, ev)[3].item() == (0.5 if name == "distractor_mass" else 1)


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_tiny_and_huge_maps_keep_their_ratio(unit: float) -> None:
    ev = evaluation([[1.0 * unit, 3 * unit]], [1, 0], [0, 1])
    assert run("distractor_ratio", ev).item() == pytest.approx(3, rel=1e-5)
    assert run("distractor_mass", ev).item() == pytest.approx(0.75, rel=1e-5)


def test_more_features_than_there_are_cannot_be_asked_for() -> None:
    with pytest.raises(UnsupportedError, match="4 features"):
        run("distractor_share", evaluation(torch.ones(1, 4), [1, 0, 0, 0], [0, 1, 0, 0]), k=5)
