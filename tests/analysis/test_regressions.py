"""What the gate says of changes whose size and cause are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from xaibench.analysis.regressions.cell_matching import pair_cells
from xaibench.analysis.regressions.comparison import Comparison, RunReference
from xaibench.analysis.regressions.timings import costs, slower
from xaibench.analysis.regressions.tolerances import ATOL, LOG_DELTA, RTOL, TIGHT
from xaibench.analysis.regressions.verdicts import MIN_COMPARED_SAMPLES, RegressionSettings, compare_runs

BOUNDS = {"pixel_flipping": (0.0, 1.0), "truth": (0.0, 1.0)}
PASSED = {"name": "accuracy", "value": 0.95, "threshold": 0.9, "at_least": True}
FELL = {**PASSED, "value": 0.5}


def scores(seed: int = 0, n: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.3, 0.7, n)


def noise(size: float, seed: int = 9, n: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, n)


def judge(old: pd.DataFrame, new: pd.DataFrame, **options: Any) -> pd.DataFrame:
    return compare_runs(old, new, RegressionSettings(**{"bounds": BOUNDS, **options}))


def verdict(before: Any, after: Any, options: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """The one finding about one explainer."""
    old, new = (make_results({"a": values}, **facts) for values in (before, after))
    (row,) = judge(old, new, **(options or {})).to_dict("records")
    return row


def test_equal_runs_are_the_same_and_rounding_is_no_change() -> None:
    row = verdict(scores(), scores())
    assert (row["verdict"], row["n"], row["n_changed"], row["n_cells"]) == ("same", 60, 0, 1)
    assert np.isnan(row["p"])
    within = scores() + 0.9 * (ATOL + RTOL * scores()) * np.where(np.arange(60) % 2, 1, -1)
    assert verdict(scores(), within)["verdict"] == "same"
    beyond = scores() + np.where(np.arange(60) == 7, 3 * (ATOL + RTOL), 0)
    row = verdict(scores(), beyond)
    assert (row["verdict"], row["n_changed"]) == ("changed", 1)
    assert row["largest"] == pytest.approx(3 * (ATOL + RTOL), rel=1e-3)


def test_a_regression_needs_delta_and_test() -> None:
    worse = scores() - 0.05 + noise(0.05)
    row = verdict(scores(), worse)
    assert row["verdict"] == "regressed"
    assert row["effect"] == pytest.approx((worse - scores()).mean(), rel=1e-5)
    assert row["p"] == pytest.approx(ttest_1samp(worse - scores(), 0, alternative="less").pvalue, rel=1e-3)
    assert (row["p_corrected"], row["delta"]) == (row["p"], 0.02)
    assert verdict(scores(), scores() - 0.01)["verdict"] == "changed"
    assert verdict(scores(), scores() - 0.03 + noise(0.4))["verdict"] == "changed"
    assert verdict(scores(), worse, {"deltas": {"pixel_flipping": 0.2}})["verdict"] == "changed"
    assert verdict(scores(), scores() - 0.01, {"deltas": {"pixel_flipping": 0.005}})["verdict"] == "regressed"


def test_what_is_worse_depends_on_the_metric() -> None:
    higher = scores() + 0.05 + noise(0.01)
    row = verdict(scores(), higher)
    assert row["verdict"] == "improved"
    assert row["p"] == pytest.approx(ttest_1samp(higher - scores(), 0, alternative="greater").pvalue, rel=1e-3)
    assert verdict(scores(), higher, higher_is_better=False)["verdict"] == "regressed"


def test_a_control_has_no_merit_to_gain() -> None:
    for control, change in (("oracle", 0.05), ("random", -0.05), ("constant", 0.05)):
        old = make_results({control: scores(), "a": scores()})
        new = make_results({control: scores() + change + noise(0.01), "a": scores()})
        assert list(judge(old, new)["verdict"]) == ["moved", "same"]
    two_sided = ttest_1samp(0.05 + noise(0.01), 0).pvalue
    row = judge(make_results({"oracle": scores()}), make_results({"oracle": scores() + 0.05 + noise(0.01)})).iloc[0]
    assert row["p"] == pytest.approx(two_sided, rel=1e-2)


def test_holm_counts_the_entries_that_changed() -> None:
    """p = .02: enough alone and beside 100 that are the same, and not beside 100 that changed too."""
    rng = np.random.default_rng(1)
    change = noise(0.1)
    change += -2.1 * change.std(ddof=1) / np.sqrt(60) - change.mean()
    same = {f"e{i:03}": scores(i) for i in range(100)}
    shaken = {name: values + rng.normal(0, 0.001, 60) for name, values in same.items()}
    old = make_results({"a": scores(), **same})
    for others, expected in ((same, "regressed"), (shaken, "changed")):
        found = judge(old, make_results({"a": scores() + change, **others}))
        assert found.set_index("explainer").loc["a", "verdict"] == expected


def test_draws_of_one_sample_are_one_unit() -> None:
    def draws(change: float) -> pd.DataFrame:
        return concat(*(make_results({"a": scores() + change * (s + 1)}, seed=s) for s in range(3)))

    (row,) = judge(draws(0.0), draws(0.01)).to_dict("records")
    assert (row["n"], row["n_cells"], row["effect"]) == (60, 3, pytest.approx(0.02))
    before, after = scores(n=180).reshape(3, 60), scores(1, n=180).reshape(3, 60)
    (row,) = judge(make_results({"random": before}), make_results({"random": after})).to_dict("records")
    assert row["n"] == 60
    assert row["p"] == pytest.approx(ttest_1samp((after - before).mean(axis=0), 0).pvalue, rel=1e-3)


def test_samples_pair_by_name() -> None:
    names = [f"s{i}" for i in range(60)]
    old = make_results({"a": scores()}, sample_ids=names)
    new = make_results({"a": scores()[::-1]}, sample_ids=names[::-1])
    assert judge(old, new)["verdict"].tolist() == ["same"]
    other = make_results({"a": scores()}, sample_ids=[f"x{i}" for i in range(60)])
    (row,) = judge(old, other).to_dict("records")
    assert (row["verdict"], row["measure"], row["effect"]) == ("regressed", "undefined", 1.0)


def trainings(change: Any, seeds: int, fingerprint: str, **facts: Any) -> pd.DataFrame:
    """A model trained from several seeds, with a change per training."""
    changes = np.broadcast_to(change, seeds)
    return concat(
        *(
            make_results({"a": scores(s) + changes[s]}, problem_seed=s, fingerprint=f"{fingerprint}{s}", **facts)
            for s in range(seeds)
        )
    )


def test_other_weights_are_compared_over_trainings_only() -> None:
    spread = np.array([0.02, -0.01, 0.01, -0.02, 0.005])
    for seeds in (1, 4):
        found = judge(trainings(0, seeds, "w"), trainings(-0.3 + spread[:seeds], seeds, "v"))
        assert list(found["verdict"]) == ["incomparable"]
        assert f"{seeds} training" in found["message"].iloc[0]
    (row,) = judge(trainings(0, 5, "w"), trainings(-0.3 + spread, 5, "v")).to_dict("records")
    assert (row["verdict"], row["n"], row["unit"]) == ("regressed", 5, "trainings")
    assert row["p"] == pytest.approx(ttest_1samp(-0.3 + spread, 0, alternative="less").pvalue, rel=1e-3)
    # Every sample says the same, and five trainings that differ by chance say nothing.
    mixed = np.array([-0.3, 0.2, -0.25, 0.1, -0.1])
    assert list(judge(trainings(0, 5, "w"), trainings(mixed, 5, "v"))["verdict"]) == ["changed"]


def test_a_retrained_control_matters_only_where_there_is_a_truth() -> None:
    def of(change: Any, name: str, family: str) -> pd.DataFrame:
        return trainings(change, 5, name, family=family).assign(control=True)

    up = np.array([0.1, 0.11, 0.1, 0.09, 0.1])
    assert judge(of(0, "w", "ground_truth"), of(up, "v", "ground_truth"))["verdict"].tolist() == ["moved"]
    assert judge(of(0, "w", "sanity"), of(up, "v", "sanity"))["verdict"].tolist() == ["improved"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (scores(), "failed", "failed"),
        (scores(), "timeout", "failed"),
        (scores(), "oom", "failed"),
        ("unsupported", "failed", "failed"),
        (scores(), "missing", "lost"),
        (scores(), "unsupported", "lost"),
        (scores(), np.full(60, np.nan), "undefined"),
        (np.full(60, np.nan), scores(), "fixed"),
        ("failed", scores(), "fixed"),
        ("failed", "failed", "unscored"),
        ("missing", "failed", "unscored"),
        ("unsupported", "unsupported", "unscored"),
        ("unsupported", "missing", "unscored"),
        (np.full(60, np.nan), np.full(60, np.nan), "unscored"),
        ("replaced", scores(), "incomparable"),
        (scores(), "replaced", "incomparable"),
    ],
)
def test_cells_that_have_no_scores(before: Any, after: Any, expected: str) -> None:
    row = verdict(before, after, messages={"a": "out of luck"})
    assert row["verdict"] == expected
    assert len(row["cell_ids"]) == 1
    if expected == "failed":
        assert "out of luck" in row["message"]


def test_cells_that_only_one_side_has() -> None:
    both, one = make_results({"a": scores(), "b": scores(1)}), make_results({"a": scores()})
    found = judge(both, one).set_index("explainer")
    assert (found.loc["b", "verdict"], found.loc["b", "message"]) == ("lost", "not planned")
    assert judge(one, both).set_index("explainer").loc["b", "verdict"] == "new"


def test_another_version_is_not_comparable_and_still_must_not_fail() -> None:
    old = make_results({"a": scores()}).assign(versions='{"explainer":1,"metric":1}')
    new = make_results({"a": scores() - 0.5}).assign(versions='{"explainer":1,"metric":2}', cell_id="other")
    (row,) = judge(old, new).to_dict("records")
    assert (row["verdict"], row["message"]) == ("incomparable", "version changed: metric 1 to 2")
    broken = make_results({"a": "failed"}).assign(cell_id="other")
    assert judge(old, broken)["verdict"].tolist() == ["failed"]


def test_a_gate_that_fails_now() -> None:
    old = make_results({"a": scores()}, gates=[PASSED])
    new = make_results({"a": scores()}, gates=[FELL], fingerprint="other")
    found = judge(old, new)
    assert list(found["verdict"]) == ["gate", "incomparable"]
    assert "accuracy 0.500" in found["message"].iloc[0]
    assert "gate" not in set(judge(new, old)["verdict"])
    assert "gate" not in set(judge(new, new)["verdict"])


def test_samples_that_lose_their_score() -> None:
    after = scores()
    after[:20] = np.nan
    found = judge(make_results({"a": scores()}), make_results({"a": after})).set_index("measure")
    assert found.loc["score", "verdict"] == "changed"
    assert (found.loc["undefined", "verdict"], found.loc["undefined", "effect"]) == ("regressed", pytest.approx(1 / 3))
    found = judge(make_results({"a": after}), make_results({"a": scores()})).set_index("measure")
    assert found.loc["undefined", "verdict"] == "improved"
    one = scores()
    one[3] = np.nan
    assert set(judge(make_results({"a": scores()}), make_results({"a": one}))["verdict"]) == {"changed"}


def test_a_few_flips_near_ties_are_no_regression() -> None:
    after = scores()
    after[[5, 17]] -= 0.4
    row = verdict(scores(), after)
    assert (row["verdict"], row["n_changed"]) == ("changed", 2)


def test_values_that_are_compared_in_log10() -> None:
    facts: dict[str, Any] = {"aggregate": "median_log10", "higher_is_better": False}
    base = scores() / 10
    row = verdict(base, 2 * base, **facts)
    assert (row["verdict"], row["delta"]) == ("regressed", LOG_DELTA)
    assert row["effect"] == pytest.approx(np.log10(2), rel=1e-3)
    # Below the absolute tolerance all is 0, however many orders of magnitude lie between.
    assert verdict(np.full(60, 1e-12), np.full(60, 9e-6), **facts)["verdict"] == "same"
    assert verdict(np.full(60, 1e-12), scores() / 100, **facts)["verdict"] == "regressed"


@pytest.mark.slow
def test_deltas_of_unbounded_metrics_are_shares() -> None:
    base = 1000 * scores()
    row = verdict(base, base * 0.99, metric="count")
    assert (row["verdict"], row["delta"]) == ("changed", pytest.approx(0.02 * base.mean()))
    assert verdict(base, base * 0.95, metric="count")["verdict"] == "regressed"
    assert verdict(base, base * 0.97, metric="count", family="robustness")["verdict"] == "changed"


def test_where_nothing_is_drawn_a_change_is_a_fact() -> None:
    ids = frozenset(make_results({"a": scores(n=3)})["cell_id"])
    change = np.array([-0.1, 0.0, 0.0])
    assert verdict(scores(n=3), scores(n=3) + change)["verdict"] == "incomparable"
    row = verdict(scores(n=3), scores(n=3) + change, {"exact": ids})
    assert (row["verdict"], row["delta"]) == ("regressed", pytest.approx(0.02 * TIGHT))
    assert verdict(scores(n=3), scores(n=3) + change / 200, {"exact": ids})["verdict"] == "changed"


def test_near_ties_are_no_fact() -> None:
    ids = frozenset(make_results({"a": scores()})["cell_id"])
    one, two = ((np.arange(60) < k) * -0.3 for k in (1, 2))
    assert verdict(scores(), scores() + one, {"exact": ids})["verdict"] == "changed"
    assert verdict(scores(), scores() + two, {"exact": ids})["verdict"] == "regressed"


def test_five_trainings_that_agree_by_chance_prove_nothing() -> None:
    """Their spread counts as that of the other explainers' trainings with this metric."""
    names, rng = "abcdefg", np.random.default_rng(3)

    def side(shifts: dict[str, np.ndarray], fingerprint: str) -> pd.DataFrame:
        return concat(
            *(
                make_results(
                    {n: scores(s) + shifts[n][s] for n in names}, problem_seed=s, fingerprint=f"{fingerprint}{s}"
                )
                for s in range(5)
            )
        )

    none = {n: np.zeros(5) for n in names}
    chance = {n: rng.normal(0, 0.2, 5) for n in names} | {"a": -0.1 + rng.normal(0, 1e-4, 5)}
    found = judge(side(none, "w"), side(chance, "v")).set_index("explainer")
    assert found.loc["a", "verdict"] == "changed"
    alone = {n: np.zeros(5) for n in names} | {"a": chance["a"]}
    assert judge(side(none, "w"), side(alone, "v")).set_index("explainer").loc["a", "verdict"] == "regressed"


