"""Advice: what to use and what not follows from the tests, from nothing else, and never beyond them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results
from helpers.reversal import reversed_scores

import xaibench as xb
from xaibench.analysis.advice.certificate import certificate_votes
from xaibench.analysis.advice.placebo_votes import ADVICE_ALPHA, LEAST_SAMPLES, construct_votes, counted_tests
from xaibench.analysis.advice.verdicts import Advice, ComparisonKey, advise
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.relative_ranks import counted
from xaibench.analysis.ranks.standings import standings
from xaibench.api.advising import advice_table
from xaibench.core.components import MetricSpec
from xaibench.core.known_names import all_components
from xaibench.report.advice import (
    NONE_THROUGHOUT,
    NOTHING_SHOWN,
    NOTHING_TESTED,
    advice_groups,
    advice_sentences,
    unknown_sentence,
)

BASELINES = Path(__file__).parents[2] / "results" / "baselines"
LEVELS = {"best": (3, 3, 3), "second": (2, 2, 2), "split": (3, 3, -3), "worst": (-3, -3, -1), "idle": (0, 0, 0)}
METRICS = ("deletion", "infidelity", "completeness")


def results(
    levels: dict[str, tuple[float, ...]] = LEVELS, n: int = 48, seed: int = 0, datasets: tuple[str, ...] = ("digits",)
) -> pd.DataFrame:
    """One metric per construct; scores are levels with noise of standard deviation 1."""
    r = np.random.default_rng(seed)
    frames = []
    for dataset in datasets:
        for i, metric in enumerate(METRICS):
            noise = {name: r.normal(size=n) for name in (*levels, "random", "constant")}
            values = {name: noise[name] + (levels[name][i] if name in levels else 0.0) for name in noise}
            family = "axiomatic" if metric == "completeness" else "faithfulness"
            frames.append(make_results(values, metric=metric, dataset=dataset, family=family))
    return concat(*frames)


def board_of(*frames: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(concat(*frames), suite="s")


def kinds(found: Advice) -> dict[str, str]:
    return {one.entry[0]: one.kind for one in found.explainers}


def renamed(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return frame.assign(explainer=frame["explainer"].replace(names))


def reversed_for(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    own = frame["explainer"] == name
    flipped = [-np.asarray(s) if o else s for s, o in zip(frame["scores"], own, strict=True)]
    return frame.assign(scores=pd.Series(flipped, frame.index, dtype=object))


def copied(frame: pd.DataFrame, name: str, other: str) -> pd.DataFrame:
    twin = frame[frame["explainer"] == name].assign(explainer=other)
    return concat(frame, twin.assign(cell_id=twin["cell_id"] + "c"))


def avoided(frame: pd.DataFrame) -> list[str]:
    return [one.entry[0] for one in advise(board_of(frame)).of("avoid")]


def test_verdicts_follow_from_the_tests() -> None:
    found = advise(board_of(results()))
    assert kinds(found) == {
        "best": "use", "second": "also", "worst": "avoid", "split": "undecided", "idle": "undecided"
    }  # fmt: skip
    causes = {one.entry[0]: one.cause for one in found.explainers}
    assert (causes["split"], causes["idle"]) == ("contradicted", "not shown")
    (split,) = [one for one in found.explainers if one.entry[0] == "split"]
    assert [key[3] for key in split.lost] == ["completeness"]
    assert set(split.ahead) == {"deletion", "infidelity"}


def test_of_tied_explainers_the_first_three_are_named_and_not_the_fastest() -> None:
    board = board_of(results(dict.fromkeys("abcd", (3.0, 3.0, 3.0)), seed=2))
    order = standings(board).explainers
    order = order[~order["control"].astype(bool)].sort_values("place")
    assert order["place"].is_unique
    by_place = order["explainer"].to_list()
    seconds = dict(zip(by_place, (3.0, 2.0, 1.0, 0.1), strict=True))
    timed = board.assign(explain_seconds=board["explainer"].map(seconds).fillna(0.0) * board["n"])
    found = advise(timed)
    assert [one.entry[0] for one in found.of("use")] == by_place[2::-1]
    assert [one.entry[0] for one in found.of("also")] == by_place[3:]


def test_a_board_of_controls_gives_the_empty_sentence() -> None:
    r = np.random.default_rng(0)
    board = board_of(make_results({name: r.normal(size=48) for name in ("random", "constant", "other_sample")}))
    found = advise(board)
    assert found.explainers == ()
    assert advice_sentences(found, board)[0] == NOTHING_TESTED


def test_nobody_better_in_every_way_is_not_called_nothing() -> None:
    board = board_of(results({"split": (3, 3, -3)}))
    assert advice_sentences(advise(board), board)[0] == NONE_THROUGHOUT
    alone = board_of(results({"idle": (0, 0, 0)}))
    assert advice_sentences(advise(alone), alone)[0] == NOTHING_SHOWN


@pytest.mark.parametrize("seed", range(3))
def test_permuting_names_permutes_names(seed: int) -> None:
    frame = results(seed=seed)
    order = list(LEVELS)
    names = dict(zip(order, np.random.default_rng(seed).permutation([f"x{i}" for i in range(5)]), strict=True))
    before, after = kinds(advise(board_of(frame))), kinds(advise(board_of(renamed(frame, names))))
    assert after == {names[name]: kind for name, kind in before.items()}


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(i, marks=pytest.mark.exhaustive) for i in range(4, 40))])
def test_a_copy_of_the_winner_never_changes_who_is_to_be_avoided(seed: int) -> None:
    """Losses of all sizes, many of them at the edge of a test: a correction over explainers would move some."""
    r = np.random.default_rng(seed)
    near = {f"near{i}": tuple(r.uniform(-1.2, 0.2, 3)) for i in range(6)}
    frame = results({"best": (3, 3, 3), **near}, seed=seed)
    assert avoided(frame) == avoided(copied(frame, "best", "a_copy")) == avoided(copied(frame, "best", "z_copy"))


@pytest.mark.slow
def test_copies_can_change_the_verdicts_of_the_board_itself() -> None:
    """So the test above can fail: corrected over the explainers, losses come and go with copies of the winner."""
    changed = 0
    for seed in range(40):
        r = np.random.default_rng(seed)
        near = {f"near{i}": tuple(r.uniform(-1.2, 0.2, 3)) for i in range(6)}
        frame = results({"best": (3, 3, 3), **near}, seed=seed)
        old, new = board_of(frame), board_of(copied(frame, "best", "a_copy"))
        new = new[new["explainer"] != "a_copy"]
        changed += int(
            old["loses_to_placebo"].fillna(False).to_list() != new["loses_to_placebo"].fillna(False).to_list()
        )
    assert changed > 0


def test_every_name_is_traced_to_cells_and_tests() -> None:
    frame = results(datasets=("digits", "compas"))
    board = board_of(frame)
    table = advice_table(advise(board), board, frame, suite="s")
    cells = frame.set_index("cell_id")["explainer"]
    named = table[table["explainers"].map(len) > 0]
    assert sorted(name for names in named["explainers"] for name in names) == sorted(LEVELS)
    for row in named.to_dict("records"):
        owners = set(cells.loc[row["evidence"]])
        assert set(row["explainers"]) <= owners <= {*row["explainers"], "random", "constant"}
        assert {test.split(": ")[1].split(",")[0] for test in row["tests"]} == set(row["explainers"])
    use = table[table["kind"] == "use"].iloc[0]
    assert use["tests"][0] == "won: best, completeness on compas/cnn" or "won: best, completeness" in str(use["tests"])
    assert all(test.startswith("won: ") for test in use["tests"])


@pytest.mark.parametrize("n_boards", [4, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_without_a_true_difference_nothing_is_recommended(n_boards: int) -> None:
    """Boards of ten explainers and two placebos that are all noise, by three metrics, each a construct of its own."""
    recommended = warned = 0
    for seed in range(n_boards):
        r = np.random.default_rng(seed)
        names = [*(f"e{i}" for i in range(10)), "random", "constant"]
        frames = [
            make_results({name: r.normal(size=40) for name in names}, metric=metric, family="faithfulness")
            for metric in METRICS
        ]
        found = advise(board_of(*frames))
        recommended += bool(found.of("use", "also"))
        warned += bool(found.of("avoid"))
    assert recommended <= 0.05 * n_boards
    assert warned <= 0.05 * n_boards


@pytest.mark.parametrize("name", ["best", "worst"])
def test_reversed_scores_reverse_the_advice(name: str) -> None:
    before = kinds(advise(board_of(results())))
    after = kinds(advise(board_of(reversed_for(results(), name))))
    assert (before[name] == "use") == (name == "best")
    assert after[name] != before[name]
    assert (after[name] == "avoid") == (name == "best")


@pytest.mark.slow
def test_quick_as_published() -> None:
    """Real results: every verdict by hand from the tests, reversal included."""
    cells = xb.results(BASELINES / "quick")
    board = xb.leaderboard(BASELINES / "quick")
    found = advise(board)
    assert [one.entry[0] for one in found.of("use")] == ["lrp"]
    assert [one.entry[0] for one in found.of("avoid")] == ["vargrad", "saliency"]
    tests = counted_tests(counted(board))
    lost = tests[tests["result"] == "lost"]
    assert set(lost["explainer"]) == {one.entry[0] for one in found.explainers if one.lost}
    assert "lrp" not in set(lost["explainer"])
    frame = xb.advice(BASELINES / "quick")
    for row in frame[frame["explainers"].map(len) > 0].to_dict("records"):
        owners = set(cells.set_index("cell_id").loc[row["evidence"], "explainer"])
        assert {name.partition("(")[0] for name in row["explainers"]} <= owners


@pytest.mark.slow
def test_quick_turned_round() -> None:
    """Reversing who is in "use" removes it; reversing what convicted an explainer clears it.

    Reversing all scores of one in "do not use" does not: it has won tests, too, and then loses those.
    """
    cells = xb.results(BASELINES / "quick")
    cells = cells[cells["control"] | cells["explainer"].isin(["lrp", "vargrad", "saliency"])]
    metrics = {spec.name: spec for spec in all_components("metric") if isinstance(spec, MetricSpec)}
    board = leaderboard(cells, suite="quick", metrics=metrics)
    found = {one.entry[0]: one for one in advise(board).explainers}
    assert {name: one.kind for name, one in found.items()} == {"lrp": "use", "vargrad": "avoid", "saliency": "avoid"}

    def turned(name: str, tests: Collection[ComparisonKey] | None = None) -> str:
        other = reversed_scores(cells, board, found[name].entry, tests)
        return kinds(advise(leaderboard(other, suite="quick", metrics=metrics)))[name]

    assert turned("lrp") == "avoid"
    for name in ("vargrad", "saliency"):
        assert turned(name, found[name].lost) != "avoid"
        assert turned(name) == "avoid"


def test_few_samples_do_not_count_and_are_said() -> None:
    found = advise(board_of(results({"best": (5, 5, 5)}, n=LEAST_SAMPLES - 1)))
    assert [(one.kind, one.cause) for one in found.explainers] == [("undecided", "few samples")]
    assert {construct.cause for construct in found.unknown} == {"few samples"}
    board = board_of(results({"best": (5, 5, 5)}, n=LEAST_SAMPLES - 1))
    table = advice_table(found, board, None, suite="s")
    for tests in table.loc[table["kind"].isin(["none", "undecided", "unknown"]), "tests"]:
        assert len(tests) == 3
        assert all(test.startswith("few samples: best") for test in tests)
    # Won on a board that shows it: so it is not said that nothing was shown to be better, only that it does not count.
    assert board.loc[board["explainer"] == "best", "beats_placebo"].all()
    said = unknown_sentence(found)
    assert said.startswith("Too few samples for a test on ")
    assert said.endswith(" to count.")
    enough = advise(board_of(results({"best": (5, 5, 5)}, n=LEAST_SAMPLES)))
    assert kinds(enough) == {"best": "use"}
    assert unknown_sentence(enough) == ""


def test_a_single_construct_is_not_enough_unless_it_is_the_truth() -> None:
    r = np.random.default_rng(0)
    values = {"a": 3 + r.normal(size=48), "random": r.normal(size=48)}
    faithful = advise(board_of(make_results(values)))
    assert [(one.kind, one.cause) for one in faithful.explainers] == [("undecided", "one construct")]
    truth = advise(board_of(make_results(values, family="ground_truth", metric="relevance_rank", truth_kind="model")))
    assert kinds(truth) == {"a": "use"}


def test_where_the_oracle_fails_nothing_follows() -> None:
    r = np.random.default_rng(0)
    values = {"a": 3 + r.normal(size=48), "random": r.normal(size=48), "oracle": r.normal(size=48)}
    board = board_of(make_results(values, family="ground_truth", metric="relevance_rank", truth_kind="model"))
    found = advise(board)
    assert kinds(found) == {"a": "undecided"}
    assert [construct.cause for construct in found.unknown] == ["oracle fails"]
    assert any("nor is the oracle" in sentence for sentence in advice_sentences(found, board))


def test_failed_gates_are_left_out_and_said() -> None:
    bad = [{"name": "accuracy", "value": 0.5, "threshold": 0.9, "at_least": True}]
    r = np.random.default_rng(0)
    broken = make_results({"best": -9 + r.normal(size=48), "random": r.normal(size=48)}, dataset="broken", gates=bad)
    board = board_of(results({"best": (3, 3, 3)}), broken)
    assert kinds(advise(board)) == {"best": "use"}
    assert "1 problem whose gate failed left out" in advice_sentences(advise(board), board)[-1]


def test_metrics_that_the_audit_does_not_trust_have_no_vote() -> None:
    board = board_of(results({"split": (3, 3, -3)}))
    audit = pd.DataFrame(
        {"dataset": ["digits"], "model": ["cnn"], "metric": ["completeness"], "params": ["{}"], "verdict": ["broken"]}
    )
    assert kinds(advise(board)) == {"split": "undecided"}
    assert kinds(advise(board, audit=audit)) == {"split": "use"}
    table = advice_table(advise(board, audit=audit), board, None, suite="s", audit=audit).set_index("kind")
    assert {test.partition(":")[0] for test in table.at["use", "tests"]} == {"won"}
    trusted = audit.assign(verdict="trusted")
    assert kinds(advise(board, audit=trusted)) == {"split": "undecided"}


def test_a_certificate_counts_double() -> None:
    rows = [
        ("new", level, copy, name, net)
        for name, net in (("finds", 0.9), ("blind", 0.0), ("late", 0.3))
        for level in (0.3, 1.0)
        for copy in range(2)
    ]
    certificate = pd.DataFrame(rows, columns=["plant", "level", "copy", "explainer", "net"])
    votes = certificate_votes(certificate)
    assert votes is not None
    assert votes.set_index("explainer")["vote"].to_dict() == {"finds": "for", "blind": "against", "late": "open"}
    board = board_of(results({"finds": (0, 0, 0), "blind": (0, 0, 0), "late": (0, 0, 0)}))
    assert kinds(advise(board, certificate=certificate)) == {"finds": "use", "blind": "avoid", "late": "undecided"}
    assert certificate_votes(pd.DataFrame({"something": [1]})) is None
    table = advice_table(advise(board, certificate=certificate), board, None, suite="s").set_index("kind")
    assert "certificate: finds, 1 of 1 planted shortcuts found" in table.at["use", "tests"]
    assert "certificate: blind, 0 of 1 planted shortcuts found" in table.at["avoid", "tests"]


def test_undefined_scores_bar_a_recommendation() -> None:
    frame = results({"best": (3, 3, 3)})
    for i in frame.index[frame["explainer"] == "best"]:
        scores = np.array(frame.at[i, "scores"], dtype=np.float64)
        scores[:10] = np.nan
        frame.at[i, "scores"], frame.at[i, "n_undefined"] = scores, 10
    assert [(one.kind, one.cause) for one in advise(board_of(frame)).explainers] == [("undecided", "undefined")]


def test_corrections_are_over_the_tests_of_one_explainer() -> None:
    board = board_of(results())
    tests = counted_tests(counted(board))
    own = tests[tests["explainer"] == "worst"]
    p = np.sort(own["p_loses_alone"].to_numpy())
    step_down = np.maximum.accumulate(p * [3, 2, 1]) < ADVICE_ALPHA
    assert (own["result"] == "lost").sum() == step_down.sum()
    votes = construct_votes(tests).set_index(["explainer", "construct"])
    assert votes.loc[("best", "deletion"), ["won", "tested"]].to_list() == [1, 1]


@pytest.mark.slow
def test_samples_that_would_decide_it_do() -> None:
    """With twice as many samples as an estimate asks for, the verdict is there more often than not."""
    level = {"weak": (0.6, 0.6, 0.6)}
    decided = asked = 0
    for seed in range(12):
        (one,) = advise(board_of(results(level, seed=seed))).explainers
        if one.cause != "not shown" or not one.samples:
            continue
        asked += 1
        later = advise(board_of(results(level, n=2 * one.samples, seed=100 + seed)))
        decided += kinds(later)["weak"] == "use"
    assert asked >= 6
    assert decided >= asked / 2


def test_groups_hold_every_explainer_once() -> None:
    board = board_of(results(datasets=("digits", "compas")))
    groups = advice_groups(advise(board), board)
    assert sorted(name for group in groups for name, _ in group.members) == sorted(LEVELS)
    text = " ".join(group.text for group in groups)
    assert "\N{NO-BREAK SPACE}" not in text


def test_boards_without_uncorrected_values_are_judged_by_corrected_ones() -> None:
    board = board_of(results())
    older: Any = board.drop(columns=["p_placebo_alone", "p_loses_alone"])
    assert kinds(advise(older))["best"] == "use"
    assert kinds(advise(older))["worst"] == "avoid"
