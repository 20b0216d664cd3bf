"""Tests against placebos in short: outcomes, tests won by explainer, which controls were placebos, and why none was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.placebo_outcomes import placebo_outcomes
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.board_summary import board_summary, measured_ranks
from xaibench.analysis.ranks.placebo_coverage import placebo_coverage
from xaibench.analysis.ranks.placebo_wins import placebo_wins, record
from xaibench.analysis.ranks.relative_ranks import counted
from xaibench.core.components import MetricSpec

BAD_GATE = [{"name": "accuracy", "value": 0.5, "threshold": 0.9, "at_least": True}]


def level(value: float, n: int = 8) -> np.ndarray:
    """Scores around a value; levels that differ by 1 never overlap."""
    return value + np.linspace(-0.1, 0.1, n) ** 3


def results(values: dict[str, float | str], n: int = 8, **options: Any) -> pd.DataFrame:
    return make_results({k: v if isinstance(v, str) else level(v, n) for k, v in values.items()}, **options)


def board_of(*frames: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(concat(*frames), suite="s")


def wins_of(board: pd.DataFrame) -> pd.DataFrame:
    return placebo_wins(board, counted(board)).set_index("explainer")


def test_outcomes_are_those_of_the_tests() -> None:
    frame = pd.DataFrame(
        {
            "beats_placebo": pd.array([True, False, False, None, None], dtype="boolean"),
            "loses_to_placebo": pd.array([False, True, False, None, None], dtype="boolean"),
            "p_placebo": [0.001, 0.9, 0.2, 0.25, np.nan],
        },
        index=[3, 1, 4, 0, 5],
    )
    found = placebo_outcomes(frame)
    assert found.to_dict() == {3: "beats", 1: "loses", 4: "undecided", 0: "too few", 5: None}
    older = placebo_outcomes(frame.drop(columns="loses_to_placebo"))
    assert older.to_list() == ["beats", "undecided", "undecided", "too few", None]


@pytest.mark.parametrize(
    ("won", "tested", "word"),
    [(0, 0, "untested"), (0, 3, "none"), (1, 3, "few"), (1, 2, "most"), (3, 4, "most"), (3, 3, "all")],
)
def test_records_in_words(won: int, tested: int, word: str) -> None:
    assert record(won, tested) == word


def test_wins_over_problems_by_hand() -> None:
    board = board_of(
        results({"a": 3, "b": 1, "c": -1, "random": 0}, dataset="one"),
        results({"a": 3, "b": -1, "c": -2, "random": 0}, dataset="two"),
        results({"a": 3, "b": 1, "c": 9, "random": 0}, dataset="broken", gates=BAD_GATE),
        results({"a": 0, "b": 1, "c": 9, "random": 0}, dataset="one", metric="max_sensitivity", family="robustness"),
    )
    found = wins_of(board)
    assert found.index.to_list() == ["a", "b", "c", "random"], "by tests won, controls last"
    assert found["won"].to_list() == [2, 1, 0, 0]
    assert found["tested"].to_list() == [2, 2, 2, 0], "neither robustness nor a problem whose gate failed"
    assert found["lost"].to_list() == [0, 1, 2, 0]
    assert found["n_problems"].to_list() == [2, 2, 2, 2]
    assert found["record"].to_list() == ["all", "most", "none", "untested"]
    assert found["control"].to_list() == [False, False, False, True]


def test_equal_shares_are_ordered_by_relative_rank_then_by_name() -> None:
    board = board_of(results({"x": 2, "b": 3, "a": 2, "random": 0}))
    assert wins_of(board).index.to_list() == ["b", "a", "x", "random"]


def test_tests_of_too_few_samples_are_no_tests() -> None:
    found = wins_of(board_of(results({"a": 3, "b": 2, "random": 0}, n=3)))
    assert found.loc[["a", "b"], "tested"].to_list() == [0, 0]
    assert found.loc[["a", "b"], "undecidable"].to_list() == [1, 1]


def test_placebos_are_the_controls_of_the_tests() -> None:
    values = {"a": 3, "b": 2, "random": 0, "constant": -1}
    board = board_of(results(values), results({**values, "oracle": 9}, dataset="other", family="ground_truth"))
    found = placebo_coverage(board, counted(board))
    assert found.placebos == ("constant", "random")
    assert found.untested is None
    assert found.oracle_losses.empty
    some = board[board["explainer"] != "constant"].reset_index(drop=True)
    assert placebo_coverage(some, counted(some)).placebos == (), "the board does not hold all of them"


def test_the_oracle_that_does_not_win_is_named() -> None:
    values = {"a": 3, "b": 2, "random": 0, "oracle": -1}
    board = board_of(results(values, family="ground_truth", metric="relevance_rank", truth_kind="model"))
    losses = placebo_coverage(board, counted(board)).oracle_losses
    assert losses[["explainer", "metric"]].to_numpy().tolist() == [["oracle", "relevance_rank"]]


def test_why_nothing_was_tested() -> None:
    def reason(*frames: pd.DataFrame) -> str | None:
        board = board_of(*frames)
        return placebo_coverage(board, counted(board)).untested

    elsewhere = results({"a": 1, "random": 0}, family="robustness", metric="max_sensitivity")
    assert reason(results({"a": 3, "b": 2})) == "no placebo"
    assert reason(results({"a": 3, "random": 0}, dataset="broken", gates=BAD_GATE), elsewhere) == "failed gates"
    assert reason(elsewhere) == "other families"


def test_gaps_are_named_by_the_gravest_reason() -> None:
    board = board_of(
        results({"a": 3, "b": 2, "c": "failed", "d": "unsupported", "e": "unsupported"}, dataset="one"),
        results({"a": 3, "b": "missing", "c": "unsupported", "d": "unsupported", "e": 1}, dataset="two"),
        results({"f": 1}, metric="infidelity"),
    )
    found = measured_ranks(board).set_index(["metric", "explainer"])
    gaps = found["gap"].to_dict()
    assert {k[1]: v for k, v in gaps.items() if k[0] == "pixel_flipping"} == {
        "a": None, "b": None, "c": "failed", "d": "unsupported", "e": None,
    }  # fmt: skip
    assert gaps["infidelity", "f"] == "alone"
    partly = found.loc["pixel_flipping", "partly"]
    assert partly.to_dict() == {"a": False, "b": True, "c": False, "d": False, "e": True}


def test_an_overview_counts_problems_and_orders_metrics_by_family() -> None:
    values = {"a": 3, "b": 2, "random": 0}
    board = board_of(
        results(values, metric="sparseness", family="complexity"),
        results(values, metric="deletion"),
        results(values, metric="relevance_rank", family="ground_truth", truth_kind="model"),
        results(values, dataset="broken", gates=BAD_GATE),
    )
    found = board_summary(board)
    assert (found.n_problems, found.n_failed_gates) == (1, 1)
    assert found.measures["metric"].to_list() == ["deletion", "relevance_rank", "sparseness"]
    assert found.estimands == ("conditional on this model",)
    assert set(found.rows["dataset"]) == {"digits"}
    assert found.rows.loc[found.rows["explainer"] == "a", "outcome"].to_list() == ["beats", "beats", None]


PERFECT = MetricSpec("m", lambda ev: ev, family="ground_truth", bounds=(0, 1))


@pytest.mark.parametrize(
    ("values", "options", "tested"),
    [
        ({"a": 0.5, "b": 0.9, "random": 1.0, "constant": 0.4}, {}, False),  # nobody can be better than 1
        ({"a": 0.5, "b": 0.9, "random": 0.999, "constant": 0.4}, {}, True),
        (
            {"a": 0.5, "b": 0.9, "random": 1.0, "oracle": 1.0},
            {},
            True,
        ),  # the oracle's own test says that nothing is told
        ({"a": 0.5, "b": 0.9, "random": 0.0}, {"higher_is_better": False}, False),
        ({"a": 0.5, "b": 0.9, "random": 1.0}, {"higher_is_better": False}, True),
    ],
)
def test_a_placebo_that_is_perfect_by_itself_convicts_nobody(
    values: dict[str, float], options: dict[str, Any], tested: bool
) -> None:
    """As for `input_independence`: maps that never change are never changed by a patch, and score 1 on every sample."""
    r = np.random.default_rng(0)
    scores = {k: np.full(40, v) if k in ("random", "oracle") else v - 0.1 * r.random(40) for k, v in values.items()}
    frame = make_results(scores, metric="m", family="ground_truth", truth_kind="model", **options)
    spec = replace(PERFECT, higher_is_better=options.get("higher_is_better", True))
    board = leaderboard(frame, suite="s", metrics={"m": spec}).set_index("explainer")
    assert board.loc[["a", "b"], "loses_to_placebo"].notna().all() == tested
    assert board.loc[["a", "b"], "beats_placebo"].notna().all() == tested
    assert board.loc[["a", "b"], "rank"].notna().all()
