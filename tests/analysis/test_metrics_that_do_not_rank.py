"""Metrics that describe explanations: in the board and in claims, and in nothing that ranks."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.claims.operands import ClaimResults
from xaibench.analysis.leaderboard import leaderboard
from xaibench.analysis.leaderboard.columns import NO_RANKS
from xaibench.analysis.ranks.critical_differences import critical_differences
from xaibench.analysis.ranks.overall import overall
from xaibench.analysis.ranks.relative_ranks import counted, describes, mean_ranks
from xaibench.analysis.ranks.standings import standings
from xaibench.core.components import MetricSpec
from xaibench.core.registry import get
from xaibench.suite import ScoreSelection

RNG = np.random.default_rng(0)
PUBLISHED = '{"estimator":"published","sign":"signed"}'
METRICS = {name: spec for name in ("aur", "auprc") if isinstance(spec := get("metric", name), MetricSpec)}


def board_of(published: dict[str, object], exact: dict[str, object]):  # type: ignore[no-untyped-def]
    family = {"family": "ground_truth", "truth_kind": "model"}
    frames = [
        make_results(published, metric="aur", params=PUBLISHED, **family),
        make_results(exact, metric="auprc", params='{"sign":"signed"}', **family),
    ]
    return leaderboard(concat(*frames), suite="s", metrics=METRICS)


def scores(**means: float) -> dict[str, object]:
    return {name: mean + 0.01 * RNG.standard_normal(30) for name, mean in means.items()}


def test_noise_that_wins_a_describing_metric_wins_nothing() -> None:
    board = board_of(
        scores(good=0.1, bad=0.2, random=0.5, oracle=1.0), scores(good=0.9, bad=0.5, random=0.1, oracle=1.0)
    )
    silent = board[describes(board)]
    assert set(silent["metric"]) == {"aur"}
    assert (silent["message"] == NO_RANKS).all()
    assert silent["value"].notna().all()
    assert silent["ci_low"].notna().all()
    assert (
        silent[["rank", "rank_low", "tie_group", "win_rate", "beats_placebo", "loses_to_placebo"]].isna().all(axis=None)
    )
    assert (silent["n_ranked"] == 0).all()
    assert set(counted(board)["metric"]) == {"auprc"}
    assert set(mean_ranks(board)["metric"]) == {"auprc"}
    assert set(overall(board)["n_votes"]) == {1}
    assert "aur" not in set(critical_differences(board)["metric"])
    found = standings(board).explainers.set_index("explainer")
    assert found.loc["good", "place"] == 1
    assert found.loc["good", "tested"] == 1
    assert found.loc["good", "lost"] == 0
    with_rank = board[board["rank"].notna()].set_index(["metric", "explainer"])["rank"]
    assert with_rank.to_dict() == {("auprc", "good"): 1.0, ("auprc", "bad"): 2.0}


def test_the_same_scores_of_a_ranking_metric_do_rank() -> None:
    board = leaderboard(
        make_results(
            scores(good=0.9, bad=0.5, random=0.1), metric="aur", params='{"sign":"signed"}', family="ground_truth"
        ),
        suite="s",
        metrics=METRICS,
    )
    assert not describes(board).any()
    assert board["rank"].notna().sum() == 2


def test_why_a_cell_failed_is_said_all_the_same() -> None:
    board = board_of(
        {"good": scores(x=0.5)["x"], "bad": "failed", "random": scores(x=0.1)["x"]}, scores(good=0.9, bad=0.5)
    ).set_index(["metric", "explainer"])
    message = board.loc[("aur", "bad"), "message"]
    assert message.startswith(NO_RANKS)
    assert "failed" in message
    assert set(overall(board.reset_index())["explainer"]) == {"good", "bad"}


def test_boards_of_older_versions_have_no_such_metrics() -> None:
    board = board_of(scores(good=0.1, bad=0.2), scores(good=0.9, bad=0.5)).drop(columns="message")
    assert not describes(board).any()
    assert set(counted(board)["metric"]) == {"aur", "auprc"}


def test_claims_know_the_defaults_that_rows_leave_out() -> None:
    rows = concat(
        make_results(scores(good=0.1), metric="aur", params='{"sign":"signed"}'),
        make_results(scores(good=0.2), metric="aur", params=PUBLISHED),
        make_results(scores(good=0.3), metric="aur", params='{"pooled":true,"sign":"signed"}'),
        make_results(scores(good=0.4), metric="of_ones_own", params="{}"),
    )
    found = ClaimResults(rows)

    def chosen(metric: str, **params: object) -> list[str]:
        return found.take(ScoreSelection(metric=metric, params=params))["params"].tolist()

    assert chosen("aur", estimator="exact", pooled=False) == ['{"sign":"signed"}']
    assert chosen("aur", estimator="exact") == ['{"sign":"signed"}', '{"pooled":true,"sign":"signed"}']
    assert chosen("aur", estimator="published") == [PUBLISHED]
    assert chosen("of_ones_own", estimator="exact") == []
    assert len(chosen("aur")) == 3


@pytest.mark.parametrize("rule", [{"ranks": {"who": 1}}, {"dataset_where": {"who": 1}}, {"absolute_where": {"who": 1}}])
def test_rules_are_about_parameters_that_are_there(rule: dict[str, object]) -> None:
    from xaibench.core.errors import UsageError

    with pytest.raises(UsageError, match="no parameter 'who'"):
        MetricSpec("mine", lambda ev, *, how=1: ev, **rule)  # type: ignore[arg-type]
