"""Overall ranks: votes of constructs, gaps treated as asked, like compared with like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results
from hypothesis import given, settings
from hypothesis import strategies as st

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.overall import NEW_PROBLEMS, overall, overall_by
from xaibench.analysis.statistics.intervals import mean_interval
from xaibench.core.components import MetricSpec
from xaibench.core.errors import NothingToDoError, UsageError

BAD_GATE = [{"name": "accuracy", "value": 0.5, "threshold": 0.9, "at_least": True}]
MEAN, ZERO = '{"masker":"mean"}', '{"masker":"zero"}'


def level(value: float) -> np.ndarray:
    """Eight scores around a value; levels that differ by 1 never overlap."""
    return value + np.linspace(-0.1, 0.1, 8) ** 3


def results(values: dict[str, float | str], **options: Any) -> pd.DataFrame:
    return make_results({k: v if isinstance(v, str) else level(v) for k, v in values.items()}, **options)


def spec(name: str, construct: str = "", needs: frozenset[str] = frozenset()) -> MetricSpec:
    return MetricSpec(name, lambda ev: ev, needs, construct=construct)


SPECS = {
    **{name: spec(name, "removal") for name in ("pixel_flipping", "deletion", "sufficiency")},
    "infidelity": spec("infidelity"),
    "mass": spec("mass", needs=frozenset({"truth.mask"})),
    "distractors": spec("distractors", needs=frozenset({"truth.distractors"})),
    "agreement": spec("agreement", needs=frozenset({"truth.weights"})),
}


def board_of(*frames: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(concat(*frames), suite="s", metrics=SPECS)


def test_metrics_of_one_construct_and_masker_have_one_vote() -> None:
    board = board_of(
        *(results({"a": 2, "b": 1}, metric=m, params=MEAN) for m in ("pixel_flipping", "deletion", "sufficiency")),
        results({"a": 1, "b": 2}, metric="pixel_flipping", params=ZERO),
        results({"a": 1, "b": 2}, metric="infidelity"),
    )
    table = overall(board).set_index("explainer")
    assert table["relative_rank"].to_dict() == pytest.approx({"a": 2 / 3, "b": 1 / 3})  # 1 vote of 3, not 3 of 5
    assert (table["n_votes"] == 3).all()
    assert (table["n_pairs"] == 5).all()
    assert (table["n_metrics"] == 5).all()
    assert set(table["recipe"]) == {
        "infidelity: infidelity; removal by mean: deletion, pixel_flipping, sufficiency; "
        "removal by zero: pixel_flipping"
    }


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(st.sampled_from(["pixel_flipping", "deletion", "sufficiency"]), min_size=1, max_size=3, unique=True))
def test_another_metric_that_says_the_same_changes_nothing(names: list[str]) -> None:
    other = results({"a": 1, "b": 3, "c": 2}, metric="infidelity")
    boards = [
        board_of(other, *(results({"a": 3, "b": 2, "c": 1}, metric=m, params=MEAN) for m in chosen))
        for chosen in (names, names[:1])
    ]
    first, second = (overall(b).set_index("explainer")["relative_rank"] for b in boards)
    pd.testing.assert_series_equal(first, second)


@pytest.mark.slow
def test_masks_and_weights_kinds_of_truth_and_families_are_never_mixed() -> None:
    options: list[dict[str, Any]] = [
        {"metric": "mass", "family": "ground_truth", "truth_kind": "model"},
        {"metric": "distractors", "family": "ground_truth", "truth_kind": "model"},
        {"metric": "agreement", "family": "ground_truth", "truth_kind": "model"},
        {"metric": "mass", "family": "ground_truth", "truth_kind": "data", "dataset": "other"},
        {"metric": "infidelity"},
        {"metric": "infidelity", "family": "complexity", "dataset": "third"},
    ]
    table = overall(board_of(*(results({"a": 2, "b": 1}, **o) for o in options)))
    groups = table.groupby(["family", "truth_kind", "about"], sort=False).first()
    assert set(groups.index) == {
        ("ground_truth", "model", "weights"), ("ground_truth", "model", "mask"), ("ground_truth", "data", "mask"),
        ("faithfulness", "", ""), ("complexity", "", ""),
    }  # fmt: skip
    assert groups.loc[("ground_truth", "model", "mask"), "n_metrics"] == 2


def test_problems_count_once_however_many_metrics_and_data_sets_once_however_many_models() -> None:
    board = board_of(
        results({"a": 2, "b": 1}, dataset="one"),
        results({"a": 2, "b": 1}, dataset="one", metric="infidelity"),
        results({"a": 2, "b": 1}, dataset="two", model="cnn"),
        results({"a": 1, "b": 2}, dataset="two", model="mlp"),
        results({"a": 1, "b": 2}, dataset="three"),
    )
    table = overall(board).set_index("explainer")
    assert table.at["a", "relative_rank"] == pytest.approx((0 + 0.5 + 1) / 3)
    assert table.at["a", "n_problems"] == 4
    assert table.at["a", "n_datasets"] == 3
    low, high = (float(np.clip(bound[0], 0, 1)) for bound in mean_interval(np.array([[0, 0.5, 1.0]])))
    assert table.loc["a", ["ci_low", "ci_high", "estimand"]].tolist() == [low, high, NEW_PROBLEMS]


def test_two_data_sets_are_too_few_for_an_interval() -> None:
    table = overall(board_of(*(results({"a": 2, "b": 1}, dataset=d, model=m) for d in "xy" for m in ("cnn", "mlp"))))
    assert table["ci_low"].isna().all()
    assert table["estimand"].isna().all()


def trust_of(**values: float) -> pd.DataFrame:
    rows = [k.split("__") for k in values]
    frame = pd.DataFrame(
        {"dataset": [r[0] for r in rows], "metric": [r[1] for r in rows], "trust": list(values.values())}
    )
    return frame.assign(params="{}")


def test_trust_weighs_metrics_and_is_never_from_the_same_data_set() -> None:
    board = board_of(
        results({"a": 2, "b": 1}, dataset="one", metric="pixel_flipping"),
        results({"a": 1, "b": 2}, dataset="one", metric="infidelity"),
    )
    trust = trust_of(one__pixel_flipping=0, one__infidelity=9, two__pixel_flipping=0.75, two__infidelity=0.25)
    table = overall(board, trust=trust).set_index("explainer")
    assert table["relative_rank"].to_dict() == pytest.approx({"a": 0.25, "b": 0.75})
    with pytest.raises(UsageError, match="how far infidelity can be trusted on data sets other than one"):
        overall(board, trust=trust_of(two__pixel_flipping=1, one__infidelity=1))
    none = overall(board, trust=trust_of(two__pixel_flipping=1, two__infidelity=0)).set_index("explainer")
    assert none["relative_rank"].to_dict() == {"a": 0, "b": 1}
    assert (none["n_votes"] == 1).all()
    with pytest.raises(UsageError, match="need the columns trust"):
        overall(board, trust=trust.drop(columns="trust"))
    with pytest.raises(UsageError, match="from 0 on"):
        overall(board, trust=trust.assign(trust=-1.0))


def test_two_that_are_missing_are_both_last() -> None:
    board = board_of(results({"a": 3, "b": "failed", "c": "failed"}))
    worst = overall(board, missing="worst").set_index("explainer")
    assert worst["relative_rank"].to_dict() == {"a": 0, "b": 1, "c": 1}


def test_overall_of_each_data_set_or_model() -> None:
    board = board_of(
        results({"a": 2, "b": 1}, dataset="one"),
        results({"a": 1, "b": 2}, dataset="two"),
        results({"a": 1, "random": 0}, dataset="three"),
    )
    table = overall_by(board, "dataset").set_index(["group", "explainer"])["relative_rank"]
    assert table.to_dict() == {("one", "a"): 0, ("one", "b"): 1, ("two", "b"): 0, ("two", "a"): 1}
    assert overall_by(board, "model")["group"].unique().tolist() == ["cnn"]
    with pytest.raises(NothingToDoError):
        overall_by(board[board["dataset"] == "three"], "model")


def test_boards_of_older_versions_have_an_overall_rank() -> None:
    board = board_of(*(results({"a": 2, "b": 1}, metric=m) for m in ("pixel_flipping", "deletion")))
    table = overall(board.drop(columns=["construct", "about", "masker"]))
    assert (table["n_votes"] == 2).all()


def test_overall_refuses_an_incomplete_row_unless_asked() -> None:
    board = board_of(
        results({"a": 3, "b": 2, "c": 1}, dataset="one"),
        results({"a": 1, "b": 2, "c": "failed"}, dataset="two", messages={"c": "singular"}),
    )
    with pytest.raises(UsageError, match=r"c has no rank for pixel_flipping on two/cnn \(failed: singular\)") as error:
        overall(board)
    assert "missing='drop'" in str(error.value.hint)
    dropped = overall(board, missing="drop").set_index("explainer")
    assert dropped["relative_rank"].to_dict() == {"a": 0, "b": 0.5, "c": 1}
    assert (dropped["n_pairs"] == 1).all()
    assert (dropped["n_dropped"] == 1).all()
    assert (dropped["problems"] == "one/cnn").all()
    worst = overall(board, missing="worst").set_index("explainer")
    assert worst["relative_rank"].to_dict() == {"a": 0.25, "b": 0.25, "c": 1}


def test_overall_compares_explainers_on_what_they_all_support() -> None:
    """``narrow`` wins where it runs, against all; elsewhere the others are compared without it."""
    board = board_of(
        results({"wide": 1, "other": 2, "narrow": 3, "random": 0}, dataset="one"),
        results({"wide": 2, "other": 1, "narrow": "unsupported", "random": 0}, dataset="two"),
        results({"wide": 2, "other": 1, "random": 0}, dataset="three"),  # the suite leaves it out
    )
    table = overall(board)
    wide = table[table["comparison"] == 0].set_index("explainer")
    assert wide["relative_rank"].to_dict() == pytest.approx({"wide": 1 / 3, "other": 2 / 3})
    narrow = table[table["comparison"] == 1].set_index("explainer")
    assert narrow["relative_rank"].to_dict() == {"wide": 1, "other": 0.5, "narrow": 0}
    assert table["n_pairs"].tolist() == [3, 3, 1, 1, 1]
    assert table["n_problems"].tolist() == [3, 3, 1, 1, 1]
    assert (table["n_metrics"] == 1).all()
    assert [sorted(p.split(", ")) for p in table["problems"]] == [["one/cnn", "three/cnn", "two/cnn"]] * 2 + [
        ["one/cnn"]
    ] * 3
    assert not table["explainer"].eq("random").any()


def test_overall_never_crosses_families_and_leaves_failed_gates_out() -> None:
    board = board_of(
        results({"a": 3, "b": 2}, metric="one"),
        results({"a": 1, "b": 2}, metric="two", family="complexity", higher_is_better=False),
        results({"a": 1, "b": 2}, metric="one", dataset="broken", gates=BAD_GATE),
    )
    table = overall(board)
    assert table["family"].tolist() == ["faithfulness"] * 2 + ["complexity"] * 2
    assert table["relative_rank"].tolist() == [0, 1, 0, 1]


def test_overall_has_nothing_to_say_about_one_explainer() -> None:
    with pytest.raises(NothingToDoError, match="no two explainers"):
        overall(board_of(results({"a": 1, "random": 0})))


def test_overall_knows_three_ways_with_missing_scores() -> None:
    with pytest.raises(UsageError, match="'skip'"):
        overall(board_of(results({"a": 1, "b": 0})), missing="skip")  # type: ignore[arg-type]


def test_a_metric_of_weight_0_makes_no_second_comparison() -> None:
    """Without it both sets of pairs are one, which is shown once."""
    board = board_of(
        results({"a": 2, "b": 1, "c": 3}, dataset="one", metric="pixel_flipping"),
        results({"a": 1, "b": 2, "c": "unsupported"}, dataset="one", metric="infidelity"),
    )
    assert overall(board)["comparison"].nunique() == 2
    table = overall(board, trust=trust_of(two__pixel_flipping=1, two__infidelity=0))
    assert table["comparison"].tolist() == [0, 0, 0]
    assert sorted(table["explainer"]) == ["a", "b", "c"]


def test_trust_counts_every_data_set_once() -> None:
    """Three models of "two" say 1, one of "three" says 0: the weight is 1/2, as is that of the other metric."""
    board = board_of(
        results({"a": 2, "b": 1}, dataset="one", metric="pixel_flipping"),
        results({"a": 1, "b": 2}, dataset="one", metric="infidelity"),
    )
    one = trust_of(two__pixel_flipping=1)
    trust = pd.concat([one, one, one, trust_of(three__pixel_flipping=0, three__infidelity=0.5)])
    table = overall(board, trust=trust).set_index("explainer")
    assert table["relative_rank"].to_dict() == pytest.approx({"a": 0.5, "b": 0.5})


def test_those_that_stay_in_a_race_are_ranked_without_those_that_leave_it() -> None:
    """Before, a pair in which one explainer had left a race was lost for all, and boards of races had no ranks."""
    left = {"c": "stopped early: another explainer is better"}
    board = board_of(
        results({"a": 2, "b": 1, "c": 3}, metric="pixel_flipping", messages=left),
        results({"a": 1, "b": 2, "c": 3}, metric="infidelity", messages=left),
        results({"a": 1, "b": 3, "c": 2}, metric="deletion", messages={"b": left["c"], "c": left["c"]}),
    )
    for table in (overall(board), overall(board, missing="drop"), overall(board, missing="worst")):
        assert table[["explainer", "relative_rank"]].values.tolist() == [["a", 0.5], ["b", 0.5]]
        assert table["n_pairs"].tolist() == [2, 2]
    assert "c" not in set(overall(board)["explainer"])


def test_an_explainer_that_failed_everywhere_takes_no_rank_from_the_others() -> None:
    board = board_of(
        results({"a": 2, "b": 1, "c": "failed"}, metric="pixel_flipping"),
        results({"a": 1, "b": 2, "c": "failed"}, metric="infidelity"),
    )
    table = overall(board, missing="drop")
    assert table[["explainer", "relative_rank", "n_pairs"]].values.tolist() == [["a", 0.5, 2], ["b", 0.5, 2]]
    assert set(overall(board, missing="worst")["explainer"]) == {"a", "b", "c"}
    with pytest.raises(UsageError, match="c has no rank"):
        overall(board)
    nothing = board_of(results({"a": "failed", "b": "failed"}, metric="pixel_flipping"))
    with pytest.raises(NothingToDoError):
        overall(nothing, missing="drop")
