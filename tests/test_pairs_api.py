"""Metrics that see the samples otherwise, given another model or other inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import xaibench as xb

N = 5
X = np.random.default_rng(0).random((N, 1, 4, 4), dtype=np.float32)
OBJECT = np.zeros((N, 4, 4), bool)
OBJECT[:, :2, :2] = True


def net(pixels: np.ndarray[Any, Any], seed: int = 0) -> nn.Module:
    """Two linear logits, of which the second rises with these pixels and is always the larger one."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        layer = nn.Linear(16, 2)
        slopes = torch.from_numpy(pixels).float().flatten()
        layer.weight.copy_(torch.stack([-slopes, slopes]))
        layer.bias.copy_(torch.tensor([0.0, 1.0]))
        return nn.Sequential(nn.Flatten(), layer)


SEES_OBJECT, SEES_SCENE = net(OBJECT[0]), net(~OBJECT[0])
ONES = np.ones(N, int)
CONTRAST: dict[str, Any] = {"model_pair.contrast": {"model": SEES_SCENE, "labels": ONES}}
GIVEN: dict[str, Any] = {"model": SEES_OBJECT, "inputs": X, "explain": "gradient", "labels": ONES}


def test_contrast_of_two_models_that_look_elsewhere() -> None:
    assert xb.score("model_contrast", **GIVEN, truth=OBJECT, pairs=CONTRAST).tolist() == [1] * N
    pairs = {"model_pair.contrast": {"model": SEES_OBJECT, "labels": ONES}}
    assert xb.score("model_contrast", **GIVEN, truth=OBJECT, pairs=pairs).tolist() == [0] * N
    pairs = {"model_pair.contrast": {"model": SEES_SCENE, "labels": [1, 0, 1, 1, 0]}}
    found = xb.score("model_contrast", **GIVEN, truth=OBJECT, pairs=pairs)
    assert np.isnan(found).tolist() == [False, True, False, False, True]


def test_the_oracle_is_asked_about_both_models() -> None:
    given = {**GIVEN, "explain": "oracle", "truth": OBJECT}
    told = {"model_pair.contrast": {**CONTRAST["model_pair.contrast"], "truth": ~OBJECT}}
    assert xb.score("model_contrast", **given, pairs=told).tolist() == [1] * N
    with pytest.raises(xb.UnsupportedError, match="none is known for the other model") as caught:
        xb.score("model_contrast", **given, pairs=CONTRAST)
    assert "'truth'" in (caught.value.hint or "")
    how_much = np.where(OBJECT, np.float32(0.25), np.float32(1))
    how_much[:, 3, 3] = 0
    graded = {"model_pair.contrast": {**CONTRAST["model_pair.contrast"], "truth": how_much}}
    np.testing.assert_allclose(xb.score("model_contrast", **given, pairs=graded), 1 - 0.25, atol=1e-6)


def test_distractors_are_shown_to_nobody() -> None:
    seen = []

    def explain(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(inputs.shape)
        return torch.rand(len(inputs), 4, 4)

    without = {"input_pair.without": {"inputs": 1 - X}}
    given = {**GIVEN, "explain": explain}
    found = xb.score("input_dependence", **given, distractors=OBJECT, pairs=without)
    assert set(found.tolist()) <= {0, 1}
    assert len(seen) == 2
    shares = xb.score("idle_object_share", **GIVEN, distractors=~OBJECT)
    assert shares.tolist() == [0] * N
    with pytest.raises(xb.UnsupportedError, match="'oracle' needs truth"):
        xb.score("idle_object_share", **{**GIVEN, "explain": "oracle"}, distractors=OBJECT)
    maps = xb.score("idle_object_share", **{**GIVEN, "explain": "oracle"}, distractors=OBJECT, truth=~OBJECT)
    assert maps.tolist() == [0] * N


def test_a_series_is_a_list_in_which_a_level_alone_is_the_model_itself() -> None:
    scene = np.ones((4, 4))
    scene[3, 3] = 0
    nets = [net(np.where(OBJECT[0], share, scene)) for share in (0.6, 0.3)]
    others = [{"model": n, "labels": ONES, "level": level} for n, level in zip(nets, (2, 3), strict=True)]
    given = {**GIVEN, "truth": OBJECT, "pairs": {"model_pair.series": [{"level": 1}, *others]}}
    assert xb.score("commonality_correlation", **given).tolist() == [1]
    np.testing.assert_allclose(xb.score("commonality_contrast", **given), 1 - 0.3, atol=1e-6)
    backwards = [{"level": 4}, *others]
    found = xb.score("commonality_correlation", **{**given, "pairs": {"model_pair.series": backwards}})
    assert found.tolist() == [-0.5]
    both = {"model_pair.contrast": [CONTRAST["model_pair.contrast"]] * 2}
    with pytest.raises(xb.UnsupportedError, match="there are 2 pairs"):
        xb.score("model_contrast", **GIVEN, truth=OBJECT, pairs=both)


def test_black_boxes_are_compared_too_and_nothing_is_changed() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, 6)).astype(np.float32)
    first, second = (LogisticRegression().fit(rows, rows[:, k] > 0) for k in (0, 5))
    x, before = rows[:40], rows.copy()
    truth = np.tile(np.arange(6) == 0, (40, 1))
    labels = (rows[:40, k] > 0 for k in (0, 5))
    mine, theirs = (np.asarray(a, int) for a in labels)
    found = xb.score(
        "model_contrast", model=first, inputs=x, explain="feature_ablation", background=rows, truth=truth, labels=mine,
        pairs={"model_pair.contrast": {"model": second, "labels": theirs}},
    )  # fmt: skip
    assert np.nanmean(found) > 0.5
    assert np.array_equal(rows, before)


