"""Nothing is told apart that is equal in what the board ranks by: equal means, or equal medians, of any shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers.distributions import MEAN_ZERO
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.placebo_tests import compare_with_placebos
from xaibench.analysis.leaderboard.rank_intervals import rank_intervals
from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix
from xaibench.analysis.leaderboard.table import leaderboard

SIMULATIONS = 1000
MARGIN = 2 * np.sqrt(0.06 * 0.94 / SIMULATIONS)
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def samples_of(scores: np.ndarray, seeds: int = 1, *, median: bool = False) -> ScoreMatrix:
    """Scores (explainers, samples) of one draw, the samples of several trainings one after the other."""
    size, width = scores.shape
    given = np.ones(scores.shape, dtype=bool)
    bounds, draws = np.linspace(0, width, seeds + 1).astype(int), np.ones((size, seeds), dtype=np.int64)
    return ScoreMatrix(scores, scores, given, ~given, bounds, draws, median)


def told_apart(scores: np.ndarray, seeds: int = 1, *, median: bool = False) -> np.ndarray:
    """Who is significantly better or worse than the first explainer: [first is better, first is worse]."""
    samples = samples_of(scores, seeds, median=median)
    value = samples.aggregate()[0]
    found = rank_intervals(samples, value, np.ones(len(scores), dtype=bool), higher_is_better=True)
    return np.array([found.high[0] < len(scores), found.low[0] > 1])


@pytest.mark.slow
@pytest.mark.parametrize("n", [48, 200])
@pytest.mark.parametrize("name", MEAN_ZERO)
def test_explainers_of_equal_mean_are_seldom_told_apart(name: str, n: int) -> None:
    r = np.random.default_rng([n, *map(ord, name)])
    wrong = [told_apart(MEAN_ZERO[name](r, (1, n))[[0, 0]] * [[1], [0]]).any() for _ in range(SIMULATIONS)]
    nominal = 0.08 if (name, n) == ("e^.5 - log-normal", 48) else 0.06
    assert np.mean(wrong) <= nominal + MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("n", [48, 200])
@pytest.mark.parametrize("name", MEAN_ZERO)
def test_what_is_worse_in_the_mean_is_seldom_better_by_test(name: str, n: int) -> None:
    """Worse by .025, whatever the share of samples that it wins."""
    r = np.random.default_rng([n, 1, *map(ord, name)])
    draws = (MEAN_ZERO[name](r, (1, n)) - 0.025 for _ in range(SIMULATIONS))
    wrong = [told_apart(d[[0, 0]] * [[1], [0]])[0] for d in draws]
    assert np.mean(wrong) <= 0.06 + MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("n", [48, 200])
@pytest.mark.parametrize("name", MEAN_ZERO)
def test_equal_means_seldom_beat_a_placebo_or_lose_to_it(name: str, n: int) -> None:
    """One explainer and one placebo: each side is a test at 5 %."""
    r = np.random.default_rng([n, 2, *map(ord, name)])
    names, control, all_of = np.array(["a", "p"], dtype=object), np.array([False, True]), np.ones(2, dtype=bool)
    outcomes = []
    for _ in range(SIMULATIONS):
        samples = samples_of(MEAN_ZERO[name](r, (1, n))[[0, 0]] * [[1], [0]])
        found = compare_with_placebos(
            samples, samples.aggregate()[0], names, control, all_of,
            higher_is_better=True, family="faithfulness", skill_valid=False,
        )  # fmt: skip
        outcomes.append((found.beats[0], found.loses[0]))
    nominal = {"e^.5 - log-normal": 0.095}.get(name, 0.06)
    assert (np.mean(outcomes, axis=0) <= nominal + MARGIN).all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [48, 200])
@pytest.mark.parametrize("name", [k for k in MEAN_ZERO if k != "normal"])
def test_rank_intervals_of_five_equal_means_hold_together(name: str, n: int) -> None:
    r, wrong = np.random.default_rng([n, 3, *map(ord, name)]), []
    for _ in range(SIMULATIONS):
        scores = 0.2 * r.normal(size=(5, n))
        scores[0] += MEAN_ZERO[name](r, (n,))
        samples = samples_of(scores)
        found = rank_intervals(samples, samples.aggregate()[0], np.ones(5, dtype=bool), higher_is_better=True)
        wrong.append((found.low > 1).any())
    assert np.mean(wrong) <= 0.05 + MARGIN


@pytest.mark.parametrize("name", [k for k in MEAN_ZERO if k != "normal"])
def test_a_truly_better_mean_is_found_though_it_loses_most_samples(name: str) -> None:
    """Power where a signed-rank test votes for the wrong one: better by .6 standard deviations."""
    r, found = np.random.default_rng([4, *map(ord, name)]), []
    for _ in range(200):
        d = -MEAN_ZERO[name](r, (1, 200))  # long tail to the right: most samples are below the mean
        found.append(told_apart((d + 0.6 * d.std())[[0, 0]] * [[1], [0]])[0])
    assert np.mean(found) > 0.9


def test_several_trained_models_must_each_show_the_mean() -> None:
    """Three models of equal mean: all at once are told apart in far fewer than 5 %."""
    r, wrong = np.random.default_rng(5), []
    for _ in range(400):
        d = MEAN_ZERO["1 - exponential"](r, (1, 144))
        wrong.append(told_apart(d[[0, 0]] * [[1], [0]], seeds=3).any())
    assert np.mean(wrong) < 0.01


@pytest.mark.parametrize("aggregate", ["mean", "median_log10"])
@pytest.mark.parametrize("higher", [True, False])
def test_the_verdict_goes_with_the_order_of_values(aggregate: str, higher: bool) -> None:
    r, frames = np.random.default_rng(6), []
    for k in range(30):
        scores = {f"e{i}": 10 ** (0.4 * i + r.normal(0, 0.3, 48)) * r.lognormal(0, 0.5, 48) for i in range(4)}
        frames.append(make_results(scores, aggregate=aggregate, higher_is_better=higher, dataset=f"d{k}"))
    board = leaderboard(concat(*frames), suite="s")
    assert (board["rank_low"] <= board["rank"]).all()
    assert (board["rank"] <= board["rank_high"]).all()
    assert (board.groupby("dataset")["tie_group"].nunique() > 1).sum() > 25


def test_medians_rank_and_medians_are_tested() -> None:
    """The medians of the log scores are equal, the median of their differences is far from 0: not told apart."""
    r, pairs = np.random.default_rng(7), []
    for _ in range(40):
        pairs.append((r.exponential(size=100) - np.log(2), np.log(2) - r.exponential(size=100)))
    frames = [
        make_results({"a": 10**a, "b": 10**b}, aggregate="median_log10", dataset=f"d{k}")
        for k, (a, b) in enumerate(pairs)
    ]
    groups = leaderboard(concat(*frames), suite="s").groupby("dataset")["tie_group"].nunique()
    assert (groups > 1).sum() <= 5
    a, b = pairs[0]
    shifted = make_results({"a": 10 ** (a + 1), "b": 10**b}, aggregate="median_log10", higher_is_better=False)
    assert leaderboard(shifted, suite="s")["tie_group"].tolist() == ["b", "a"]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_five_samples_and_fewer_tell_nothing_apart(n: int) -> None:
    for aggregate in ("mean", "median_log10"):
        board = leaderboard(make_results({"a": np.full(n, 9.0), "b": np.full(n, 1.0)}, aggregate=aggregate), suite="s")
        assert board["tie_group"].tolist() == ["a", "a"]


def test_hits_and_misses() -> None:
    hits = np.r_[np.ones(40), np.zeros(8)]
    scores = {"always": np.ones(48), "mostly": hits, "half": np.arange(48) % 2 * 1.0, "copy": hits + 1e-9}
    board = leaderboard(make_results(scores), suite="s").set_index("explainer")
    assert board.at["copy", "tie_group"] == board.at["mostly", "tie_group"]
    assert board.at["half", "rank_low"] == 4
    assert board.at["always", "rank_low"] == 1


def test_gaps_and_cells_in_any_order_give_the_same_board() -> None:
    r = np.random.default_rng(8)
    scores = {f"e{i}": 0.4 * i + r.exponential(size=60) for i in range(5)}
    for values in scores.values():
        values[r.random(60) < 0.2] = np.nan
    cells = concat(make_results(scores), make_results(scores, metric="other", aggregate="median_log10"))
    first = leaderboard(cells, suite="s")
    again = leaderboard(cells.sample(frac=1, random_state=1, ignore_index=True), suite="s")
    columns = ["rank_low", "rank_high", "tie_group", "win_rate"]
    assert first[columns].equals(again[columns])
    assert first["tie_group"].nunique() > 1
