"""Races: levels of looks by simulation, decisions by hand, null races, replay of stored scores."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.racing.closing import delta_of, final_chances, tied_within
from xaibench.analysis.racing.decisions import DECISIONS, MetricRace
from xaibench.analysis.racing.modes import RaceMode
from xaibench.analysis.racing.replay import replay
from xaibench.analysis.racing.spending import looks_at, nominal_levels, pocock_spending
from xaibench.core.types import Array


def raced(
    scores: Array, mode: RaceMode, n_placebos: int = 0, *, higher: bool = True, delta: float = 0.0, median: bool = False
) -> MetricRace:
    candidates = np.arange(len(scores)) < len(scores) - n_placebos
    race = MetricRace(mode, scores.shape[1], candidates, ~candidates, higher, median, lambda _: delta)
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
    scores = r.normal(size=(3, 500)) + np.array([[0.0], [0.2], [-5.0]])
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
    assert found == {0: "better than placebos", 1: "worse than placebo", 2: "not separable"}
    assert race.running == set()


def test_equal_scores_are_never_decided() -> None:
    scores = np.tile(np.random.default_rng(0).normal(size=500), (4, 1))
    assert raced(scores, "anytime").stops == []
    ended = raced(scores, "best").stops
    assert {stop.outcome for stop in ended} == {"not separable"}
    assert (len(ended), {stop.n for stop in ended}, {stop.rival for stop in ended}) == (3, {59}, {0})
    tied = raced(scores, "best", delta=0.01).stops
    assert {(stop.outcome, stop.delta) for stop in tied} == {("tied", 0.01)}


@pytest.mark.parametrize("median", [False, True])
def test_a_race_ends_when_all_that_are_left_are_tied_with_the_leader(median: bool) -> None:
    r = np.random.default_rng(1)
    noise = r.normal(size=(1, 500)) + 0.05 * r.normal(size=(4, 500))
    race = raced(noise + np.array([[0.0], [0.005], [0.002], [-0.5]]), "best", delta=0.05, median=median)
    outcomes = {stop.explainer: stop.outcome for stop in race.stops}
    assert outcomes.pop(3) == "beaten"
    assert set(outcomes.values()) == {"tied"}
    assert len(outcomes) == 2
    assert len(race.running) == 1, "the leader goes on alone"
    assert max(stop.n for stop in race.stops) < 500


def test_what_is_tied_with_a_placebo_leaves_unless_it_may_be_worse_than_another() -> None:
    r = np.random.default_rng(2)
    noise = r.normal(size=(1, 500)) + 0.05 * r.normal(size=(4, 500))
    tied = raced(noise + np.array([[1.0], [0.0], [0.0], [-1.0]]), "placebo", 2, delta=0.05)
    assert {s.explainer: s.outcome for s in tied.stops} == {0: "better than placebos", 1: "tied"}
    assert next(s.rival for s in tied.stops if s.explainer == 1) == 2
    near = raced(noise + np.array([[1.0], [0.0], [0.0], [0.012]]), "placebo", 2, delta=0.05)
    assert {s.explainer: s.outcome for s in near.stops} == {0: "better than placebos", 1: "worse than placebo"}


def test_chances_are_those_of_a_walk_with_drift() -> None:
    """By simulation of the walk that the formula describes, from each of four states."""
    share, level = 0.3, 0.01
    p, ahead = np.array([0.5, 0.1, 0.01, 0.2]), np.array([1, 1, 1, -1])
    from scipy.stats import norm

    z = ahead * norm.isf(p / 2)
    steps = np.random.default_rng(0).normal(size=(20_000, 1)) * np.sqrt(1 - share)
    final = z * np.sqrt(share) + z / np.sqrt(share) * (1 - share) + steps
    up, down = final_chances(p, ahead, share, level)
    bound = norm.isf(level / 2)
    assert up == pytest.approx((final > bound).mean(axis=0), abs=0.012)
    assert down == pytest.approx((final < -bound).mean(axis=0), abs=0.012)


@pytest.mark.parametrize("by_signs", [False, True])
def test_ties_are_tests_of_both_sides_at_half_the_level(by_signs: bool) -> None:
    from scipy.stats import binomtest, ttest_1samp

    d = np.random.default_rng(0).normal(scale=0.1, size=(3, 60)) + np.array([[0.0], [0.04], [0.3]])
    for level in (0.05, 0.001):
        for delta in (0.02, 0.05, 0.1):
            expected = [
                max(binomtest(int((x + delta > 0).sum()), 60, alternative="greater").pvalue,
                    binomtest(int((x - delta < 0).sum()), 60, alternative="greater").pvalue) < level / 2
                if by_signs else
                max(ttest_1samp(x, -delta, alternative="greater").pvalue,
                    ttest_1samp(x, delta, alternative="less").pvalue) < level / 2
                for x in d
            ]  # fmt: skip
            assert tied_within(d, delta, level, by_signs=by_signs).tolist() == expected
    assert not tied_within(np.zeros((1, 60)), 0.0, 0.05, by_signs=by_signs).any()


def test_deltas_are_those_of_comparisons() -> None:
    def bounded(**given: object) -> float:
        found = {"metric": "m", "family": "faithfulness", "aggregate": "mean", "output": "probability", "params": "{}"}
        return delta_of(**{**found, **given}, bounds=(0, 1), has_unit=lambda _: True)(5.0)  # type: ignore[arg-type]

    assert bounded() == 0.02
    assert bounded(output="value") == pytest.approx(0.1)
    assert bounded(family="robustness") == 0.05
    assert bounded(aggregate="median_log10") == 0.1
    free = delta_of("m", "axiomatic", "mean", "logit", "{}", bounds=(None, None), has_unit=lambda _: False)
    assert free(2.0) == pytest.approx(0.04)


@pytest.mark.parametrize("n_races", [20, pytest.param(2000, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("mode", ["best", "placebo"])
def test_few_races_call_tied_what_differs_by_the_delta(mode: RaceMode, n_races: int) -> None:
    """Differences of just the delta, half of the races with skewed ones: every tie is false; at most 6 % have one."""
    false = 0
    for seed in range(n_races):
        r = np.random.default_rng(seed)
        noise = r.normal(size=(4, 200)) if seed % 2 else r.exponential(size=(4, 200))
        levels = 0.5 * np.arange(4)[:, None] if mode == "best" else np.array([[0.5], [-0.5], [0.0], [0.0]])
        race = raced(noise + levels, mode, 2 if mode == "placebo" else 0, delta=0.5)
        false += any(stop.outcome == "tied" for stop in race.stops)
    print(f"{mode}: {false} of {n_races} with a false tie")  # noqa: T201
    assert false <= max(0.06 * n_races, 3)


@pytest.mark.parametrize(
    ("mode", "n_races"),
    [
        *((mode, 20) for mode in ("best", "placebo", "anytime")),
        *(pytest.param(mode, 2000, marks=pytest.mark.exhaustive) for mode in ("best", "placebo", "anytime")),
    ],
)
def test_races_of_equals_make_few_false_decisions(mode: RaceMode, n_races: int) -> None:
    """Six explainers and two placebos that are all noise, half of the races with skewed scores; at most 6 % decide."""
    false = 0
    for seed in range(n_races):
        r = np.random.default_rng(seed)
        scores = r.normal(size=(8, 120)) if seed % 2 else r.exponential(size=(8, 120))
        race = MetricRace(mode, 120, np.arange(8) < 6, np.arange(8) >= 6, True, delta=lambda _: 0.05)
        for n in race.looks if mode != "anytime" else range(4, 120, 4):
            race.look(scores[:, :n])
        false += any(stop.outcome in DECISIONS for stop in race.stops)
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
