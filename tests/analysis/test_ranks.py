"""Ranks over problems: hand-computed places, incomplete rows refused, like compared with like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.overall import overall
from xaibench.analysis.ranks.relative_ranks import mean_ranks, relative_ranks
from xaibench.core.errors import NothingToDoError

BAD_GATE = [{"name": "accuracy", "value": 0.5, "threshold": 0.9, "at_least": True}]


def level(value: float) -> np.ndarray:
    """Eight scores around a value; levels that differ by 1 never overlap."""
    return value + np.linspace(-0.1, 0.1, 8) ** 3


def results(values: dict[str, float | str], **options: Any) -> pd.DataFrame:
    return make_results({k: v if isinstance(v, str) else level(v) for k, v in values.items()}, **options)


def board_of(*frames: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(concat(*frames), suite="s")


def test_relative_ranks_of_explainers_and_controls() -> None:
    board = board_of(results({"a": 4, "b": 3, "c": 2, "d": 2, "random": 2, "constant": 9, "input_edges": 2.5}))
    places = dict(zip(board["explainer"], relative_ranks(board), strict=True))
    assert places == pytest.approx(
        {"a": 0, "b": 1 / 3, "c": 2.5 / 3, "d": 2.5 / 3, "random": 0.75, "constant": 0, "input_edges": 0.5}
    )


def test_relative_ranks_when_lower_is_better() -> None:
    board = board_of(results({"a": 4, "b": 3, "random": 3.5}, higher_is_better=False))
    assert dict(zip(board["explainer"], relative_ranks(board), strict=True)) == {"a": 1, "b": 0, "random": 0.5}


def test_mean_ranks_count_what_is_behind_them() -> None:
    board = board_of(
        results({"a": 3, "b": 2, "c": 1, "random": 0}, dataset="one"),
        results({"a": 2, "b": 3, "c": "failed", "random": 0}, dataset="two"),
        results({"a": 1, "b": 3, "c": "unsupported", "random": 9}, dataset="three"),
        results({"a": 3, "b": 1, "c": 9, "random": 0}, dataset="broken", gates=BAD_GATE),
        results({"a": "unsupported", "b": "unsupported"}, dataset="without"),
    )
    ranks = mean_ranks(board).set_index("explainer")
    assert ranks.loc[["a", "b", "c"], "mean_rank"].tolist() == pytest.approx([5 / 3, 4 / 3, 3])
    assert ranks.loc[["a", "b", "c"], "relative_rank"].tolist() == pytest.approx([2 / 3, 1 / 6, 1])
    assert ranks.loc[["a", "b", "c"], "n_ranked"].tolist() == [3, 3, 1]
    assert (ranks["n_expected"] == 3).all()
    assert ranks.loc["c", ["n_failed", "n_unsupported"]].tolist() == [1, 1]
    assert ranks.loc[["a", "b", "c"], "n_tested"].tolist() == [3, 3, 1]
    assert ranks.loc[["a", "b", "c"], "n_beats"].tolist() == [2, 2, 1]
    assert ranks.at["random", "control"]


def test_kinds_of_truth_are_kept_apart_only_where_truth_is_used() -> None:
    options = [
        {"dataset": "one", "truth_kind": "model"},
        {"dataset": "two", "truth_kind": "data"},
        {"dataset": "three"},
    ]
    faith = board_of(*(results({"a": 2, "b": 1}, **o) for o in options))
    assert mean_ranks(faith)["n_ranked"].tolist() == [3, 3]
    truth = board_of(*(results({"a": 2, "b": 1}, family="ground_truth", **o) for o in options[:2]))
    assert sorted(mean_ranks(truth)["truth_kind"]) == ["data", "data", "model", "model"]
    assert (mean_ranks(truth)["n_expected"] == 1).all()


def test_outputs_of_one_metric_are_averaged_apart() -> None:
    board = board_of(
        results({"a": 2, "b": 1}, dataset="one"),
        results({"a": 1, "b": 2}, dataset="one", asked_output="probability"),
        results({"a": 2, "b": 1}, dataset="two"),
    )
    ranks = mean_ranks(board).set_index(["asked_output", "explainer"])["relative_rank"]
    assert ranks.to_dict() == {("", "a"): 0, ("", "b"): 1, ("probability", "a"): 1, ("probability", "b"): 0}
    assert overall(board)["relative_rank"].tolist() == pytest.approx([1 / 4, 3 / 4])  # one vote on "one"
    assert (overall(board)["n_pairs"] == 3).all()


def test_an_empty_board_has_empty_ranks() -> None:
    empty = leaderboard(make_results({}), suite="s")
    assert mean_ranks(empty).empty
    with pytest.raises(NothingToDoError):
        overall(empty)
