"""Races: levels of looks by simulation, decisions by hand, null races, replay of stored scores."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.racing.decisions import MetricRace
from xaibench.analysis.racing.modes import RaceMode
from xaibench.analysis.racing.replay import replay
from xaibench.analysis.racing.spending import looks_at, nominal_levels, pocock_spending
from xaibench.core.types import Array


def raced(scores: Array, mode: RaceMode, n_placebos: int = 0, *, higher: bool = True) -> MetricRace:
    candidates = np.arange(len(scores)) < len(scores) - n_placebos
    race = MetricRace(mode, scores.shape[1], candidates, ~candidates, higher)
    for n in race.looks if mode != "anytime" else range(1, scores.shape[1]):
        race.look(scores[:, :n])
    return race


def test_looks_are_fixed_and_end_with_all_samples() -> None:
    assert looks_at(500) == (12, 20, 35, 59, 101, 172, 293, 500)
    assert looks_at(12) == (12,)
    assert looks_at(13)[-1] == 13
    assert pocock_spending(1.0, 0.05) == pytest.approx(0.05)
    assert pocock_spending(0.0, 0.05) == 0


def test_a_single_look_has_the_whole_level() -> None:
    assert nominal_levels((100,), 0.05) == pytest.approx((0.05,))


def test_five_equal_looks_are_near_the_bounds_of_pocock() -> None:
    """Pocock's own constant for five looks is 2.413, a nominal level of .0158 at every look."""
    levels = nominal_levels((20, 40, 60, 80, 100), 0.05)
    assert levels == pytest.approx([0.0158] * 5, abs=0.0045)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_levels_hold_for_a_random_walk(alpha: float) -> None:
    looks = looks_at(200)
    r = np.random.default_rng(0)
    walks = r.normal(size=(20_000, 200)).cumsum(axis=1)[:, np.array(looks) - 1] / np.sqrt(looks)
    from scipy.stats import norm

    crossed = (2 * norm.sf(np.abs(walks)) < np.array(nominal_levels(looks, alpha))).any(axis=1).mean()
    assert crossed == pytest.approx(alpha, abs=3.5 * np.sqrt(alpha / 20_000))


def test_who_is_far_behind_leaves_early_and_the_best_stays() -> None:
    r = np.random.default_rng(0)
    scores = r.normal(size=(3, 500)) + np.array([[0.0], [0.0], [-5.0]])
    race = raced(scores, "best")
    assert [(stop.explainer, stop.outcome) for stop in race.stops] == [(2, "beaten")]
    assert race.stops[0].n <= 59
    assert race.stops[0].rival in (0, 1)
    assert race.running == {0, 1}
    turned = raced(-scores, "best", higher=False)
    assert turned.stops == race.stops


def test_placebos_decide_both_ways_and_never_leave() -> None:
    r = np.random.default_rng(0)
    scores = r.normal(size=(5, 500)) + np.array([[4.0], [-4.0], [0.0], [0.0], [0.0]])
    race = raced(scores, "placebo", n_placebos=2)
    found = {stop.explainer: stop.outcome for stop in race.stops}
    assert found == {0: "better than placebos", 1: "worse than placebo"}
    assert race.running == {2}


def test_equal_scores_are_never_decided() -> None:
    scores = np.tile(np.random.default_rng(0).normal(size=500), (4, 1))
    for mode in ("best", "anytime"):
        assert raced(scores, mode).stops == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "n_races"),
    [
        *((mode, 20) for mode in ("best", "placebo", "anytime")),
        *(pytest.param(mode, 2000, marks=pytest.mark.slow) for mode in ("best", "placebo", "anytime")),
    ],
)
def test_races_of_equals_make_few_false_decisions(mode: RaceMode, n_races: int) -> None:
    """Six explainers and two placebos that are all noise, half of the races with skewed scores; at most 6 % decide."""
    false = 0
    for seed in range(n_races):
        r = np.random.default_rng(seed)
        scores = r.normal(size=(8, 120)) if seed % 2 else r.exponential(size=(8, 120))
        race = MetricRace(mode, 120, np.arange(8) < 6, np.arange(8) >= 6, True)
        for n in race.looks if mode != "anytime" else range(4, 120, 4):
            race.look(scores[:, :n])
        false += bool(race.stops)
    print(f"{mode}: {false} of {n_races}")  # noqa: T201
    assert false <= max(0.06 * n_races, 3)


def test_replay_counts_what_a_race_saves_and_keeps() -> None:
    r = np.random.default_rng(0)
    levels = {"a": 2.0, "b": 0.0, "c": -2.0, "random": -4.0}
    frame = concat(
        make_results({k: v + r.normal(size=200) for k, v in levels.items()}),
        make_results({k: r.normal(size=8) for k in levels}, metric="short"),
    )
    best = replay(frame, "best")
    assert best[["metric", "n_samples", "n_explainers"]].to_numpy().tolist() == [["pixel_flipping", 200, 3]]
    assert best[["n_decided", "n_kept", "n_extra", "n_reversed"]].to_numpy().tolist() == [[2, 2, 0, 0]]
    assert 1 / 3 < best["share"].iloc[0] < 0.6
    placebo = replay(frame, "placebo")
    assert placebo[["n_decided", "n_kept"]].to_numpy().tolist() == [[3, 3]]
    assert placebo["share"].iloc[0] < 0.3
    assert len(replay(frame, "best", shuffle=3)) == 1
