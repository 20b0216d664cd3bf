"""The overall mean as tables: blocks that may be compared, in order of rank."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.printed import text_of
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.overall import overall, overall_by
from xaibench.analysis.ranks.rank_agreement import masker_agreement, masker_ranks
from xaibench.report.overall import masker_tables, overall_table, tables_by
from xaibench.report.tables import terminal


def test_blocks_name_their_problems_and_follow_the_rank() -> None:
    low, mid, high = np.zeros(9), np.ones(9), np.full(9, 2.0)
    frames = [
        make_results({"a": low, "b": high, "c": mid}, dataset="one"),
        make_results({"a": low, "b": high, "c": "unsupported"}, dataset="two"),
        make_results({"a": high, "b": low}, metric="rank", family="ground_truth", truth_kind="planted"),
    ]
    lines = text_of(overall_table(overall(leaderboard(concat(*frames), suite="s"))), 120).splitlines()
    titles = [i for i, line in enumerate(lines) if "explainers, " in line]
    assert [lines[i] for i in titles] == [
        "faithfulness: 2 explainers, 1 metric in 1 vote on 2 problems (one/cnn, two/cnn)",
        "faithfulness: 3 explainers, 1 metric in 1 vote on 1 problem (one/cnn)",
        "ground truth (planted): 2 explainers, 1 metric in 1 vote on 1 problem (digits/cnn)",
    ]
    assert lines[titles[0] + 1].split() == ["explainer", "relative", "rank"]
    rows = [line.split() for line in lines[titles[1] + 3 : titles[1] + 6]]
    assert rows == [["b", "0.00"], ["c", "0.500"], ["a", "1.00"]]
    assert lines[titles[0] + 5] == "votes: pixel_flipping: pixel_flipping"
    assert lines[titles[2] + 3].split() == ["a", "0.00"]
    assert "relative rank: " in " ".join(lines)
    assert "interval" not in " ".join(lines)


def test_intervals_for_new_problems_are_shown_where_they_are() -> None:
    frames = [make_results({"a": np.zeros(9), "b": np.ones(9) * (-1) ** i}, dataset=f"d{i}") for i in range(3)]
    text = text_of(overall_table(overall(leaderboard(concat(*frames), suite="s"))), 120)
    assert "interval" in text.splitlines()[1]
    assert "for new problems" in text


@pytest.mark.slow
def test_ranks_against_data_sets_are_shortened_and_split_to_the_width() -> None:
    names = [f"suppressor(c=0.{i})" for i in range(6)]
    frames = [make_results({"a": np.zeros(9), "b": np.ones(9)}, dataset=name) for name in names]
    board = leaderboard(concat(*frames), suite="s")
    (table, _) = tables_by(overall_by(board, "dataset"), "dataset")
    assert table.title == "faithfulness: relative rank by dataset suppressor"
    assert table.heads == ("explainer", *(f"c=0.{i}" for i in range(6)))
    assert table.rows == [("b", *[".00"] * 6), ("a", *["1.0"] * 6)]
    lines = text_of(terminal([table]), 30).splitlines()
    assert max(map(len, lines)) <= 30
    assert sum(line.startswith("explainer") for line in lines) == 3


def test_narrow_support_is_marked() -> None:
    frames = [
        make_results({"a": np.zeros(9), "b": np.ones(9), "c": np.full(9, 2.0)}, metric="one"),
        make_results({"a": np.zeros(9), "b": np.ones(9), "c": "unsupported"}, metric="two"),
    ]
    (table, _) = tables_by(overall(leaderboard(concat(*frames), suite="s")), "family")
    assert dict(table.rows) == {"b": ".00", "a": "1.0", "c": ".00~"}


@pytest.mark.slow
def test_rank_against_masker() -> None:
    x, y = np.zeros(9), np.ones(9)
    values = [{"a": x, "b": y, "c": y * 2, "d": y * 3}, {"a": y * 3, "b": y * 2, "c": y, "d": x}]
    frames = [
        make_results(v, params=f'{{"masker":"{m}"}}', higher_is_better=False)
        for v, m in zip(values, ("mean", "zero"), strict=True)
    ]
    board = leaderboard(concat(*frames), suite="s")
    ranks, taus = masker_tables(masker_ranks(board), masker_agreement(board))
    assert ranks.heads == ("explainer", "mean", "zero")
    assert ("a", ".00", "1.0") in ranks.rows
    assert taus.rows == [("mean", "", "-1.00 (1)"), ("zero", "-1.00 (1)", "")]
    alone = leaderboard(frames[0], suite="s")
    assert (
        "no metric was measured with two maskers"
        in masker_tables(masker_ranks(alone), masker_agreement(alone))[1].notes
    )


def test_parameters_are_shown_only_to_tell_variants_apart_and_no_empty_column() -> None:
    frame = make_results({"a": np.zeros(9), "b": np.ones(9)})
    frame["explainer_params"] = '{"n_samples":9}'
    other = frame[frame["explainer"] == "a"].assign(explainer_params='{"n_samples":5}', cell_id="x")
    text = text_of(overall_table(overall(leaderboard(concat(frame, other), suite="s"))), 120)
    assert {"a(n_samples=9)", "a(n_samples=5)", "b"} <= set(text.split())
    assert "truth kind" not in text
