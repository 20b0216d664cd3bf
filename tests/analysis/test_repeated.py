"""Boards of scores over a whole data set: the units are repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.columns import (
    ABOUT_CASES,
    ABOUT_FUNCTIONS,
    CONDITIONAL,
    REPEATED,
    RETRAINED,
    SETS,
    SETS_OF_CASES,
    SINGLE,
)
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.statistics.intervals import mean_interval
from xaibench.report.overview import ESTIMANDS

NAN = np.nan


def board_of(scores: dict[str, Any], **options: Any) -> pd.DataFrame:
    results = make_results(scores, metric="roar", scope="dataset", higher_is_better=False, **options)
    return leaderboard(results, suite="s").set_index("explainer")


def repeats(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.01, n)


def test_values_and_intervals_are_over_repeats() -> None:
    scores = {"good": repeats(3, 0.3), "bad": repeats(3, 0.7), "random": repeats(3, 0.6)}
    board = board_of(scores)
    expected = np.ravel(mean_interval(np.float32(scores["good"]).astype(float)[None]))
    good = board.loc["good"]
    np.testing.assert_allclose([good["ci_low"], good["ci_high"]], expected)
    assert good["n"] == 3
    assert good["rank"] == 1
    assert board.at["bad", "rank"] == 2
    assert set(board["estimand"]) == {REPEATED}
    assert set(board["scope"]) == {"dataset"}


@pytest.mark.parametrize(("n", "decided"), [(3, False), (4, False), (5, True), (8, True)])
def test_a_test_that_so_few_repeats_cannot_pass_is_none(n: int, decided: bool) -> None:
    """One explainer against one placebo: 2^-5 is the first p below 5 %."""
    board = board_of({"good": repeats(n, 0.3), "random": repeats(n, 0.6, seed=1)})
    beats = board.at["good", "beats_placebo"]
    assert pd.isna(beats) != decided
    assert board.at["good", "p_placebo"] == pytest.approx(0.5**n)
    if decided:
        assert bool(beats)


def test_one_repeat_is_a_value_without_an_interval() -> None:
    board = board_of({"good": [0.3], "bad": [0.7], "random": [0.6]})
    assert set(board["estimand"]) == {SINGLE}
    assert board.loc[["good", "bad"], "rank"].tolist() == [1, 2]
    assert board[["ci_low", "ci_high"]].isna().all(axis=None)
    assert board["beats_placebo"].isna().all()


def test_several_trained_models_are_the_units_as_ever() -> None:
    frames = [make_results({"a": repeats(2, k)}, problem_seed=k, scope="dataset") for k in range(3)]
    board = leaderboard(concat(*frames), suite="s")
    assert set(board["estimand"]) == {RETRAINED}
    assert board["ci_low"].notna().all()


def test_messages_speak_of_repeats() -> None:
    board = board_of({"most": [NAN, NAN, 0.2], "none": [NAN] * 3, "all": repeats(3, 0.5)})
    assert board.at["most", "message"] == "not ranked: defined on 1 repeats only"
    assert board.at["none", "message"] == "no repeat has a defined score"


def test_results_that_do_not_say_are_of_samples() -> None:
    board = leaderboard(make_results({"a": [0.1, 0.2], "b": [NAN, NAN]}, scope=None), suite="s").set_index("explainer")
    assert board.at["a", "estimand"] == CONDITIONAL
    assert board.at["b", "message"] == "no sample has a defined score"


def test_the_report_explains_each_of_them() -> None:
    known = {CONDITIONAL, REPEATED, SINGLE, RETRAINED, ABOUT_FUNCTIONS, SETS, ABOUT_CASES, SETS_OF_CASES}
    assert known == set(ESTIMANDS)
