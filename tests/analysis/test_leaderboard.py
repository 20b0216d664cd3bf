"""The leaderboard against planted answers."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.hall import hall_p
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.columns import CONDITIONAL, RETRAINED
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.statistics.intervals import mean_interval, median_interval

N = 40
TIMES = ["explain_seconds", "score_seconds"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(r: np.random.Generator, mean: float = 0.0, size: Any = N) -> np.ndarray:
    return r.normal(mean, 1, size)


def standard(seed: int = 0, sign: float = 1.0) -> dict[str, Any]:
    """A good, a middling and a useless explainer with all controls; the oracle is best."""
    r = rng(seed)
    scores: dict[str, Any] = {"good": noise(r, 2), "middling": noise(r, 1), "useless": noise(r)}
    scores |= {c: noise(r) for c in ("random_smooth", "other_sample", "constant", "input_edges")}
    scores |= {"oracle": noise(r, 3), "random": noise(r, size=(10, N))}
    return {name: sign * values for name, values in scores.items()}


def board_of(scores: dict[str, Any], **options: Any) -> pd.DataFrame:
    return leaderboard(make_results(scores, **options), suite="s").set_index("explainer")


@pytest.mark.parametrize("higher", [True, False])
def test_planted_order_is_found_in_both_directions(higher: bool) -> None:
    board = board_of(standard(sign=1 if higher else -1), higher_is_better=higher, skill_valid=True)
    assert board.loc[["good", "middling", "useless"], "rank"].tolist() == [1, 2, 3]
    assert board["rank"].count() == 3
    assert (board["n_ranked"] == 3).all()
    assert board.loc[["good", "middling", "useless"], "beats_placebo"].tolist() == [True, True, False]
    assert board.at["good", "skill"] == pytest.approx(2 / 3, abs=0.15)
    np.testing.assert_array_equal(board.loc[["random", "oracle"], "skill"], [0, 1])


def test_value_and_interval_of_one_training_seed() -> None:
    scores = standard()
    board = board_of(scores)
    good = board.loc["good"]
    expected = np.ravel(mean_interval(np.float32(scores["good"]).astype(float)[None]))
    assert good["value"] == pytest.approx(np.float32(scores["good"]).mean())
    np.testing.assert_allclose([good["ci_low"], good["ci_high"]], expected)
    assert good["estimand"] == CONDITIONAL
    assert board.at["random", "value"] == pytest.approx(scores["random"].mean(), abs=1e-6)
    assert board.at["random", "n_draws"] == 10
    assert (board["n"] == N).all()


def test_several_training_seeds_give_an_interval_over_them() -> None:
    frames = [make_results({"a": noise(rng(k), k), "random": noise(rng(9), 0)}, problem_seed=k) for k in range(4)]
    board = leaderboard(concat(*frames), suite="s").set_index("explainer")
    means = [np.float32(noise(rng(k), k)).astype(float).mean() for k in range(4)]
    expected = np.ravel(mean_interval(np.array([means])))
    row = board.loc["a"]
    np.testing.assert_allclose([row["value"], row["ci_low"], row["ci_high"]], [np.mean(means), *expected])
    assert (row["estimand"], row["n_seeds"], row["n"]) == (RETRAINED, 4, 4 * N)


def test_no_interval_without_spread() -> None:
    board = board_of({"one": [0.5], "random": [0.1]})
    assert board[["ci_low", "ci_high"]].isna().all(axis=None)
    board = board_of({"flat": np.ones(N), "random": noise(rng())})
    assert np.isnan(board.at["flat", "ci_low"])
    assert board.at["flat", "value"] == 1


def test_heavy_tails_aggregate_as_a_median_in_log10() -> None:
    r = rng()
    scores = {"a": 10 ** r.normal(-3, 1, 41), "b": 10 ** r.normal(2, 1, 41), "random": 10 ** r.normal(2, 1, (10, 41))}
    scores["a"][0] = 1e30  # one outlier decides every mean
    board = board_of(scores, aggregate="median_log10", higher_is_better=False, skill_valid=True)
    log = np.log10(np.float32(scores["a"]))
    expected = np.ravel(median_interval(log[None].astype(float)))
    np.testing.assert_allclose(
        board.loc["a", ["value", "ci_low", "ci_high"]].astype(float), [np.median(log), *expected]
    )
    assert board.at["a", "aggregate"] == "median_log10"
    assert board.at["a", "rank"] == 1
    assert board.at["a", "beats_placebo"]
    assert board["skill"].isna().all()


def test_copies_tie() -> None:
    a = noise(rng(), 1)
    board = board_of({"a": a, "b": a, "best": a + 1, "c": a * (1 + 1e-9), "random": noise(rng(1))})
    assert board.loc[["best", "a", "b", "c"], "rank"].tolist() == [1, 3, 3, 3]


@pytest.mark.parametrize("family", ["robustness", "sanity", "complexity"])
def test_families_in_which_a_placebo_may_win_have_no_test(family: str) -> None:
    board = board_of(standard(), family=family)
    assert board["beats_placebo"].isna().all()
    assert board["p_placebo"].isna().all()
    assert board["placebo_value"].notna().all()


def test_best_placebo_is_never_the_oracle_and_every_placebo_must_be_beaten() -> None:
    scores = standard()
    scores["input_edges"] = scores["good"] + np.where(np.arange(N) % 2, 0.3, -0.29)  # one placebo that is as good
    board = board_of(scores)
    assert (board["placebo"] == "input_edges").all()
    assert not board.at["good", "beats_placebo"]
    assert board.loc[["random", "constant", "input_edges", "oracle"], "beats_placebo"].isna().all()
    without = board_of({k: v for k, v in scores.items() if k != "input_edges"})
    assert without.at["good", "beats_placebo"]


def test_the_oracle_is_tested_where_it_is_the_best_answer_and_does_not_weaken_the_others() -> None:
    plain, truth = board_of(standard()), board_of(standard(), family="ground_truth")
    assert truth.at["oracle", "beats_placebo"]
    assert board_of(standard(), skill_valid=True).at["oracle", "beats_placebo"]
    pd.testing.assert_series_equal(
        plain.loc[["good", "middling", "useless"], "p_placebo"], truth.loc[["good", "middling", "useless"], "p_placebo"]
    )


@pytest.mark.parametrize(("higher", "best"), [(True, "constant"), (False, "random_smooth")])
def test_the_best_placebo_is_best_in_the_direction_of_the_metric(higher: bool, best: str) -> None:
    values = {"a": 5.0, "random_smooth": 1.0, "other_sample": 2.0, "constant": 3.0}
    board = board_of({k: v + 0.1 * noise(rng()) for k, v in values.items()}, higher_is_better=higher)
    assert (board["placebo"] == best).all()
    np.testing.assert_array_equal(board["placebo_value"], board.at[best, "value"])
    assert bool(board.at["a", "beats_placebo"]) is higher


def test_p_is_the_largest_over_placebos_then_holm() -> None:
    scores = {k: np.float32(v).astype(float) for k, v in standard().items()}
    board = board_of(scores)
    raw = {}
    placebos = ["random_smooth", "other_sample", "constant", "input_edges", "random"]
    for name in ("good", "middling", "useless"):
        others = [scores[p][0] if p == "random" else scores[p] for p in placebos]
        raw[name] = max(hall_p(scores[name] - o) for o in others)
    ordered = sorted(raw, key=raw.__getitem__)
    adjusted = np.maximum.accumulate([min(1, (3 - i) * raw[n]) for i, n in enumerate(ordered)])
    np.testing.assert_allclose(board.loc[ordered, "p_placebo"].astype(float), adjusted, rtol=1e-9)


@pytest.mark.slow
def test_noise_does_not_beat_noise_even_when_scores_are_skewed() -> None:
    """An explainer that is one more draw of the random control, with left-skewed scores.

    The mean of ten draws has another distribution than one draw.
    """
    r = rng(3)
    trials = [
        make_results({"noise": -r.exponential(size=64), "random": -r.exponential(size=(10, 64))}, dataset=f"d{i:03}")
        for i in range(150)
    ]
    board = leaderboard(concat(*trials), suite="s")
    wins = board.loc[board["explainer"] == "noise", "beats_placebo"]
    assert len(wins) == 150
    assert 0 < wins.sum() <= 14  # 5 % are 7.5; P(more than 14) = .01


def test_every_training_seed_must_be_won() -> None:
    frames = [make_results(standard(k), problem_seed=k) for k in range(3)]
    assert leaderboard(concat(*frames), suite="s").set_index("explainer").at["good", "beats_placebo"]
    lost = standard(2) | {"good": noise(rng(7), -0.5)}
    frames[2] = make_results(lost, problem_seed=2)
    board = leaderboard(concat(*frames), suite="s").set_index("explainer")
    assert not board.at["good", "beats_placebo"]
    assert board.at["middling", "beats_placebo"]


@pytest.mark.slow
def test_skill_needs_both_controls_ten_draws_and_a_better_oracle() -> None:
    scores = standard()

    def skill(changed: dict[str, Any], **options: Any) -> pd.Series:
        return board_of(changed, **({"skill_valid": True} | options))["skill"]

    assert skill(scores).notna().all()
    assert skill(scores, skill_valid=False).isna().all()
    assert skill(scores | {"random": scores["random"][:9]}).isna().all()
    assert skill({k: v for k, v in scores.items() if k != "oracle"}).isna().all()
    assert skill(scores | {"oracle": "failed"}).isna().all()
    assert skill(scores | {"oracle": scores["constant"]}).isna().all()
    assert skill(scores | {"oracle": scores["good"] - 8}).isna().all()  # on the wrong side
    assert skill(scores, higher_is_better=False).isna().all()


def test_skill_where_oracle_and_random_always_lie_as_far_apart() -> None:
    n = 8
    scores = {"good": np.linspace(0.2, 0.8, n), "oracle": np.ones(n), "random": np.zeros((10, n))}
    assert board_of(scores, skill_valid=True).at["good", "skill"] == pytest.approx(0.5)
    few = {k: v[..., :4] for k, v in scores.items()}
    assert board_of(few, skill_valid=True)["skill"].isna().all()


def test_skill_needs_a_better_oracle_on_the_samples_of_the_explainer() -> None:
    """On the first half the oracle is random's equal, so who is defined only there has no skill."""
    oracle = np.full(N, 0.9)
    oracle[: N // 2] = np.tile([0.29, 0.3101], N // 4)
    scores = {"oracle": oracle, "random": np.tile(np.full(N, 0.3), (10, 1)), "all": np.full(N, 0.6)}
    for name, columns in {"first": slice(0, 20), "second": slice(20, 40), "few": slice(28, 40)}.items():
        scores[name] = np.full(N, np.nan)
        scores[name][columns] = rng().random(N)[columns] / 2
    board = board_of(scores, skill_valid=True, family="ground_truth", truth_kind="mask")
    assert board.loc[["first", "few"], ["skill", "skill_low", "skill_high"]].isna().all(axis=None)
    assert board.loc[["all", "second"], ["skill", "skill_low", "skill_high"]].notna().all(axis=None)
    assert board.at["second", "skill"] == pytest.approx((np.mean(rng().random(N)[20:] / 2) - 0.3) / 0.6, rel=1e-4)


@pytest.mark.slow
def test_skill_is_not_clipped_and_its_interval_holds_the_truth() -> None:
    r, trials = rng(11), []
    for i in range(100):
        base = r.normal(0, 2, 60)  # samples differ much more than explainers: pairing matters
        scores = {
            "x": base + r.normal(1.5, 0.3, 60), "oracle": base + r.normal(1, 0.3, 60),
            "random": base + r.normal(0, 0.3, (10, 60)),
        }  # fmt: skip
        trials.append(make_results(scores, dataset=f"d{i:03}", skill_valid=True))
    board = leaderboard(concat(*trials), suite="s")
    rows = board[board["explainer"] == "x"]
    assert rows["skill"].mean() == pytest.approx(1.5, abs=0.02)
    covered = ((rows["skill_low"] < 1.5) & (rows["skill_high"] > 1.5)).sum()
    assert 88 <= covered < 100


def test_skill_with_several_training_seeds() -> None:
    frames = [make_results(standard(k), problem_seed=k, skill_valid=True) for k in range(4)]
    row = leaderboard(concat(*frames), suite="s").set_index("explainer").loc["good"]
    assert row["skill_low"] < row["skill"] < row["skill_high"]
    assert row["skill"] == pytest.approx(2 / 3, abs=0.1)


def test_skill_uses_samples_where_all_three_are_defined() -> None:
    scores = {k: v.copy() for k, v in standard().items()}
    scores["oracle"][:10] = np.nan
    scores["good"][5:15] = np.nan
    row = board_of(scores, skill_valid=True).loc["good"]
    g, o, r = (np.float32(scores[k]).astype(float) for k in ("good", "oracle", "random"))
    g, o, r = g[15:], o[15:], r.mean(axis=0)[15:]
    assert row["skill"] == pytest.approx((g - r).mean() / (o - r).mean())


def test_failed_and_unsupported_cells_are_shown_without_value_or_rank() -> None:
    scores = standard() | {"lime": "failed", "cam": "unsupported", "slow": "timeout", "big": "oom"}
    board = board_of(scores, messages={"cam": "needs module", "lime": "singular matrix"})
    assert board.loc[["lime", "cam", "slow", "big"], ["value", "rank", "ci_low"]].isna().all(axis=None)
    assert board.loc[["lime", "cam", "slow"], "status"].tolist() == ["failed", "unsupported", "failed"]
    assert board.at["cam", "message"] == "unsupported: needs module"
    assert board.at["lime", "message"] == "failed: singular matrix"
    assert board.at["slow", "message"] == "timeout"
    assert board.loc[["lime", "slow", "big", "cam"], "n_failed"].tolist() == [1, 1, 1, 0]
    assert board.loc[["good", "middling", "useless"], "rank"].tolist() == [1, 2, 3]
    assert board.loc[["lime", "cam"], "beats_placebo"].isna().all()


def test_a_metric_that_nothing_supports_is_shown() -> None:
    board = board_of({"a": "unsupported", "random": "unsupported"})
    assert board["status"].tolist() == ["unsupported"] * 2
    assert (board["n"] == 0).all()


def test_an_incomplete_explainer_has_a_value_and_no_rank() -> None:
    frames = [make_results(standard(k) | ({"good": "failed"} if k == 1 else {}), problem_seed=k) for k in range(2)]
    board = leaderboard(concat(*frames), suite="s").set_index("explainer")
    assert board.at["good", "value"] == pytest.approx(standard(0)["good"].mean(), abs=1e-6)
    assert np.isnan(board.at["good", "rank"])
    assert board.at["good", "message"] == "not ranked: incomplete, 1 of 2 cells failed, 0 missing (failed)"
    assert pd.isna(board.at["good", "beats_placebo"])
    assert board.at["middling", "rank"] == 1


def test_a_cell_that_is_not_there_for_one_training_seed_makes_a_row_incomplete() -> None:
    second = standard(1)
    del second["good"]
    frames = [make_results(standard(0), problem_seed=0), make_results(second, problem_seed=1)]
    board = leaderboard(concat(*frames), suite="s").set_index("explainer")
    assert np.isnan(board.at["good", "rank"])
    assert "incomplete" in board.at["good", "message"]


def test_planned_cells_without_result_are_rows() -> None:
    board = board_of(standard() | {"late": "missing"})
    assert board.loc["late", ["status", "n_missing"]].tolist() == ["missing", 1]


def test_failed_gates_keep_a_problem_out_of_the_ranking() -> None:
    gate = {"name": "accuracy", "value": 0.7, "threshold": 0.9, "at_least": True}
    board = board_of(standard(), gates=[gate])
    assert not board["gate_passed"].any()
    assert board["rank"].isna().all()
    assert board["value"].notna().all()
    assert board.at["good", "message"] == "not ranked: a gate of the problem failed"
    assert json.loads(board.at["good", "gates"]) == [gate | {"problem_seed": 0}]
    assert board_of(standard()).at["good", "gate_passed"]


def test_one_failed_gate_of_several_training_seeds_is_enough() -> None:
    gates = [[{"name": "a", "value": v, "threshold": 0.9, "at_least": True}] for v in (0.95, 0.7)]
    frames = [make_results(standard(k), problem_seed=k, gates=g) for k, g in enumerate(gates)]
    board = leaderboard(concat(*frames), suite="s")
    assert board["rank"].isna().all()
    assert [g["problem_seed"] for g in json.loads(board["gates"].iloc[0])] == [0, 1]


def test_undefined_controls_never_fail_a_board() -> None:
    nothing = np.full(N, np.nan)
    names = ("random_smooth", "other_sample", "constant", "input_edges", "oracle")
    board = board_of(standard() | dict.fromkeys(names, nothing), skill_valid=True)
    assert (board["placebo"] == "random").all()
    assert board.at["good", "beats_placebo"]
    assert board.at["constant", "status"] == "undefined"
    assert board.at["constant", "n_undefined"] == N
    everything = board_of({k: np.full(N, np.nan) for k in standard()}, skill_valid=True)
    assert everything["value"].isna().all()
    assert everything["beats_placebo"].isna().all()


def test_an_explainer_defined_on_few_samples_is_neither_ranked_nor_tested() -> None:
    picked = np.where(np.arange(N) < 10, 9.0, np.nan) + 0.1 * noise(rng())
    board = board_of(standard() | {"picky": picked})
    assert board.at["picky", "n_undefined"] == N - 10
    assert np.isnan(board.at["picky", "rank"])
    assert pd.isna(board.at["picky", "beats_placebo"])
    assert board.at["picky", "message"] == "not ranked: defined on 10 samples only"
    assert board.at["good", "rank"] == 1


@pytest.mark.parametrize("left", [0, 12])
def test_an_explainer_undefined_on_one_trained_model_is_neither_ranked_nor_tested(left: int) -> None:
    """Undefined on the hard one of three models, it would be the mean of the two others, and win."""
    runs = [standard(k) for k in range(3)]
    runs[2]["good"][left:] = np.nan
    board = leaderboard(
        concat(*(make_results(s, problem_seed=k) for k, s in zip((0, 4, 7), runs, strict=True))), suite="s"
    ).set_index("explainer")
    assert np.isnan(board.at["good", "rank"])
    assert pd.isna(board.at["good", "beats_placebo"])
    assert np.isnan(board.at["good", "p_placebo"])
    assert board.at["good", "message"] == f"not ranked: defined on {left} samples of problem seed 7 only"
    assert board.at["middling", "rank"] == 1
    assert board.at["middling", "beats_placebo"]


def test_a_placebo_undefined_on_one_trained_model_is_none() -> None:
    runs = [standard(k) for k in range(2)]
    runs[0]["constant"] = runs[0]["constant"] + 9
    runs[1]["constant"] = np.full(N, np.nan)
    board = leaderboard(concat(*(make_results(s, problem_seed=k) for k, s in enumerate(runs))), suite="s")
    assert (board["n_placebos"] == 4).all()
    assert (board["placebo"] != "constant").all()


def test_a_trained_model_that_nobody_is_defined_on_is_no_reason_against_anyone() -> None:
    nothing = {k: np.full_like(v, np.nan) for k, v in standard().items()}
    frames = [make_results(standard(), problem_seed=0), make_results(nothing, problem_seed=1)]
    board = leaderboard(concat(*frames), suite="s").set_index("explainer")
    assert board.loc[["good", "middling", "useless"], "rank"].tolist() == [1, 2, 3]
    assert board.at["good", "beats_placebo"]


def test_no_verdict_without_a_sample_in_common_with_every_placebo() -> None:
    scores = {k: v.copy() for k, v in standard().items()}
    scores["good"][N // 2 :] = np.nan
    scores["constant"][: N // 2] = np.nan
    board = board_of(scores)
    assert board.at["good", "rank"] == 1
    assert pd.isna(board.at["good", "beats_placebo"])
    assert board.at["middling", "beats_placebo"]


@pytest.mark.parametrize("centre", [0.3, 0.0])
def test_a_shift_in_the_last_bit_beats_no_placebo(centre: float) -> None:
    """Around 0 as well, where a small shift has many digits of its own."""
    placebo = np.float32(rng().normal(centre, 0.1, 400))
    higher = placebo + np.float32(3e-8) if centre else (placebo.astype(float) + 3e-8).astype(np.float32)
    assert (higher >= placebo).all()
    assert (higher > placebo).sum() > 10
    visible = placebo + np.float32(3e-4)
    board = board_of({"same": higher, "visible": visible, "constant": placebo})
    assert board.at["same", "p_placebo"] == 1
    assert not board.at["same", "beats_placebo"]
    assert board.at["visible", "beats_placebo"]


@pytest.mark.parametrize("centre", [0, -9])
def test_a_shift_in_the_last_bit_of_a_logarithm_beats_no_placebo(centre: float) -> None:
    placebo = 10 ** rng().normal(centre, 0.01, N)
    scores = {"same": placebo * (1 + 3e-7), "visible": placebo * 1.01, "constant": placebo}
    board = board_of(scores, aggregate="median_log10")
    assert not board.at["same", "beats_placebo"]
    assert board.at["visible", "beats_placebo"]


def test_small_scores_count_by_their_own_digits() -> None:
    placebo = 1e-9 * noise(rng())
    board = board_of({"better": placebo + 1e-10, "constant": placebo})
    assert board.at["better", "beats_placebo"]


def outputs() -> pd.DataFrame:
    """A metric twice, with the problem's output and with the probability, on two trained models."""
    frames = []
    for k in range(2):
        plain, asked = standard(k), standard(k) | {"good": noise(rng(k), 0.5)}
        if k == 1:
            plain |= {"middling": "failed", "useless": "unsupported"}
        frames += [
            make_results(plain, problem_seed=k),
            make_results(asked, problem_seed=k, asked_output="probability"),
        ]
    return concat(*frames)


def test_one_metric_of_two_outputs_is_two_fields() -> None:
    results = outputs()
    board = leaderboard(results, suite="s")
    assert sorted(board["asked_output"].unique()) == ["", "probability"]
    assert (board.groupby(["asked_output"]).size() == 9).all()
    for asked, part in board.groupby("asked_output"):
        alone = results[results["asked_output"].fillna("") == asked]
        pd.testing.assert_frame_equal(leaderboard(alone, suite="s"), part.reset_index(drop=True))
    by = board.set_index(["asked_output", "explainer"])
    assert by.at[("", "good"), "output"] == "logit"
    assert by.at[("probability", "good"), "output"] == "probability"
    assert by.loc[("", ["good", "middling"]), "rank"].fillna(0).tolist() == [1, 0]
    assert by.loc[("probability", ["good", "middling"]), "rank"].tolist() == [2, 1]


def test_a_failed_cell_belongs_to_the_entry_of_the_measured_ones() -> None:
    board = leaderboard(outputs(), suite="s").set_index(["asked_output", "explainer"])
    assert board.at[("", "middling"), "n_cells"] == 2
    assert board.at[("", "middling"), "n_failed"] == 1
    assert board.at[("", "useless"), "n_unsupported"] == 1
    assert board.at[("probability", "middling"), "n_failed"] == 0


def test_results_from_before_outputs_could_be_asked_for() -> None:
    results = make_results(standard())
    board = leaderboard(results, suite="s")
    pd.testing.assert_frame_equal(leaderboard(results.drop(columns="asked_output"), suite="s"), board)


def test_samples_that_nobody_can_be_scored_on_are_no_reason_against_anyone() -> None:
    scores = {k: v.copy() for k, v in standard().items()}
    for values in scores.values():
        values[..., 12:] = np.nan
    board = board_of(scores)
    assert board["rank"].count() == 3
    assert (board["n_undefined"] == N - 12).all()


def test_without_placebos_there_is_no_test() -> None:
    board = board_of({"a": noise(rng()), "b": noise(rng(1))})
    assert board["beats_placebo"].isna().all()
    assert board["placebo"].isna().all()


def test_explanations_of_different_trainings_are_not_compared() -> None:
    scores = standard()
    mixed = concat(
        make_results({k: v for k, v in scores.items() if k != "good"}),
        make_results({"good": scores["good"]}, fingerprint="other weights"),
    )
    board = leaderboard(mixed, suite="s").set_index("explainer")
    assert board["rank"].isna().all()
    assert "different trainings" in board.at["good", "message"]
    assert board["beats_placebo"].isna().all()


def test_cells_without_scores_are_of_no_training() -> None:
    """Those that nothing changed for stay, of the training before, when an edited model is run again."""
    scores = standard()
    unsupported = make_results({"other": "unsupported"}).assign(fingerprint="the weights before the edit")
    board = leaderboard(concat(make_results(scores), unsupported), suite="s").set_index("explainer")
    alone = leaderboard(make_results(scores), suite="s").set_index("explainer")
    assert alone["rank"].notna().any()
    assert board.loc[alone.index, "rank"].equals(alone["rank"])


def test_duplicate_rows_of_a_data_set_are_samples_of_their_own() -> None:
    ids = ["same", "same", *(f"s{i}" for i in range(N - 2))]
    board = board_of(standard(), sample_ids=ids)
    assert (board["n"] == N).all()


def test_a_cell_given_twice_is_refused() -> None:
    frame = make_results(standard())
    with pytest.raises(ValueError, match="two results for one cell: good"):
        leaderboard(concat(frame, frame[frame["explainer"] == "good"]), suite="s")


@pytest.mark.slow
def test_order_of_cells_does_not_matter_and_runs_repeat() -> None:
    frames = [
        make_results(standard(k) | {"cam": "unsupported"}, metric=m, problem_seed=k, skill_valid=True)
        for m in ("insertion", "deletion")
        for k in (0, 1)
    ]
    results = concat(*frames)
    board = leaderboard(results, suite="s")
    shuffled = leaderboard(results.sample(frac=1, random_state=3), suite="s")
    pd.testing.assert_frame_equal(board, shuffled, check_exact=True)
    slower = results.assign(explain_seconds=results["explain_seconds"] * 3, run=7)
    pd.testing.assert_frame_equal(board.drop(columns=TIMES), leaderboard(slower, suite="s").drop(columns=TIMES))


def test_input_is_not_changed() -> None:
    results = make_results(standard())
    before = results.copy(deep=True)
    leaderboard(results, suite="s")
    pd.testing.assert_frame_equal(results, before)


def test_parquet_keeps_the_board() -> None:
    board = leaderboard(concat(make_results(standard()), make_results({"a": "failed"}, metric="mprt")), suite="s")
    file = io.BytesIO()
    board.to_parquet(file)
    back = pd.read_parquet(file)
    pd.testing.assert_frame_equal(board, back)
    empty = leaderboard(make_results({}), suite="s")
    assert empty.dtypes.equals(board.dtypes)


@pytest.mark.parametrize(("n", "explainers", "decidable"), [(8, 12, True), (8, 13, False), (4, 1, False), (5, 1, True)])
def test_a_test_that_no_scores_could_pass_is_no_test(n: int, explainers: int, decidable: bool) -> None:
    """The least p of n pairs is 2^-n, and Holm multiplies it by the number of explainers: 12/256 < .05 < 13/256."""
    scores: dict[str, Any] = {f"e{i}": 9 + i + np.arange(n) for i in range(explainers)}
    board = board_of(scores | {"random": noise(rng(), size=(10, n)), "constant": np.zeros(n)})
    tested = board[~board["control"]]
    np.testing.assert_allclose(tested["p_placebo"], explainers / 2**n)
    assert tested["beats_placebo"].tolist() == [True if decidable else pd.NA] * explainers


def test_the_fewest_pairs_of_any_training_and_placebo_decide() -> None:
    few = noise(rng(1))
    few[4:] = np.nan
    many = {"a": noise(rng(), 9), "random": noise(rng(2))}
    frames = [make_results(many, problem_seed=0), make_results({k: v[:4] for k, v in many.items()}, problem_seed=1)]
    board = leaderboard(concat(*frames), suite="s").set_index("explainer")
    assert board.at["a", "p_placebo"] == 1 / 16
    assert pd.isna(board.at["a", "beats_placebo"])
    board = board_of(many | {"constant": few})  # defined on too few samples to be a placebo
    assert board.at["a", "beats_placebo"]
