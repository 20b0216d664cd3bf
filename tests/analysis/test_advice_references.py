"""Advice never recommends what explains no model, nor beyond what samples, trainings and small tests can show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.advice.no_explanations import no_explanations
from xaibench.analysis.advice.placebo_votes import ADVICE_ALPHA, MOST_SAMPLE_FACTOR, counted_tests
from xaibench.analysis.advice.verdicts import Advice, ExplainerAdvice, advise
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.relative_ranks import counted
from xaibench.report.advice import IN_PART, NOTHING_SHOWN, NOTHING_TESTED, advice_groups, opening_sentence

TRUTH: dict[str, Any] = {"family": "ground_truth", "truth_kind": "model"}


def board_of(*frames: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(concat(*frames), suite="s")


def of(found: Advice, name: str) -> ExplainerAdvice:
    (one,) = [one for one in found.explainers if one.entry[0] == name]
    return one


def text_of(found: Advice, board: pd.DataFrame) -> str:
    return " ".join(group.text for group in advice_groups(found, board)).replace("\N{NO-BREAK SPACE}", " ")


def scores(names: dict[str, float], n: int = 48, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    r = np.random.default_rng(seed)
    return {name: level + r.normal(size=n) for name, level in {**names, "random": 0.0, "constant": 0.0}.items()}


@pytest.mark.parametrize("reference", ["input_magnitude", "fixed_sensors", "centre_prior", "degraded_oracle"])
def test_references_that_win_are_never_recommended(reference: str) -> None:
    board = board_of(make_results(scores({reference: 5, "gradient": 3}), metric="auprc", **TRUTH))
    found = advise(board)
    assert [one.entry[0] for one in found.of("use", "also")] == ["gradient"]
    assert (of(found, reference).kind, of(found, reference).cause) == ("undecided", "no explanation")
    assert f"References, made without the model or from the truth: {reference} (yet better than" in text_of(
        found, board
    )


def test_references_that_lose_are_no_warning() -> None:
    board = board_of(make_results(scores({"input_magnitude": -5, "gradient": -5}), metric="auprc", **TRUTH))
    assert [one.entry[0] for one in advise(board).of("avoid")] == ["gradient"]


def test_a_board_on_which_only_references_win_says_that_nothing_is_shown() -> None:
    board = board_of(make_results(scores({"input_magnitude": 5, "gradient": 0}), metric="auprc", **TRUTH))
    assert opening_sentence(advise(board)) == NOTHING_SHOWN


@pytest.mark.parametrize(("base", "reference"), [("random", True), ("input_magnitude", True), ("gradient", False)])
def test_a_transform_is_what_its_base_is(base: str, reference: bool) -> None:
    entry = ("monotone_transform", f'{{"base":"{base}","power":0.5,"transform":"ranks"}}')
    assert (entry in no_explanations([entry])) is reference
    assert no_explanations([("monotone_transform", '{"base":"renamed_since"}'), ("degree_of_old", "not json")]) == set()


@pytest.mark.parametrize(("each", "kind"), [(10, "undecided"), (11, "use")])
def test_tests_that_no_scores_can_pass_do_not_count(each: int, kind: str) -> None:
    """Perfect scores on six trainings of 10 samples have p = 2^-10, two tests ask for half of .1 %: 11 samples do."""
    assert 2.0**-10 > ADVICE_ALPHA / 2 > 2.0**-11
    r = np.random.default_rng(0)
    frames = [
        make_results(
            {"gradient": 9 + r.normal(size=each), "random": r.normal(size=each)},
            metric=metric, problem_seed=seed, **TRUTH,
        )
        for metric in ("auprc", "relevance_rank") for seed in range(6)
    ]  # fmt: skip
    board = board_of(*frames)
    assert set(board["n_seeds"]) == {6}
    assert set(board["n"]) == {6 * each}
    found = advise(board)
    one = of(found, "gradient")
    assert one.kind == kind
    if kind == "undecided":
        assert (one.cause, one.samples) == ("few samples", 66)
        assert opening_sentence(found) == NOTHING_TESTED
        assert "gradient (at least 66 samples)" in text_of(found, board)


def test_a_test_that_is_won_is_not_called_nothing() -> None:
    """Two tests of one construct, one of them won: no vote, and yet not "better in nothing"."""
    won, open_ = scores({"gradient": 5}), scores({"gradient": 0.3}, seed=1)
    both = (("digits", won), ("compas", open_))
    board = board_of(*(make_results(v, metric="auprc", dataset=d, **TRUTH) for d, v in both))
    found = advise(board)
    assert of(found, "gradient").cause == "not shown"
    assert opening_sentence(found) == IN_PART
    assert found.unknown == ()
    assert "gradient (better by auprc on digits/cnn" in text_of(found, board)


def test_behind_a_placebo_in_a_small_test_is_not_recommended() -> None:
    """Of two that win everything that counts, one is behind in a test of six samples: that one is not named."""
    large = make_results(scores({"sound": 5, "blind": 5}), metric="auprc", **TRUTH)
    small = make_results(
        {"sound": np.full(6, 0.5), "blind": np.full(6, 0.01), "random": np.full(6, 0.06), "constant": np.full(6, 0.0)},
        metric="relevance_rank", dataset="small", **TRUTH,
    )  # fmt: skip
    found = advise(board_of(large, small))
    assert of(found, "sound").kind == "use"
    assert (of(found, "blind").kind, of(found, "blind").cause) == ("undecided", "few samples")
    assert {key[0] for key in of(found, "blind").evidence} == {"small"}


def test_numbers_of_samples_stay_near_the_data() -> None:
    """A lead of nothing would need any number of samples: none is said."""
    board = board_of(make_results(scores({"gradient": 0.02}, n=60, seed=3), metric="auprc", **TRUTH))
    found = advise(board)
    factor = counted_tests(counted(board))["sample_factor"]
    assert ((factor <= MOST_SAMPLE_FACTOR) | factor.isna()).all()
    assert of(found, "gradient").samples <= 60 * MOST_SAMPLE_FACTOR


def test_what_only_a_reference_wins_is_shown_by_no_explainer() -> None:
    """The test of the gradient counts and is open, whatever else has too few samples."""
    won = make_results(scores({"input_magnitude": 5, "gradient": 0.1}), metric="auprc", **TRUTH)
    few = make_results(scores({"input_magnitude": 0, "gradient": 0}, n=8), metric="insertion", family="faithfulness")
    found = advise(board_of(won, few))
    assert [(construct.name, construct.cause) for construct in found.unknown] == [
        ("insertion", "few samples"), ("auprc", "none"),
    ]  # fmt: skip
    assert opening_sentence(found) == NOTHING_SHOWN


@pytest.mark.parametrize("level", [1.0, np.nan])
def test_a_board_without_tests_warns_of_none(level: float) -> None:
    """Its metrics are of a family in which placebos may win, or no score of the explainer is defined."""
    facts: dict[str, Any] = {"metric": "sparseness", "family": "complexity"} if level == 1 else TRUTH
    found = advise(board_of(make_results(scores({"gradient": level}), **facts)))
    assert (found.compared, found.counted) == (False, False)
    assert [one.kind for one in found.explainers] == ["untested"]
    assert opening_sentence(found) == NOTHING_TESTED


@pytest.mark.parametrize(("defined", "cause"), [(6, "few samples"), (12, "")])
def test_samples_without_a_score_are_in_no_test(defined: int, cause: str) -> None:
    """Six trainings with 12 samples each, of which 6 have a defined score: no scores could pass."""
    r = np.random.default_rng(0)
    frames = [
        make_results(
            {"gradient": np.where(np.arange(12) < defined, 9.0, np.nan), "random": r.normal(size=12)},
            metric=metric, problem_seed=seed, **TRUTH,
        )
        for metric in ("auprc", "relevance_rank") for seed in range(6)
    ]  # fmt: skip
    one = of(advise(board_of(*frames)), "gradient")
    assert one.cause == cause
