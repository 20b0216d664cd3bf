"""Series as users bring them: an own LSTM, unequal lengths, one step, sensors that never change, outputs per step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xaibench as xb

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 10, 3)).astype(np.float32)


class Lstm(nn.Module):
    def __init__(self, sensors: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head = nn.LSTM(sensors, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.lstm(x)[0][:, -1])
        return found


GIVEN: dict[str, Any] = {"model": Lstm(), "features": "series", "returns": "logit"}


def test_an_lstm_goes_from_arrays_to_a_board() -> None:
    problem = xb.Problem(Lstm(), X[:4], features="series", background=X[4:], returns="logit")
    table = problem.evaluate(
        explainers=[("occlusion", {"group": "segments", "patch": 2, "masker": "interpolate"}), "temporal_rescaling"],
        metrics=[("pixel_flipping", {"masker": "interpolate", "steps": 4})],
        controls=False,
    )
    board = xb.leaderboard(table)
    assert set(board["explainer"]) == {"occlusion", "temporal_rescaling"}
    assert board["value"].notna().all()


@pytest.mark.parametrize("name", ["occlusion", "kernel_shap", "temporal_rescaling", "step_by_sensor", "extremal_mask"])
def test_series_of_unequal_length_have_the_numbers_that_they_have_alone(name: str) -> None:
    params = {"extremal_mask": {"epochs": 5}, "kernel_shap": {"group": "segments", "patch": 2}}.get(name, {})
    rows = [X[0, :6], X[1, :9]]
    together = xb.explain(name, inputs=rows, **GIVEN, **params)
    for i, row in enumerate(rows):
        alone = xb.explain(name, inputs=[row], **GIVEN, **params)
        np.testing.assert_allclose(together[i, : len(row)], alone[0, : len(row)], rtol=1e-3, atol=1e-5)
        assert np.isfinite(together[i, : len(row)]).all()
        assert np.isnan(together[i, len(row) :]).all()
    scores = xb.score("pixel_flipping", inputs=rows, attributions=together, masker="carry_forward", **GIVEN)
    assert np.isfinite(scores).all()


def test_unequal_lengths_have_no_reference_rows() -> None:
    with pytest.raises(xb.UnsupportedError) as caught:
        xb.explain("augmented_occlusion", inputs=[X[0, :6], X[1, :9]], background=[X[2], X[3]], **GIVEN)
    assert caught.value.hint


def test_one_step_can_be_read_in_two_ways_and_is_right_in_the_one_that_is_said() -> None:
    with pytest.raises(xb.UsageError, match="can be read in 2 ways") as caught:
        xb.explain("occlusion", inputs=X[:, :1], **GIVEN)
    assert 'axes="NTC" for 1 step of 3 sensors' in str(caught.value.hint)
    weights = np.array([1.0, -2.0, 3.0], np.float32)
    given: dict[str, Any] = {
        "model": lambda a: a[:, -1] @ weights[:, None], "returns": "value", "features": "series", "axes": "NTC"
    }  # fmt: skip
    for masker in ("mean", "interpolate", "carry_forward", "window_mean"):
        found = xb.explain("occlusion", inputs=X[:, :1], masker=masker, background=np.zeros((2, 1, 3)), **given)
        np.testing.assert_allclose(found[:, 0], X[:, 0] * weights, rtol=1e-4, atol=1e-5)


def test_a_sensor_that_never_changes_loses_nothing_where_it_is_made_from_itself() -> None:
    x = X.copy()
    x[:, :, 1] = 0.7
    for masker in ("interpolate", "carry_forward", "window_mean"):
        found = xb.explain("occlusion", inputs=x, masker=masker, patch=3, **GIVEN)
        assert np.abs(found[:, :, 1]).max() < 1e-6
        assert np.abs(found[:, :, 0]).max() > 1e-4
    for name in ("integrated_gradients", "temporal_rescaling", "step_by_sensor"):
        assert np.isfinite(xb.explain(name, inputs=x, **GIVEN)).all()
    flat = np.full_like(X, 0.7)
    with pytest.raises(xb.UnsupportedError, match="changes nothing"):
        xb.explain("occlusion", inputs=flat, masker="interpolate", **GIVEN)


class PerStep(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[..., :2]


def test_one_output_per_step_is_refused_in_a_sentence() -> None:
    with pytest.raises(xb.UsageError) as caught:
        xb.explain("occlusion", model=PerStep(), inputs=X, features="series", returns="logit")
    assert caught.value.hint
    assert "(12, 10, 2)" in str(caught.value) or "10, 2" in str(caught.value)


def test_missing_values_and_unsaid_axes_are_one_sentence() -> None:
    gap = X.copy()
    gap[3, 4, 1] = np.nan
    with pytest.raises(xb.XaibenchError) as caught:
        xb.explain("occlusion", inputs=gap, **GIVEN)
    assert "3" in str(caught.value)
    with pytest.raises(xb.UsageError, match="could be several things") as said:
        xb.explain("occlusion", model=Lstm(), inputs=X)
    assert 'features="series"' in str(said.value.hint)