def test_few_samples_decide_nothing_beyond_the_delta() -> None:
    n = MIN_COMPARED_SAMPLES - 1
    row = verdict(scores(n=n), scores(n=n) - 0.3)
    assert (row["verdict"], row["message"]) == ("incomparable", "changed, and 4 samples are too few for a test")
    assert verdict(scores(n=n), scores(n=n) - 0.001)["verdict"] == "changed"


def test_the_same_change_everywhere_is_proven_by_its_sign() -> None:
    ones, zeros = np.ones(60), np.zeros(60)
    row = verdict(ones, zeros)
    assert (row["verdict"], row["p"]) == ("regressed", 2.0**-60)
    assert verdict(ones[:5], zeros[:5])["p"] == 2.0**-5


def test_two_rows_for_one_cell_are_refused() -> None:
    rows = make_results({"a": scores()})
    with pytest.raises(ValueError, match="two rows for one cell"):
        judge(concat(rows, rows), rows)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.2), st.booleans())
def test_sides_can_be_exchanged_and_samples_reordered(seed: int, size: float, higher: bool) -> None:
    """What one order calls a regression the other calls an improvement, with the same p."""
    rng = np.random.default_rng(seed)
    values = {name: rng.random(40) for name in "abc"}
    moved = {name: v + size * rng.normal(rng.normal(), 1, 40) for name, v in values.items()}
    old, new = (make_results(side, higher_is_better=higher) for side in (values, moved))
    forth, back = judge(old, new).set_index("explainer"), judge(new, old).set_index("explainer")
    swap = {"regressed": "improved", "improved": "regressed"}
    for name in values:
        assert swap.get(back.loc[name, "verdict"], back.loc[name, "verdict"]) == forth.loc[name, "verdict"]
        assert back.loc[name, "effect"] == pytest.approx(-forth.loc[name, "effect"], abs=1e-9)
    order = rng.permutation(40)
    names = [f"s{i}" for i in order]
    shuffled = make_results({k: v[order] for k, v in moved.items()}, sample_ids=names, higher_is_better=higher)
    again = judge(old, shuffled).set_index("explainer")
    assert list(again["verdict"]) == list(forth["verdict"])
    assert set(judge(old, old)["verdict"]) == {"same"}


