"""Metrics over a whole data set, from the suite to the leaderboard: one score per repeat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import xaibench as xb
from xaibench.models import training
from xaibench.store import Store

Make = Callable[..., dict[str, Any]]
PROBLEM = [{"dataset": "tiny", "models": [{"name": "softmax_regression", "params": {"epochs": 2}}]}]


def removal(n: int) -> dict[str, Any]:
    return {"name": "roar", "params": {"shares": [0.5], "n_retrainings": n}}


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Trainings that really happen, from an empty cache."""
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    done: list[int] = []
    fit = training._fit

    def counted(module: Any, data: Any, epochs: int, *rest: Any) -> None:
        done.append(epochs)
        fit(module, data, epochs, *rest)

    monkeypatch.setattr(training, "_fit", counted)
    return done


def rows(store: Path) -> pd.DataFrame:
    return Store(store).read().to_pandas()


@pytest.mark.slow
def test_rows_hold_repeats_that_pair_up_and_a_second_run_does_nothing(
    tiny_suite: Make, tmp_path: Path, fits: list[int]
) -> None:
    suite = tiny_suite(problems=PROBLEM, metrics=[removal(6), "sparseness"], controls=True)
    first = xb.run(suite, store=tmp_path / "a")
    found = rows(tmp_path / "a")
    over_data = found[(found["metric"] == "roar") & (found["status"] == "ok")]
    assert set(over_data["explainer"]) == {
        "gradient", "weights_times_input", "random", "random_smooth", "other_sample", "constant", "input_edges",
    }  # fmt: skip
    for row in over_data.itertuples():
        assert row.scope == "dataset"
        assert row.n == len(row.scores) == 6
        assert row.n_undefined == 0
        assert list(row.sample_ids) == [f"repeat {i}" for i in range(6)]
    per_sample = found[found["metric"] == "sparseness"].iloc[0]
    assert (per_sample["scope"], per_sample["n"]) == ("sample", 8)
    assert len(fits) == 1 + 6 * 7
    again = xb.run(suite, store=tmp_path / "a")
    assert again.outcome["statuses"] == {}
    assert again.outcome["cached"] == sum(first.outcome["statuses"].values())
    xb.run(suite, store=tmp_path / "b")
    assert len(fits) == 1 + 6 * 7
    by = ["explainer", "metric"]
    for a, b in zip(found.sort_values(by)["scores"], rows(tmp_path / "b").sort_values(by)["scores"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_oracle_of_a_linear_model_has_no_truth_for_the_training_data(tiny_suite: Make, tmp_path: Path) -> None:
    xb.run(tiny_suite(problems=PROBLEM, metrics=[removal(1)], explainers=["oracle"]), store=tmp_path)
    (row,) = rows(tmp_path).to_dict("records")
    assert row["status"] == "unsupported"
    assert "is given the truth" in row["message"]


def test_a_model_that_is_not_trained_is_unsupported_with_its_name(tiny_suite: Make, tmp_path: Path) -> None:
    xb.run(tiny_suite(metrics=["mege", "sparseness"]), store=tmp_path)
    found = rows(tmp_path)
    refused = found[found["metric"] == "mege"]
    assert set(refused["status"]) == {"unsupported"}
    assert refused["message"].str.contains("model exact has the same weights whatever the data").all()
    assert set(found[found["metric"] == "sparseness"]["status"]) == {"ok"}


def test_explainers_of_a_problem_share_the_models_of_folds(tiny_suite: Make, tmp_path: Path, fits: list[int]) -> None:
    metrics = [{"name": name, "params": {"n_repeats": 2, "n_folds": 3}} for name in ("mege", "reco")]
    xb.run(tiny_suite(problems=PROBLEM, metrics=metrics, controls=True), store=tmp_path)
    assert len(fits) == 1 + 2 * 3
    assert set(rows(tmp_path)["status"]) <= {"ok", "undefined", "unsupported"}


@pytest.mark.slow
def test_the_board_is_over_repeats(tiny_suite: Make, tmp_path: Path) -> None:
    suite = tiny_suite(problems=PROBLEM, metrics=[removal(6), "sparseness"], controls=True, seeds=[0, 1])
    xb.run(suite, store=tmp_path)
    board = xb.leaderboard(tmp_path)
    roar = board[board["metric"] == "roar"].set_index("explainer")
    gradient = roar.loc["gradient"]
    assert gradient["n"] == 6
    assert gradient["n_draws"] == 2
    assert gradient["scope"] == "dataset"
    assert gradient["estimand"] == "repeats on these data"
    assert gradient["ci_low"] < gradient["value"] < gradient["ci_high"]
    scores = rows(tmp_path).query("metric == 'roar' and explainer == 'gradient'")["scores"]
    assert gradient["value"] == pytest.approx(np.mean(np.stack(scores)))
    assert gradient["n_placebos"] == 5
    assert np.isfinite(gradient["p_placebo"])
    assert set(board[board["metric"] == "sparseness"]["estimand"].dropna()) == {"conditional on this model"}


def test_one_repeat_has_no_interval_and_the_board_says_so(tiny_suite: Make, tmp_path: Path) -> None:
    xb.run(tiny_suite(problems=PROBLEM, metrics=[removal(1)]), store=tmp_path)
    board = xb.leaderboard(tmp_path)
    assert set(board["estimand"]) == {"one repeat, no interval"}
    assert board["value"].notna().all()
    assert board[["ci_low", "ci_high"]].isna().all(axis=None)


def test_a_map_that_is_not_finite_leaves_every_repeat_undefined(tiny_suite: Make, tmp_path: Path) -> None:
    xb.run(tiny_suite(problems=PROBLEM, metrics=[removal(2)], explainers=["nan_map"]), store=tmp_path)
    (row,) = rows(tmp_path).to_dict("records")
    assert row["status"] == "undefined"
    assert row["message"] == "no repeat has a defined score"
    assert row["n"] == row["n_undefined"] == 2
    (shown,) = xb.leaderboard(tmp_path).to_dict("records")
    assert shown["message"] == "no repeat has a defined score"


@pytest.mark.slow
def test_the_oracle_of_planted_digits_keeps_what_is_needed(tmp_path: Path) -> None:
    """The quadrant with the digit is a quarter of the image: alone it is enough, without it nothing is left."""
    params = {"shares": [0.25], "n_retrainings": 1, "max_train": 800, "max_test": 250}
    suite = {
        "name": "planted", "samples": 4, "background": 16, "random_draws": 1, "controls": False,
        "problems": [{"dataset": {"name": "planted_digits", "params": {"copies": 2}}, "models": ["mlp"]}],
        "explainers": ["oracle", "random"],
        "metrics": [{"name": name, "params": params} for name in ("roar", "kar", "diffroar", "mask_leakage")],
    }  # fmt: skip
    xb.run(suite, store=tmp_path)
    value = xb.leaderboard(tmp_path).pivot(index="explainer", columns="metric", values="value")
    chance = 1 / 5
    assert value.loc["oracle", "kar"] > 0.7
    assert value.loc["oracle", "roar"] < chance + 0.1
    assert value.loc["oracle", "diffroar"] > 0.5
    assert abs(value.loc["random", "diffroar"]) < 0.15
    assert value["mask_leakage"].max() < chance + 0.1


def test_global_generators_are_left_alone(tiny_suite: Make, tmp_path: Path, fits: list[int]) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    xb.run(tiny_suite(problems=PROBLEM, metrics=[removal(1)]), store=tmp_path)
    assert len(fits) > 1
    assert torch.equal(torch.get_rng_state(), before)