PAIR = CONTRAST["model_pair.contrast"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"pairs": None}, xb.UnsupportedError, r"needs model_pair\.contrast"),
        ({"labels": None}, xb.UnsupportedError, "needs labels"),
        ({"truth": None}, xb.UnsupportedError, r"needs truth\.mask"),
        ({"labels": [0] * 4}, xb.UsageError, r"labels have shape \(4,\) for 5 inputs"),
        ({"labels": [2] * 5}, xb.UsageError, "labels go from 2 to 2, the model has 2 outputs"),
        ({"labels": [0.5] * 5}, xb.UsageError, "labels are not whole numbers"),
        ({"distractors": OBJECT[:, :2]}, xb.UsageError, r"distractors has shape \(5, 2, 4\)"),
        ({"distractors": OBJECT * 0.5}, xb.UsageError, "distractors are numbers"),
        ({"pairs": [PAIR]}, xb.UsageError, "pairs is a list"),
        ({"pairs": {"contrast": PAIR}}, xb.UsageError, "no metric needs the pair 'contrast'"),
        ({"pairs": {"model_pair.contrst": PAIR}}, xb.UsageError, r"no metric needs the pair 'model_pair\.contrst'"),
        ({"pairs": {"model_pair.contrast": SEES_SCENE}}, xb.UsageError, "is neither a dictionary nor a list"),
        ({"pairs": {"model_pair.contrast": []}}, xb.UsageError, "is neither a dictionary nor a list"),
        ({"pairs": {"model_pair.contrast": {**PAIR, "inputs": X}}}, xb.UsageError, "has no 'inputs'"),
        ({"pairs": {"model_pair.contrast": {"labels": ONES}}}, xb.UsageError, "needs 'model'"),
        ({"pairs": {"model_pair.contrast": {"model": SEES_SCENE}}}, xb.UnsupportedError, "labels of the other model"),
        ({"pairs": {"model_pair.contrast": {**PAIR, "labels": ONES[:3]}}}, xb.UsageError, r"shape \(3,\) for 5"),
        ({"pairs": {"model_pair.contrast": {**PAIR, "labels": 3 * ONES}}}, xb.UsageError, "from 3 to 3"),
        ({"pairs": {"model_pair.contrast": {**PAIR, "level": "low"}}}, xb.UsageError, "level of .* is 'low'"),
        ({"pairs": {"model_pair.contrast": {**PAIR, "truth": OBJECT[:2]}}}, xb.UsageError, "truth of model_pair"),
        (
            {"pairs": {"model_pair.contrast": {**PAIR, "model": nn.Linear(9, 2)}}},
            xb.UsageError,
            "contrast: the model failed",
        ),
        ({"pairs": {"model_pair.contrast": {**PAIR, "returns": "value"}}}, xb.UnsupportedError, "is unavailable"),
        ({"pairs": {"input_pair.without": {"inputs": X[:3]}}}, xb.UsageError, r"shape \(3, 1, 4, 4\)"),
        ({"pairs": {"input_pair.without": {"labels": ONES}}}, xb.UsageError, "needs 'inputs'"),
        ({"pairs": {"input_pair.without": {"level": 1}}}, xb.UsageError, "needs 'inputs'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {**GIVEN, "truth": OBJECT, "pairs": CONTRAST, **changes}
    with pytest.raises(error, match=message):
        xb.score("model_contrast", **given)


def test_every_need_has_a_hint() -> None:
    for name in ("model_contrast", "input_dependence", "input_independence", "commonality_correlation"):
        with pytest.raises(xb.UnsupportedError) as caught:
            xb.score(name, model=SEES_OBJECT, inputs=X, explain="gradient", labels=ONES, truth=OBJECT)
        assert "pass" in (caught.value.hint or "")
