"""Evidence for and against, and agreement with exact contributions, against numbers that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_evaluation, make_inputs, make_view
from sklearn.metrics import roc_auc_score

from xaibench.core.components import MetricSpec
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth


def scored(name: str, maps: Any, **truth: Any) -> np.ndarray:
    values = torch.tensor(np.asarray(maps), dtype=torch.float32)
    view = make_view(linear((values.shape[1],)), make_inputs((values.shape[1],), len(values)))
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    given: dict[str, Any] = {k: torch.tensor(np.asarray(v)) for k, v in truth.items()}
    if "contributions" in given:
        given["contributions"] = {"zero": given["contributions"]}
    about = Truth("model", **given)
    return score(spec, {}, make_evaluation(view, values, kind="contribution", truth=about)).values.numpy()


def test_sides_are_areas_under_the_roc_curve() -> None:
    rng = np.random.default_rng(0)
    signs, maps = rng.integers(-1, 2, (6, 20)), rng.integers(-3, 4, (6, 20)).astype(float)
    below, above = [], []
    for sign, row in zip(signs, maps, strict=True):
        below.append(roc_auc_score(sign[sign <= 0] < 0, -row[sign <= 0]))
        above.append(roc_auc_score(sign[sign >= 0] > 0, row[sign >= 0]))
    np.testing.assert_allclose(scored("negative_below_neutral", maps, signs=signs.astype(np.int8)), below)
    np.testing.assert_allclose(scored("positive_above_neutral", maps, signs=signs.astype(np.int8)), above)


def test_a_magnitude_passes_the_published_test_and_says_the_opposite() -> None:
    signs = np.array([[-1] * 8 + [0] * 20 + [1] * 8] * 2, np.int8)
    noise = 0.01 * np.random.default_rng(1).normal(size=(2, 36))
    for maps, side in ((signs + noise, 1.0), (np.abs(signs + noise), 0.0)):
        np.testing.assert_array_equal(scored("negative_separation", maps, signs=signs), 1)
        np.testing.assert_array_equal(scored("negative_below_neutral", maps, signs=signs), side)
    np.testing.assert_array_equal(scored("negative_separation", noise, signs=signs), 0)


def test_without_evidence_there_is_no_score() -> None:
    signs = np.array([[0, 0, 0, 0], [-1, -1, -1, -1], [-1, 0, 1, 1]], np.int8)
    maps = np.random.default_rng(2).normal(size=(3, 4))
    assert np.isnan(scored("negative_below_neutral", maps, signs=signs)).tolist() == [True, True, False]
    assert np.isnan(scored("negative_separation", maps, signs=signs)).tolist() == [True, True, True]


def test_exact_contributions_are_compared_by_correlation_and_relative_distance() -> None:
    rng = np.random.default_rng(3)
    true, maps = rng.normal(size=(5, 9)).astype(np.float32), rng.normal(size=(5, 9)).astype(np.float32)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(true, maps, strict=True)]
    np.testing.assert_allclose(scored("contribution_correlation", maps, contributions=true), expected, rtol=1e-5)
    distance = np.linalg.norm(maps - true, axis=1) / np.linalg.norm(true, axis=1)
    np.testing.assert_allclose(scored("contribution_distance", maps, contributions=true), distance, rtol=1e-5)
    np.testing.assert_array_equal(scored("contribution_distance", true, contributions=true), 0)
    assert scored("contribution_distance", 0 * true, contributions=true) == pytest.approx(1)
    assert np.isnan(scored("contribution_distance", maps, contributions=0 * true)).all()
