"""Verdicts on scores whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results
from scipy.stats import binom, binomtest, ttest_ind, ttest_rel

from xaibench.analysis.claims.verdicts import (
    CLAIM_COLUMNS,
    Operand,
    _corrected,
    claims_table,
    compare_operands,
    few_informative,
)
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.leaderboard.validity import validity
from xaibench.analysis.statistics.evidence import of_differences, of_groups, of_share
from xaibench.analysis.statistics.levels import ONE_SIDED_ALPHA
from xaibench.suite import Claim

FAILED = {"name": "margin share", "value": 0.2, "threshold": 0.05, "at_least": False}


def claim(**changes: Any) -> Claim:
    given = {
        "id": "c", "source": "s", "statement": "t", "left": {"explainer": "a", "metric": "pixel_flipping"},
        "right": {"explainer": "b", "metric": "pixel_flipping"},
    }  # fmt: skip
    given |= changes
    if "number" in changes:
        del given["right"]
    return Claim.model_validate(given)


def verdict(results: pd.DataFrame, **changes: Any) -> dict[str, Any]:
    (row,) = claims_table(results, [claim(**changes)], suite="x").to_dict("records")
    return row


def scores(shift: float = 0.0, n: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, n)


def test_a_real_difference_is_reproduced_refuted_the_other_way_and_small_ones_are_open() -> None:
    results = make_results({"a": scores(1.0), "b": scores(0.0, seed=1)})
    row = verdict(results)
    expected = ttest_rel(scores(1.0), scores(0.0, seed=1))
    low, high = expected.confidence_interval(0.95)
    assert row["verdict"] == "reproduced"
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["effect"] == pytest.approx(row["left"] - row["right"])
    assert row["n"] == 60
    assert row["p"] == pytest.approx(1e-4, abs=1e-4)
    assert verdict(results, direction="less")["verdict"] == "refuted"
    assert verdict(results, margin=row["ci_high"] + 0.01)["verdict"] == "refuted"
    assert verdict(results, margin=row["effect"])["verdict"] == "inconclusive"
    same = make_results({"a": scores(0.0), "b": scores(0.0, seed=1)})
    assert verdict(same)["verdict"] == "inconclusive"


def test_equal_means_within_the_margin() -> None:
    base = scores()
    results = make_results({"a": base, "b": base + scores(0.0, seed=1) / 100})
    assert verdict(results, direction="equal", margin=0.01)["verdict"] == "reproduced"
    assert verdict(results, direction="equal", margin=0.002)["verdict"] == "inconclusive"
    far = make_results({"a": base + 1, "b": base + scores(0.0, seed=1) / 100})
    assert verdict(far, direction="equal", margin=0.5)["verdict"] == "refuted"


def test_samples_pair_by_name_whatever_their_order_and_undefined_ones_are_left_out() -> None:
    a, b = scores(0.3), scores(0.0, seed=1)
    a[3] = np.nan
    names = [f"s{i}" for i in range(60)]
    left = make_results({"a": a}, sample_ids=names)
    right = make_results({"b": b[::-1]}, sample_ids=names[::-1])
    row = verdict(concat(left, right))
    assert row["n"] == 59
    kept = np.arange(60) != 3
    assert row["effect"] == pytest.approx((a[kept] - b[kept]).mean())
    assert (row["left"], row["right"]) == pytest.approx((a[kept].mean(), b[kept].mean())), "of the pairs"


def test_one_sample_seen_by_several_models_is_one_unit() -> None:
    frames = [make_results({"a": scores(1, seed=s), "b": scores(0, seed=9 + s)}, problem_seed=s) for s in range(3)]
    assert verdict(concat(*frames))["n"] == 60
    row = verdict(concat(*frames), unit="training")
    assert (row["n"], row["verdict"]) == (3, "inconclusive")
    assert "too few" in row["message"]


def test_six_training_seeds_can_decide_five_cannot() -> None:
    frames = [make_results({"a": scores(1, seed=s), "b": scores(0, seed=9 + s)}, problem_seed=s) for s in range(6)]
    assert verdict(concat(*frames), unit="training")["verdict"] == "reproduced"
    assert verdict(concat(*frames), unit="training")["p"] == 1 / 64
    assert verdict(concat(*frames[:5]), unit="training")["verdict"] == "inconclusive"


def test_shares_use_the_exact_binomial_test() -> None:
    hits = (np.arange(40) < 38).astype(float)
    results = make_results({"a": hits, "b": hits})
    row = verdict(results, number=0.8)
    exact = binomtest(38, 40, 0.8, alternative="greater")
    interval = binomtest(38, 40).proportion_ci(0.95)
    assert row["p"] == pytest.approx(exact.pvalue)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(interval.low - 0.8), pytest.approx(interval.high - 0.8))
    assert row["verdict"] == "reproduced"
    assert verdict(make_results({"a": np.ones(20)}), number=0.95)["verdict"] == "inconclusive"
    assert verdict(make_results({"a": np.ones(200)}), number=0.95)["verdict"] == "reproduced"
    assert verdict(make_results({"a": np.zeros(200)}), number=0.05, direction="less")["verdict"] == "reproduced"


def test_values_without_spread_are_decided_by_their_number() -> None:
    results = make_results({"a": np.full(10, 0.25), "b": np.zeros(10)})
    row = verdict(results, margin=0.2)
    assert (row["verdict"], row["ci_low"], row["ci_high"]) == ("reproduced", 0.25, 0.25)
    assert verdict(results, margin=0.3)["verdict"] == "refuted"
    assert verdict(make_results({"a": np.full(3, 0.25), "b": np.zeros(3)}))["verdict"] == "inconclusive"


def test_every_other_method_must_lose_and_the_nearest_one_decides() -> None:
    values = {"a": scores(2), "b": scores(1, seed=1), "d": scores(0, seed=2), "random": scores(9, seed=3)}
    every = {"explainer": "*", "metric": "pixel_flipping", "every": True}
    row = verdict(make_results(values), right=every)
    assert row["verdict"] == "reproduced"
    assert row["binding"] == "b"
    row = verdict(make_results({**values, "b": scores(3, seed=1)}), right=every)
    assert (row["verdict"], row["binding"]) == ("refuted", "b")
    each = {"explainer": "*", "metric": "pixel_flipping", "every": True}
    assert verdict(make_results(values), left=each, number=-0.5)["binding"] == "d"


@pytest.mark.slow
def test_refutation_by_one_of_many_is_corrected_for_their_number() -> None:
    """One of k comparisons contradicts at 1 %: enough alone, and not among twenty that are open."""
    values = {f"e{i:02}": scores(0.02, seed=i) * 0.1 for i in range(20)}
    values["bad"] = np.random.default_rng(99).normal(0, 1, 60)
    values["bad"] += -0.33 - values["bad"].mean()
    alone = verdict(make_results({"bad": values["bad"]}), left={"explainer": "bad"}, number=0.0)
    assert alone["verdict"] == "refuted"
    assert ONE_SIDED_ALPHA / 21 < alone["p"] < ONE_SIDED_ALPHA
    each = {"explainer": "*", "metric": "pixel_flipping", "every": True}
    row = verdict(make_results(values), left=each, number=0.0)
    assert (row["verdict"], row["binding"]) == ("inconclusive", "bad")
    assert "21 comparisons" in row["message"]
    values["bad"] -= 1
    row = verdict(make_results(values), left=each, number=0.0)
    assert (row["verdict"], row["binding"]) == ("refuted", "bad")
    assert row["p"] <= ONE_SIDED_ALPHA


@pytest.mark.slow
def test_true_claims_about_many_are_refuted_at_the_level_and_not_by_their_number() -> None:
    """Ten explainers at the very border: without a correction 22 % of such claims would be refuted."""
    rng, replicates = np.random.default_rng(4), 200
    every = claim(left={"explainer": "*", "metric": "pixel_flipping", "every": True}, number=0.0)
    refuted = np.zeros(2)
    for _ in range(replicates):
        judged = [compare_operands(every, Operand(pd.Series(rng.normal(0, 1, 12))), None) for _ in range(10)]
        refuted += [any(found["verdict"] == "refuted" for found in kind) for kind in (judged, _corrected(judged))]
    assert refuted[0] > 0.15 * replicates
    assert refuted[1] <= binom.ppf(0.999, replicates, ONE_SIDED_ALPHA)


def test_claims_about_all_need_no_correction_to_be_reproduced() -> None:
    """Each comparison at its own level: the same p that decides one decides nine."""
    values = {f"e{i}": np.array([1.0, 2, 3, 4, 5, 6, 7]) + i for i in range(9)}
    row = verdict(make_results(values), left={"explainer": "*", "metric": "pixel_flipping", "every": True}, number=0.0)
    assert (row["verdict"], row["p"]) == ("reproduced", pytest.approx(2**-7))


def test_units_that_do_not_differ_are_counted_apart() -> None:
    a, b = scores(), scores()
    a[:7] += 3
    row = verdict(make_results({"a": a, "b": b}))
    assert (row["n"], row["n_informative"]) == (60, 7)
    hits = (np.arange(40) < 3).astype(float)
    assert verdict(make_results({"a": hits}), number=0.0)["n_informative"] == 40
    assert verdict(make_results({"a": np.full(9, 0.25)}), number=0.25)["n_informative"] == 0
    assert verdict(make_results({"a": "failed", "b": b}))["n_informative"] == 0


def test_every_explainer_is_compared_with_itself_on_another_problem() -> None:
    high = make_results({"a": scores(1), "b": scores(3, seed=1)}, dataset="one")
    low = make_results({"a": scores(1) - 0.5, "b": scores(3, seed=1) - 0.5}, dataset="two")
    every = {"explainer": ["a", "b"], "every": True}
    row = verdict(concat(high, low), left={"dataset": "one", **every}, right={"dataset": "two", **every}, margin=0.4)
    assert (row["verdict"], row["effect"]) == ("reproduced", pytest.approx(0.5))


def test_controls_count_only_where_they_are_named() -> None:
    results = make_results({"a": scores(1), "random": scores(5, seed=1)})
    assert verdict(results, left={"explainer": "*"}, number=0.0)["left"] == pytest.approx(scores(1).mean())
    assert verdict(results, right={"explainer": "random"})["verdict"] == "refuted"


def test_selections_know_labels_names_params_and_outputs() -> None:
    low = make_results({"a": scores(1)}, dataset="s(c=0.4)", params='{"k":[1,2],"q":0.5}')
    high = make_results({"a": scores(5)}, dataset="s(c=0.8)", params='{"k":[1,3],"q":0.5}')
    other = make_results({"a": scores(9)}, dataset="s(c=0.4)", asked_output="probability")
    results = concat(low, high, other)
    mean = scores(1).mean()

    def left(**wanted: Any) -> float:
        return float(verdict(results, left={"explainer": "a", **wanted}, number=0.0)["left"])

    assert left(dataset="s(c=0.4)") == pytest.approx(mean)
    assert left(dataset="s") == pytest.approx((mean + scores(5).mean()) / 2)
    assert left(params={"k": [1, 3]}) == pytest.approx(scores(5).mean())
    assert left(output="probability") == pytest.approx(scores(9).mean())


def test_a_failed_gate_decides_nothing_unless_the_claim_tolerates_it() -> None:
    results = make_results({"a": scores(1), "b": scores(0, seed=1)}, gates=[FAILED])
    row = verdict(results)
    assert row["verdict"] == "inconclusive"
    assert "margin share 0.200 <= 0.050: FAILED" in row["message"]
    assert verdict(results, despite="margin*")["verdict"] == "reproduced"


def test_gates_are_values_of_their_own() -> None:
    frames = [
        make_results({"a": scores()}, problem_seed=s, gates=[{**FAILED, "value": 0.2 + s / 100}]) for s in range(6)
    ]
    row = verdict(concat(*frames), left={"gate": "margin share"}, number=0.1, unit="training")
    assert (row["n"], row["left"], row["verdict"]) == (6, pytest.approx(0.225), "reproduced")
    assert "has a gate" in verdict(concat(*frames), left={"gate": "no such"}, number=0.1)["message"]


@pytest.mark.parametrize("status", ["failed", "missing", "timeout", "oom"])
def test_missing_and_failed_cells_decide_nothing(status: str) -> None:
    row = verdict(make_results({"a": scores(9), "b": status}))
    assert row["verdict"] == "inconclusive"
    assert f"(1 {status})" in row["message"]
    assert verdict(make_results({"a": scores(9)}))["message"] == "no results match the right side of the claim"


def test_problems_without_common_samples_are_compared_as_groups() -> None:
    a = make_results({"a": scores(1)}, dataset="one", sample_ids=[f"x{i}" for i in range(60)])
    b = make_results({"a": scores(0, 40, seed=1)}, dataset="two", sample_ids=[f"y{i}" for i in range(40)])
    row = verdict(concat(a, b), left={"dataset": "one", "explainer": "a"}, right={"dataset": "two", "explainer": "a"})
    expected = ttest_ind(scores(1), scores(0, 40, seed=1), equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["p"] == pytest.approx(expected.pvalue / 2)
    assert row["verdict"] == "reproduced"


def test_agreement_compares_rankings() -> None:
    names = list("abcde")
    frames = []
    for s in range(6):
        rng = np.random.default_rng(s)
        ordered = {n: i + rng.normal(0, 0.1, 20) for i, n in enumerate(names)}
        reverse = {n: -i + rng.normal(0, 0.1, 20) for i, n in enumerate(names)}
        frames += [
            make_results(ordered, metric="truth", problem_seed=s),
            make_results(reverse, metric="good", higher_is_better=False, problem_seed=s),
            make_results(reverse, metric="bad", problem_seed=s),
        ]
    row = verdict(
        concat(*frames), left={"metric": "good"}, right={"metric": "bad"}, reference={"metric": "truth"},
        statistic="agreement", unit="training",
    )  # fmt: skip
    assert row["verdict"] == "reproduced"
    assert (row["left"], row["right"]) == (pytest.approx(1), pytest.approx(-1))


def test_rounding_of_stored_scores_decides_nothing() -> None:
    tenth = np.full(20, np.float32(0.1), dtype=np.float64)
    row = verdict(make_results({"a": tenth}), number=0.1)
    assert (row["verdict"], row["effect"]) == ("inconclusive", 0)
    assert verdict(make_results({"a": tenth}), number=0.1, direction="less")["verdict"] == "inconclusive"
    three, two = (np.full(20, np.float32(v), dtype=np.float64) for v in (0.3, 0.2))
    assert verdict(make_results({"a": three, "b": two}), margin=0.1)["verdict"] == "inconclusive"


def test_a_single_one_proves_nothing() -> None:
    row = verdict(make_results({"a": np.array([1.0, np.nan, np.nan])}), number=0.0)
    assert (row["verdict"], row["n"]) == ("inconclusive", 1)


def test_mixed_aggregates_and_ambiguous_gates_are_refused() -> None:
    mixed = concat(
        make_results({"a": scores(1)}, metric="m1"),
        make_results({"a": np.abs(scores(1))}, metric="m2", aggregate="median_log10"),
    )
    for order in (mixed, mixed.iloc[::-1]):
        assert "log10" in verdict(order, left={"metric": "m*", "explainer": "a"}, number=0.0)["message"]
    gates = [{**FAILED, "name": "accuracy"}, {**FAILED, "name": "accuracy, erased"}]
    frames = [make_results({"a": scores()}, problem_seed=s, gates=gates) for s in range(6)]
    row = verdict(concat(*frames), left={"gate": "accuracy*"}, number=0.1, unit="training")
    assert "several gates" in row["message"]


def test_agreement_does_not_look_past_gaps_in_the_reference() -> None:
    frames = [
        frame
        for s in range(6)
        for frame in (
            make_results({n: scores(i, seed=s) for i, n in enumerate("abcd")}, metric="m", problem_seed=s),
            make_results(
                {"a": "failed", **{n: scores(i, seed=s) for i, n in enumerate("bcd")}}, metric="t", problem_seed=s
            ),
        )
    ]
    row = verdict(
        concat(*frames),
        left={"metric": "m"},
        number=0.0,
        reference={"metric": "t"},
        statistic="agreement",
        unit="training",
    )
    assert "reference have no scores" in row["message"]


def test_heavy_tails_are_compared_in_log10() -> None:
    values = {"a": np.full(10, 100.0), "b": np.full(10, 1.0)}
    row = verdict(make_results(values, aggregate="median_log10"))
    assert row["effect"] == pytest.approx(2)


def test_scores_of_data_sets_have_no_samples() -> None:
    row = verdict(make_results({"a": [1.0, 2.0], "b": [0.0, 0.0]}, scope="dataset"))
    assert "unit" in row["message"]


def test_the_table_has_its_columns_and_no_claim_is_lost() -> None:
    found = claims_table(make_results({"a": scores()}), [claim(), claim(id="d", number=0.0)], suite="x")
    assert list(found.columns) == list(CLAIM_COLUMNS)
    assert found["id"].tolist() == ["c", "d"]
    assert claims_table(make_results({"a": scores()}), [], suite="x").empty


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 12, 40])
def test_swapped_labels_are_rarely_reproduced(n: int) -> None:
    """With the sides swapped at random in every unit there is nothing to find: at most 2.5 % are found."""
    rng, replicates, skewed = np.random.default_rng(n), 1000, np.random.default_rng(1)
    found = 0
    for _ in range(replicates):
        pair = skewed.exponential(size=(2, n)) ** 2
        swap = rng.integers(2, size=n).astype(bool)
        a, b = np.where(swap, pair[1], pair[0]), np.where(swap, pair[0], pair[1])
        found += of_differences(a - b, seed=3).above
    assert found <= binom.ppf(0.999, replicates, 0.025)


def test_tests_find_what_is_there() -> None:
    """Power against a true effect of one standard deviation."""
    rng = np.random.default_rng(0)
    assert np.mean([of_differences(rng.normal(1, 1, 20), 0).above for _ in range(200)]) > 0.95
    assert of_share(np.ones(200), 0.95).above
    assert of_groups(rng.normal(1, 1, 50), rng.normal(0, 1, 50)).above


@pytest.mark.slow
def test_a_suite_whose_oracle_does_not_beat_random_is_invalid() -> None:
    facts = {"metric": "relevance_rank", "family": "ground_truth", "skill_valid": True, "truth_kind": "model"}
    noise = {"random": np.random.default_rng(0).random((10, 40))}
    good = make_results({"oracle": np.full(40, 0.9) + scores(0, 40) / 100, **noise}, **facts)
    bad = make_results({"oracle": np.random.default_rng(1).random(40), **noise}, dataset="noise", **facts)
    assert validity(leaderboard(good, suite="x")).invalid == ()
    found = validity(leaderboard(concat(good, bad), suite="x"))
    assert (found.checked, found.invalid) == (2, ("noise/cnn",))
    gated = make_results({"oracle": np.random.default_rng(1).random(40), **noise}, gates=[FAILED], **facts)
    assert validity(leaderboard(gated, suite="x")).checked == 0


def test_few_informative_units_are_less_than_half() -> None:
    assert not few_informative(10, 5)
    assert few_informative(10, 4)
    assert few_informative(pd.Series([10, 3, 0]), pd.Series([5, 1, 0])).to_list() == [False, True, False]
