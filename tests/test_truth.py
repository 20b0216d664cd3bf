"""Where the truth is known, nothing that cannot explain beats it, on trained models."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import xaibench as xb

CONTROLS = ["random", "random_smooth", "other_sample", "constant", "input_edges"]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    store: Path = tmp_path_factory.mktemp("truth") / "store"
    suite = {
        "name": "truth",
        "samples": 32,
        "random_draws": 10,
        "explainers": ["integrated_gradients"],
        "metrics": [
            "relevance_rank",
            "relevance_mass",
            {"name": "pixel_flipping", "output": "logit"},
            "faithfulness_correlation",
            "infidelity",
        ],
        "problems": [
            {"dataset": "planted_digits", "models": ["mlp"]},
            {"dataset": "digits", "models": ["softmax_regression"]},
        ],
    }
    xb.run(suite, store=store)
    return xb.leaderboard(store)


@pytest.mark.slow
def test_the_oracle_beats_every_control_on_ground_truth(board: pd.DataFrame) -> None:
    for metric in ("relevance_rank", "relevance_mass"):
        cells = board[(board["metric"] == metric) & (board["dataset"] == "planted_digits")].set_index("explainer")
        assert cells.loc["oracle", "value"] == 1
        for control in CONTROLS:
            assert cells.loc[control, "ci_high"] < 1 or cells.loc[control, "value"] < 1
        assert cells.loc["oracle", "skill"] == pytest.approx(1)
        assert abs(cells.loc["random", "skill"]) < 0.2
        assert 0 < cells.loc["integrated_gradients", "skill"] < 1


@pytest.mark.slow
def test_true_weights_beat_every_control_on_a_linear_model(board: pd.DataFrame) -> None:
    linear = board[board["model"] == "softmax_regression"]
    for metric in ("pixel_flipping", "faithfulness_correlation", "infidelity"):
        cells = linear[linear["metric"] == metric].set_index("explainer")
        sign = 1 if cells.loc["oracle", "higher_is_better"] else -1
        for control in set(CONTROLS) - {"constant"}:
            assert sign * cells.loc["oracle", "value"] > sign * cells.loc[control, "value"], (metric, control)
    correlation = linear[linear["metric"] == "faithfulness_correlation"].set_index("explainer")
    assert correlation.loc["oracle", "value"] == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_gates_of_the_planted_problem_hold(board: pd.DataFrame) -> None:
    planted = board[board["dataset"] == "planted_digits"]
    assert planted["gate_passed"].all()
    assert "digit erased" in planted["gates"].iloc[0]
