"""Quality against cost: the front against its definition, seconds a sample, and the panel that shows them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.quality_and_cost import COST_COLUMNS, pareto_front, quality_and_cost
from xaibench.report.html.cost_panel import cost_panel, cost_panels
from xaibench.report.labels import memory_label, time_label


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_no_other_point_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 6, size=(40, 2)).astype(float)
    points[rng.random((40, 2)) < 0.1] = np.nan
    expected = []
    for p in points:
        beaten = any((q <= p).all() and (q < p).any() for q in points if np.isfinite(q).all())
        expected.append(bool(np.isfinite(p).all()) and not beaten)
    assert pareto_front(points[:, 0], points[:, 1]).tolist() == expected
    assert pareto_front(np.full(3, np.nan), np.arange(3.0)).tolist() == [False] * 3


def board() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    quality = {"best": 0.9, "good": 0.7, "bad": 0.3, "random": 0.0}
    scores = {name: mean + 0.01 * rng.normal(size=20) for name, mean in quality.items()}
    cells = concat(*(make_results(scores, metric=metric) for metric in ("one", "two")))
    seconds = {"best": 20.0, "good": 2.0, "bad": 4.0, "random": 0.2}
    sizes = {"best": 300e6, "good": 1e6, "bad": np.nan, "random": 0.0}
    cells = cells.assign(explain_seconds=cells["explainer"].map(seconds))
    return leaderboard(cells.assign(explain_memory=cells["explainer"].map(sizes)), suite="s")


def test_explainers_have_their_rank_and_what_a_sample_takes() -> None:
    found = quality_and_cost(board()).set_index("explainer")
    assert [*found.columns] == [c for c in COST_COLUMNS if c != "explainer"]
    assert found["seconds"].to_dict() == pytest.approx({"best": 1.0, "good": 0.1, "bad": 0.2, "random": 0.01})
    assert found["pareto"].to_dict() == {"best": True, "good": True, "bad": False, "random": False}
    assert found.loc["best", "memory"] == 300e6
    assert np.isnan(found.loc["bad", "memory"])


def test_the_panel_shows_every_explainer_and_names_the_front() -> None:
    (panel,) = cost_panels(board())
    assert panel.sentence == "No other explainer is both better and faster than: good (100 ms), best (1.0 s)."
    assert len(re.findall("<circle", panel.figure)) == 3
    assert [row[0] for row in panel.rows] == ["best", "good", "bad"]
    assert panel.rows[0][3:] == ("1.0 s", "300 MB", "yes")


def test_without_times_there_is_no_panel_and_names_are_escaped() -> None:
    found = quality_and_cost(board())
    assert cost_panel("s", found.assign(seconds=np.nan)) is None
    hostile = cost_panel("s", found.assign(explainer=["<script>", "b", "c", "d"]))
    assert hostile is not None
    assert "<script>" not in hostile.figure
    assert (time_label(np.nan), time_label(2e-7), memory_label(np.nan)) == ("", "0.20 µs", "")