def test_times_are_compared_once_per_explanation() -> None:
    old = concat(make_results({"a": scores(), "b": scores()}), make_results({"a": scores()}, metric="other"))
    new = old.assign(explain_seconds=2.0, score_seconds=old["score_seconds"] * 8)
    found = costs(pair_cells(old, new), old, new).set_index(["stage", "name"])
    assert found.loc[("explain", "a"), ["baseline_seconds", "candidate_seconds", "n"]].tolist() == [0.5, 2.0, 1]
    assert found.loc[("score", "pixel_flipping"), ["baseline_seconds", "ratio", "n"]].tolist() == [0.5, 8.0, 2]
    assert set(slower(found.reset_index(), 5)["name"]) == {"pixel_flipping", "other"}
    assert costs(pair_cells(old, old), old, old).empty


def test_samples_that_are_gone_are_a_regression() -> None:
    names = [f"s{i}" for i in range(60)]
    old = make_results({"a": scores()}, sample_ids=names)
    for kept in (1, 30):
        new = make_results({"a": scores()[:kept]}, sample_ids=names[:kept])
        found = judge(old, new).set_index("measure")["verdict"]
        assert found["undefined"] == "regressed"
        assert found.get("score", "changed") in ("same", "changed", "incomparable")


@pytest.mark.parametrize("fact", ["higher_is_better", "control"])
def test_another_direction_or_role_is_no_equal_cell(fact: str) -> None:
    old = make_results({"a": scores(), "b": scores() / 2})
    new = old.assign(**{fact: ~old[fact].astype(bool)})
    found = judge(old, new)
    assert set(found["verdict"]) == {"lost"}
    assert found["message"].str.contains(fact).all()


