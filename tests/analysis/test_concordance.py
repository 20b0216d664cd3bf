"""Kendall's tau between metrics and between maskers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats as sps
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.rank_agreement import masker_agreement, masker_ranks, metric_agreement
from xaibench.analysis.statistics.kendall import in_common, kendall
from xaibench.core.components import MetricSpec

SPECS = {m: MetricSpec(m, lambda ev: ev, construct="removal") for m in ("deletion", "insertion")}
NAMES = "abcde"


def results(order: str, **options: Any) -> pd.DataFrame:
    level = np.linspace(-0.1, 0.1, 8) ** 3
    return make_results({name: level - order.index(name) for name in order} | {"random": level - 9}, **options)


def board_of(*frames: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(concat(*frames), suite="s", metrics=SPECS)


def test_kendall_is_scipys_with_ties_and_gaps() -> None:
    r = np.random.default_rng(0)
    values = r.integers(0, 5, size=(6, 12)).astype(float)
    values[r.random(values.shape) < 0.2] = np.nan
    tau, n = kendall(values, values, min_common=4), in_common(values)
    for i in range(6):
        for j in range(6):
            both = np.isfinite(values[i]) & np.isfinite(values[j])
            assert tau[i, j] == pytest.approx(sps.kendalltau(values[i][both], values[j][both]).statistic)
            assert n[i, j] == both.sum()


def test_kendall_of_constants_and_of_three_is_undefined() -> None:
    ties = np.array([[1.0, 1, 1, 1], [1, 2, 3, 4]])
    tau = kendall(ties, ties, min_common=4)
    assert np.isnan(tau[0]).all()
    assert tau[1, 1] == 1
    assert np.isnan(kendall(np.array([[1.0, 2, 3]]), np.array([[1.0, 2, 3]]), min_common=4)).all()


def test_metrics_agree_by_direction() -> None:
    frames = [
        f
        for d in ("one", "two", "three")
        for f in (
            results("abcde", dataset=d, metric="deletion"),
            results("edcba", dataset=d, metric="infidelity", higher_is_better=False),
            results("abcde"[::-1] if d == "one" else "abcde", dataset=d, metric="insertion"),
        )
    ]
    table = metric_agreement(board_of(*frames)).set_index(["metric_a", "metric_b"])
    assert table.at[("deletion", "infidelity"), "tau"] == pytest.approx(1)
    assert table.at[("deletion", "insertion"), "tau"] == pytest.approx(1 / 3)
    assert table.at[("insertion", "deletion"), "tau"] == pytest.approx(1 / 3)
    assert (table["n_datasets"] == 3).all()
    assert (table["n_explainers"] == 5).all()
    assert table.at[("deletion", "insertion"), "ci_low"] >= -1


def test_maskers_are_compared_by_the_same_metric_on_the_same_problem() -> None:
    def by(masker: str, order: str, metric: str = "deletion", steps: int = 8) -> pd.DataFrame:
        return results(order, metric=metric, params=f'{{"masker":"{masker}","steps":{steps}}}')

    board = board_of(
        by("mean", "abcde"), by("zero", "edcba"), by("mean", "abcde", "insertion"), by("zero", "abcde", "insertion"),
        by("mean", "abcde", "other"), by("zero", "abcde", "other"), by("blur", "abcde", "only"),
        by("blur", "abcde", steps=9),
        results("abcde", metric="infidelity"),
    )  # fmt: skip
    table = masker_agreement(board).set_index(["masker_a", "masker_b"])
    assert table.at[("mean", "zero"), "tau"] == pytest.approx(((-1 + 1) / 2 + 1) / 2)  # constructs: removal, other
    assert ("blur", "mean") not in table.index  # never measured alike
    places = masker_ranks(board).set_index(["masker", "explainer"])["relative_rank"]
    assert places["mean", "a"] == 0
    assert places["zero", "a"] == pytest.approx((0.5 + 0) / 2)
    assert set(places.index.get_level_values("masker")) == {"mean", "zero", "blur"}


def test_boards_without_maskers_or_rows() -> None:
    board = board_of(results("abcde"))
    assert masker_agreement(board).empty
    assert masker_ranks(board).empty
    assert metric_agreement(board.iloc[:0]).empty
