"""What maskers put into series that reports draw."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xaibench.api.shown_series import filled, shown_masker

RNG = np.random.default_rng(0)


def rows(*pairs: tuple[str, dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{"metric": m, "params": json.dumps(p), "status": "ok"} for m, p in pairs])


def test_the_masker_is_that_of_the_curves_that_are_drawn() -> None:
    found = shown_masker(
        rows(("infidelity", {"masker": "zero"}), ("deletion", {"masker": "interpolate", "group": None}), ("auprc", {}))
    )
    assert found == {"masker": "interpolate", "group": None, "metric": "deletion"}
    assert shown_masker(rows(("deletion", {"masker": "marginal"}), ("auprc", {}))) is None
    assert shown_masker(rows(("auprc", {})).assign(params="")) is None
    assert shown_masker(rows(("deletion", {"masker": "zero"})).assign(status="failed")) is None


def test_each_segment_is_interpolated_alone() -> None:
    series = RNG.normal(size=(10, 2))
    found = filled(series, None, {"masker": "interpolate", "group": "segments", "patch": 3})
    assert found is not None
    for d in range(2):
        for start in (3, 6):
            line = np.interp(np.arange(start, start + 3), [start - 1, start + 3], series[[start - 1, start + 3], d])
            np.testing.assert_allclose(found[0][start : start + 3, d], line)
        np.testing.assert_allclose(found[0][:3, d], series[3, d])
        np.testing.assert_allclose(found[0][9:, d], series[8, d])
    assert found[1] == "3 steps"


@pytest.mark.parametrize(
    ("params", "wanted", "words"),
    [
        ({"masker": "zero"}, lambda x: 0 * x, "1 step"),
        ({"masker": "mean", "group": "sensors"}, lambda x: 0 * x + [5.0, -5.0], "a whole sensor"),
        ({"masker": "carry_forward", "group": "cells"}, lambda x: np.concatenate([x[1:2], x[:-1]]), "1 step"),
        ({"masker": "sample_min", "group": "steps"}, lambda x: 0 * x + x.min(), "1 step"),
    ],
)
def test_other_fills_are_those_of_the_masker(params: dict[str, Any], wanted: Any, words: str) -> None:
    series = RNG.normal(size=(7, 2)).astype(np.float32)
    found = filled(series, np.array([5.0, -5.0]), params)
    assert found is not None
    np.testing.assert_allclose(found[0], wanted(series), rtol=1e-6)
    assert found[1] == words


def test_a_series_of_one_sensor_has_its_default_segments_and_padding_is_left_alone() -> None:
    series = RNG.normal(size=64)
    found = filled(series, None, {"masker": "window_mean", "group": None, "patch": None})
    assert found is not None
    assert (found[0].shape, found[1]) == ((64,), "4 steps")
    assert filled(np.array([1.0, np.nan]), None, {"masker": "zero"}) is None
