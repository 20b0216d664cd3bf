"""Rank intervals and tie groups: copies stay together, planted differences are found, errors are held."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.hall import two_sided_p
from helpers.results import concat, make_results
from hypothesis import given, settings
from hypothesis import strategies as st

from xaibench.analysis.leaderboard.placebo_tests import compare_with_placebos
from xaibench.analysis.leaderboard.rank_intervals import rank_intervals
from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.statistics.letter_display import letters

GATE = [{"name": "accuracy", "value": 0.5, "threshold": 0.9, "at_least": True}]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def board_of(scores: dict[str, Any], **options: Any) -> pd.DataFrame:
    return leaderboard(make_results(scores, **options), suite="s").set_index("explainer")


def share(a: str, b: str) -> bool:
    return bool(set(a) & set(b))


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.integers(0, 10**6), st.integers(5, 40), st.booleans(), st.booleans(), st.sampled_from(["mean", "median_log10"])
)
def test_two_copies_always_share_a_tie_group(seed: int, n: int, ties: bool, gaps: bool, aggregate: str) -> None:
    r = rng(seed)
    scores = {name: r.gamma(1, 1 + i, n) for i, name in enumerate("abcde")}
    if ties:
        scores = {k: np.round(v) for k, v in scores.items()}
    if gaps:
        for values in scores.values():
            values[r.random(n) < 0.3] = np.nan
    original = "abcde"[seed % 5]
    scores |= {"copy": scores[original], "z_copy": scores[original] * (1 + 1e-9)}
    board = board_of(scores, aggregate=aggregate)
    ranked = board[board["rank"].notna()]
    for name in ("copy", "z_copy"):
        if original in ranked.index and name in ranked.index:
            assert share(ranked.at[original, "tie_group"], ranked.at[name, "tie_group"])
            assert (
                ranked.loc[original, ["rank_low", "rank_high", "tie_group"]].tolist()
                == ranked.loc[name, ["rank_low", "rank_high", "tie_group"]].tolist()
            )
    assert (ranked["rank_low"] <= ranked["rank"]).all()
    assert (ranked["rank"] <= ranked["rank_high"]).all()


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.integers(1, 14), st.floats(0, 1))
def test_two_share_a_letter_if_and_only_if_they_are_not_told_apart(seed: int, n: int, density: float) -> None:
    r = rng(seed)
    upper = np.triu(r.random((n, n)) < density, 1)
    differ = upper | upper.T
    found = letters(differ, r.permutation(n))
    assert all(found)
    for i in range(n):
        for j in range(i):
            assert share(found[i], found[j]) != differ[i, j]


def test_letters_go_from_best_to_worst() -> None:
    place = np.arange(5.0)
    differ = np.abs(place[:, None] - place) > 1
    assert letters(differ, np.arange(5)) == ["a", "ab", "bc", "cd", "d"]
    assert letters(differ, np.arange(5)[::-1]) == ["d", "cd", "bc", "ab", "a"]
    chain = np.zeros((3, 3), dtype=bool)
    chain[0, 1] = chain[1, 0] = True  # the middle one differs from the first, the last from none
    assert letters(chain, np.arange(3)) == ["a", "b", "ab"]


@pytest.mark.parametrize("higher", [True, False])
def test_planted_levels_are_told_apart(higher: bool) -> None:
    r, base = rng(), rng(9).normal(0, 5, 60)  # samples differ more than explainers: pairing matters
    levels = {"a1": 2.0, "a2": 2.0, "b1": 1.0, "b2": 1.0, "c": 0.0}
    scores = {k: (base + v + r.normal(0, 0.3, 60)) * (1 if higher else -1) for k, v in levels.items()}
    board = board_of(scores | {"random": base}, higher_is_better=higher)
    low, high = board["rank_low"], board["rank_high"]
    assert [(low[k], high[k]) for k in levels] == [(1, 2), (1, 2), (3, 4), (3, 4), (5, 5)]
    assert board.loc[list(levels), "tie_group"].tolist() == ["a", "a", "b", "b", "c"]
    assert pd.isna(board.at["random", "tie_group"])
    assert np.isnan(board.at["random", "rank_low"])
    assert board.at["c", "win_rate"] < 0.05
    assert board.loc[list(levels), "win_rate"].mean() == pytest.approx(0.5)


def test_intervals_are_those_of_halls_test_and_holm_over_all_pairs() -> None:
    r = rng(3)
    scores = {name: np.float32(r.normal(0.15 * i, 1, 50)).astype(float) for i, name in enumerate("abcdef")}
    pairs = [(x, y) for x in scores for y in scores if x < y]
    p = np.array([two_sided_p(scores[x] - scores[y]) for x, y in pairs])
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    board = board_of(scores)
    better = dict.fromkeys(scores, 0)
    worse = dict(better)
    for (x, y), value in zip(pairs, adjusted, strict=True):
        if value < 0.05:
            won, lost = (x, y) if scores[x].mean() > scores[y].mean() else (y, x)
            better[lost] += 1
            worse[won] += 1
    assert sum(better.values()) > 0
    for name in scores:
        assert board.at[name, "rank_low"] == 1 + better[name]
        assert board.at[name, "rank_high"] == 6 - worse[name]


def samples_of(scores: np.ndarray) -> ScoreMatrix:
    """Scores (explainers, samples) of one training and one draw."""
    size = len(scores)
    given = np.ones(scores.shape, dtype=bool)
    bounds, draws = np.array([0, scores.shape[1]]), np.ones((size, 1), dtype=np.int64)
    return ScoreMatrix(scores, scores, given, ~given, bounds, draws, median=False)


def test_nothing_is_told_apart_under_no_difference_more_often_than_in_five_percent() -> None:
    """Two draws of one stochastic explainer and three others like it, skewed and correlated over samples."""
    r, wrong = rng(5), []
    for _ in range(800):
        samples = samples_of(r.exponential(2, 40) * r.exponential(1, (5, 40)))
        found = rank_intervals(samples, samples.aggregate()[0], np.ones(5, dtype=bool), higher_is_better=True)
        wrong.append(len(set(found.group)) > 1)
    assert np.mean(wrong) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 800)


def test_a_difference_must_show_on_every_trained_model() -> None:
    r = rng(1)
    frames = [make_results({"a": r.normal(1, 0.2, 40), "b": r.normal(0, 0.2, 40)}, problem_seed=k) for k in range(3)]
    assert leaderboard(concat(*frames), suite="s")["tie_group"].tolist() == ["a", "b"]
    frames[1] = make_results({"a": r.normal(0, 0.2, 40), "b": r.normal(0, 0.2, 40)}, problem_seed=1)
    assert leaderboard(concat(*frames), suite="s")["tie_group"].tolist() == ["a", "a"]


@pytest.mark.parametrize(("n", "apart"), [(60, False), (200, True)])
def test_what_wins_on_most_samples_and_loses_in_the_mean_is_never_the_better_one(n: int, apart: bool) -> None:
    """Better on nine of ten samples by a little, and worse on one by much: the mean ranks, so the mean decides."""
    a, b = np.zeros(n), np.where(np.arange(n) % 10 == 0, 9.0, -0.1)
    board = board_of({"a": a, "b": b, "c": a + 1e-3 * rng().normal(size=n)})
    assert board.at["b", "value"] > board.at["a", "value"]
    assert board.at["b", "win_rate"] < 0.2
    assert share(board.at["a", "tie_group"], board.at["b", "tie_group"]) is not apart
    assert board.at["b", "rank_low"] == 1


def test_only_the_ranked_are_compared() -> None:
    r = rng(2)
    scores = {"a": r.normal(3, 1, 40), "b": r.normal(0, 1, 40), "gap": np.r_[r.normal(9, 1, 5), np.full(35, np.nan)]}
    board = board_of(scores | {"lost": "failed"})
    assert board.loc[["gap", "lost"], ["rank_low", "rank_high"]].isna().all(axis=None)
    assert board.loc[["a", "b"], "rank_high"].tolist() == [1, 2]
    gated = board_of(scores, gates=GATE)
    assert gated[["rank_low", "rank_high", "tie_group", "win_rate"]].isna().all(axis=None)


def test_one_explainer_and_too_few_samples() -> None:
    board = board_of({"a": np.arange(9.0), "random": np.zeros(9)})
    assert board.loc["a", ["rank_low", "rank_high", "tie_group"]].tolist() == [1, 1, "a"]
    board = board_of({"a": np.arange(4.0) + 50, "b": np.arange(4.0)})
    assert board["tie_group"].tolist() == ["a", "a"]  # four pairs cannot reach 5 %


def test_explainers_with_other_numbers_of_draws_are_compared_on_one_draw() -> None:
    """Left-skewed scores: the mean of ten draws would win against one draw of the same thing."""
    r = rng(4)
    frames = [
        make_results({"often": -r.exponential(size=(10, 60)), "once": -r.exponential(size=60)}, dataset=f"d{i:03}")
        for i in range(40)
    ]
    board = leaderboard(concat(*frames), suite="s")
    assert board.groupby("dataset")["tie_group"].nunique().gt(1).sum() <= 5  # 2 are expected


def test_loses_beats_and_not_shown_are_three_things() -> None:
    r = rng(6)
    scores = {
        "good": r.normal(2, 1, 50), "same": r.normal(0.3, 1, 50), "bad": r.normal(-2, 1, 50),
        "constant": r.normal(0, 1, 50), "input_edges": r.normal(0.3, 1, 50),
    }  # fmt: skip
    board = board_of(scores).loc[["good", "same", "bad"]]
    assert board["beats_placebo"].tolist() == [True, False, False]
    assert board["loses_to_placebo"].tolist() == [False, False, True]
    assert board.at["good", "placebo_effect"] > 0.8
    assert board.at["bad", "placebo_effect"] < -0.8
    assert abs(board.at["same", "placebo_effect"]) < 0.4


def test_noise_seldom_loses_to_the_best_of_five_placebos() -> None:
    """The best placebo is picked by the same scores: without a correction noise would lose far too often."""
    r, lost = rng(7), []
    names, control = np.array(["noise", *"abcde"], dtype=object), np.arange(6) > 0
    for _ in range(800):
        samples = samples_of(r.exponential(size=(6, 40)))
        found = compare_with_placebos(
            samples, samples.aggregate()[0], names, control, np.ones(6, dtype=bool),
            higher_is_better=True, family="faithfulness", skill_valid=False,
        )  # fmt: skip
        lost.append(found.loses[0])
    assert 0 < np.mean(lost) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 800)
