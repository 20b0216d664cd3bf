"""Tests of one explainer against the placebos, one by one, for the terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.printed import text_of
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.placebo_outcomes import placebo_outcomes
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.report.placebo_tests import placebo_tests_list

MEANS = {"metric_0": 9.0, "metric_1": -7.0, "metric_2": 0.0}
"""Of the explainer, with a placebo at 0: won, lost and undecided."""


@pytest.fixture(scope="module")
def board() -> pd.DataFrame:
    r = np.random.default_rng(0)
    frames = [
        make_results({"mine": mean + r.normal(0, 1, 24), "random": r.normal(0, 1, 24)}, metric=metric, dataset=dataset)
        for metric, mean in MEANS.items()
        for dataset in ("digits", "mnist")
    ]
    return leaderboard(concat(*frames), suite="s")


def test_every_test_is_there_under_its_outcome_and_metric(board: pd.DataFrame) -> None:
    lines = text_of(placebo_tests_list(board), 80).splitlines()
    assert lines[0].split() == ["problem", "value", "best", "placebo", "its", "value"]
    titles = [line.split(" (")[0] for line in lines[1:] if not line.startswith(" ")]
    assert titles == ["lost: metric_1", "undecided: metric_2", "won: metric_0"]
    rows = [line for line in lines[1:] if line.startswith("  ")]
    assert len(rows) == placebo_outcomes(board)[~board["control"]].notna().sum() == 6
    assert max(map(len, lines)) <= 80


def test_values_are_those_of_the_board(board: pd.DataFrame) -> None:
    lines = text_of(placebo_tests_list(board), 80).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("lost: metric_1"))
    own = board[(board["metric"] == "metric_1") & (board["dataset"] == "digits") & ~board["control"]].iloc[0]
    problem, value, placebo, other = lines[place + 1].split()
    assert problem == f"digits/{own['model']}"
    assert (float(value), float(other)) == pytest.approx((own["value"], own["placebo_value"]), rel=0.01, abs=1e-4)
    assert placebo == "random"


def test_two_explainers_are_named_and_nothing_is_printed_without_a_test(board: pd.DataFrame) -> None:
    r = np.random.default_rng(1)
    scores = {"mine": r.normal(9, 1, 24), "other": r.normal(8, 1, 24), "random": r.normal(0, 1, 24)}
    two = text_of(placebo_tests_list(leaderboard(make_results(scores), suite="s")), 80)
    assert "mine won: " in two
    assert "other won: " in two
    assert placebo_tests_list(board[board["control"]]) is None