def test_exact_scores_that_change_places_are_noticed() -> None:
    old = make_results({"a": scores()})
    new = make_results({"a": scores()[::-1]})
    assert judge(old, new)["verdict"].tolist() != ["moved"]
    found = compare_runs(
        old, new, RegressionSettings(bounds={"pixel_flipping": (0, 1)}, exact=frozenset(old["cell_id"]))
    )
    assert found["verdict"].tolist() == ["moved"]


@pytest.mark.parametrize(
    "n", [pytest.param(60, marks=pytest.mark.slow), pytest.param(300, marks=pytest.mark.exhaustive)]
)
def test_few_changes_among_many_equal_scores_keep_the_level(n: int) -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(n):
        hits = np.zeros((2, 60))
        hits[rng.integers(2, size=3), rng.choice(60, size=3, replace=False)] = 1
        found = judge(*(make_results({"a": side}) for side in hits))
        alarms += found["verdict"].tolist() == ["regressed"]
    assert alarms <= 0.05 * n + 2 * math.sqrt(n * 0.05 * 0.95)


def test_what_no_data_could_show_is_not_comparable() -> None:
    names = [f"e{i}" for i in range(20)]
    old = make_results({name: np.ones(8) for name in names})
    new = make_results({name: np.zeros(8) for name in names})
    assert set(judge(old, new)["verdict"]) == {"incomparable"}
    few = names[:5]
    found = judge(*(make_results({n: full(8) for n in few}) for full in (np.ones, np.zeros)))
    assert set(found["verdict"]) == {"regressed"}


def test_reasons_count_cells_the_most_frequent_first() -> None:
    findings = pd.DataFrame(
        {
            "verdict": ["incomparable", "incomparable", "incomparable", "same"],
            "message": ["few", "other", "other", "few"],
            "n_cells": [3, 2, 2, 9],
        }
    )
    found = Comparison(findings, pd.DataFrame(), RunReference("old", []), RunReference("new", []))
    assert found.reasons("incomparable") == [("other", 4), ("few", 3)]
    assert found.reasons("lost") == []
