"""The first screen: status lines in words, one row per explainer, within the width that there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.printed import text_of
from helpers.results import concat, make_results

from xaibench.analysis.advice.verdicts import advise
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.overall import overall
from xaibench.analysis.ranks.standings import standings
from xaibench.report.advice import NOTHING_SHOWN, NOTHING_TESTED, advice_groups
from xaibench.report.board_tables import tables_of_board
from xaibench.report.overall import BOARD_ORDER, overall_tables
from xaibench.report.overview import overview
from xaibench.report.standings import first_screen

LEVELS = {
    "winner": (9, 9, 9, 9), "mostly_wins": (8, 8, 8, -8), "sometimes": (7, 7, 0, 0), "mostly_loses": (-7, 6, -7, -7)
}  # fmt: skip


def board_of(levels: dict[str, tuple[float, ...]] = LEVELS, datasets: tuple[str, ...] = ("digits",)) -> pd.DataFrame:
    r = np.random.default_rng(0)
    frames = [
        make_results(
            {k: v[i] + r.normal(0, 1, 48) for k, v in levels.items()} | {"random": r.normal(0, 1, 48)},
            metric=f"metric_{i}", dataset=d,
        )
        for i in range(4) for d in datasets
    ]  # fmt: skip
    return leaderboard(concat(*frames), suite="s")


@pytest.fixture(scope="module")
def board() -> pd.DataFrame:
    return board_of()


def test_every_explainer_is_in_one_sentence_with_its_reason(board: pd.DataFrame) -> None:
    text = " ".join(text_of(first_screen(board), 200).split())
    ways = "metric 0, metric 1, metric 2 and metric 3"
    assert f"Use: winner (10 ms a sample): better than every placebo on {ways}, worse in no test." in text
    assert "better than every placebo in part and worse than one in part: mostly_wins (worse by metric_3)." in text
    assert "Also better than every placebo and worse in no test, but behind these or slower: sometimes." in text
    assert "Do not use: mostly_loses (worse by metric_0, by metric_2 and by metric_3)." in text
    assert "This is about digits/cnn only, one model trained once, 48 samples per score." in text
    members = [name for group in advice_groups(advise(board), board) for name, _ in group.members]
    assert sorted(members) == sorted(LEVELS)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_an_explainer_and_its_reason_stand_on_one_line(board: pd.DataFrame, width: int) -> None:
    lines = text_of(first_screen(board), width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any("\N{NO-BREAK SPACE}" in line for line in lines)
    for member in ("winner (10 ms a sample)", "(worse by metric_3)"):
        assert any(member in line for line in lines)


def test_order_and_marks_are_the_same_on_every_screen(board: pd.DataFrame) -> None:
    lines = [line.split() for line in text_of(first_screen(board), 80).splitlines()]
    screen = [words[1] for words in lines if words and words[0] in ("1", "2", "3", "4", "-")]
    assert screen[:2] == ["winner", "mostly_wins"]
    table = overall_tables(overall(board, missing="drop"), standings(board))[0]
    assert [row[0].split()[0] for row in table.rows] == screen
    assert BOARD_ORDER in table.notes
    assert [row[0] for row in table.rows if row[0].endswith(" !")] == [
        f"{name} !" for name in screen if name in ("mostly_wins", "mostly_loses")
    ]
    first = tables_of_board(board)[0]
    assert [row[first.heads.index("explainer")].split()[0] for row in first.rows] == screen
    assert [line.key[0] for line in overview(board).explainers] == screen


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_it_fits_and_names_stay_whole(width: int) -> None:
    names = {"integrated_gradients": (9, 9, 9, 9), "faithful_but_of_long_name": (8, 8, 8, -8), "rise": (1, 1, 1, -3)}
    text = text_of(first_screen(board_of(names, ("digits", "compas", "mnist"))), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert set(names) <= set(text.replace(",", " ").split())
    head = next(line for line in text.splitlines() if line.startswith("rank "))
    assert ("problems" in head) == (width >= 80)  # what matters least goes where there is no room


@pytest.mark.parametrize("datasets", [("digits",), ("digits", "compas")])
def test_one_problem_and_several_have_the_same_layout(datasets: tuple[str, ...]) -> None:
    text = text_of(first_screen(board_of(datasets=datasets)), 100)
    head = next(line for line in text.splitlines() if line.startswith("rank "))
    assert head.split()[:5] == ["rank", "explainer", "won", "lost", "rank"]
    assert ("problems" in head) == (len(datasets) > 1)
    assert set(text).isdisjoint("#~*")  # no codes


def test_nothing_is_said_of_placebos_that_were_not_there() -> None:
    r = np.random.default_rng(0)
    text = text_of(first_screen(leaderboard(make_results({k: r.normal(size=24) for k in "ab"}), suite="s")), 100)
    assert "No placebo was scored" in text
    assert not any(title in text for title in ("Use", "Do not use", "Undecided", NOTHING_SHOWN))


def test_too_few_samples_are_not_a_verdict() -> None:
    values: dict[str, Any] = {"best": np.arange(4) + 50.0, "random": np.zeros(4), "constant": np.zeros(4)}
    text = text_of(first_screen(leaderboard(make_results(values), suite="s")), 100)
    assert NOTHING_TESTED in text
    assert "Do not rely" not in text
    assert "too few samples for some test: best (at least 30 samples)." in text


def test_nothing_to_compare_is_said() -> None:
    gate = [{"name": "accuracy", "value": 0.5, "threshold": 0.9, "at_least": True}]
    failed = leaderboard(make_results({"a": np.zeros(24), "random": np.zeros(24)}, gates=gate), suite="s")
    assert text_of(first_screen(failed), 80) == "A gate of the problem failed, so there is nothing to compare.\n"
