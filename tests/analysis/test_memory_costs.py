"""Memory of two runs: sums over what both computed, and a gate that a shift between stages does not trip."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.regressions.cell_matching import pair_cells
from xaibench.analysis.regressions.memory import MEMORY_COLUMNS, check_recorded, larger, memory
from xaibench.core.errors import UsageError

MB = 10**6


def two_runs(before: dict[str, float], now: dict[str, float]) -> pd.DataFrame:
    """Memory of scoring by metric, for two explainers, of which the first pays all."""
    values = np.linspace(0, 1, 20)
    old = concat(*(make_results({"a": values, "b": values}, metric=name) for name in before))
    new = old.assign(score_seconds=9.0, explain_seconds=9.0)
    for side, sizes in ((old, before), (new, now)):
        side["explain_memory"] = 5 * MB
        first = side["explainer"] == "a"
        side["score_memory"] = (side["metric"].map(sizes) * MB).where(first, 0)
    return memory(pair_cells(old, new), old, new)


def test_bytes_are_summed_over_cells_and_counted_once_per_explanation() -> None:
    found = two_runs({"one": 10, "two": 20}, {"one": 700, "two": 20})
    assert list(found.columns) == MEMORY_COLUMNS
    assert found.iloc[0].tolist() == ["score", "one", 10 * MB, 700 * MB, 70.0, 2]
    explained = found[found["stage"] == "explain"]
    assert explained[["baseline_bytes", "candidate_bytes", "n"]].to_numpy().tolist() == [[5 * MB, 5 * MB, 1]] * 2


@pytest.mark.parametrize(
    ("before", "now", "named"),
    [
        ({"one": 0, "two": 300}, {"one": 500, "two": 300}, ["one"]),
        ({"one": 0, "two": 300}, {"one": 150, "two": 300}, []),
        ({"one": 400, "two": 0}, {"one": 650, "two": 0}, []),
        ({"one": 500, "two": 0}, {"one": 0, "two": 500}, []),
        ({"one": 500, "two": 0}, {"one": 0, "two": 1000}, ["two"]),
    ],
    ids=["leak", "too little", "a small factor", "another stage comes first", "both"],
)
def test_the_gate_names_what_takes_more(before: dict[str, float], now: dict[str, float], named: list[str]) -> None:
    assert larger(two_runs(before, now), 2.0)["name"].tolist() == named


def test_runs_without_memory_are_not_compared() -> None:
    values = np.linspace(0, 1, 20)
    old = make_results({"a": values})
    new = old.assign(score_seconds=9.0, explain_seconds=9.0, score_memory=900 * MB, explain_memory=900 * MB)
    assert memory(pair_cells(old, new), old, new).empty
    assert larger(memory(pair_cells(old, new), old, new)).empty
    assert memory(pair_cells(new, new), new, new).empty


def test_a_limit_is_refused_where_no_memory_was_recorded() -> None:
    old = make_results({"a": np.linspace(0, 1, 20)})
    new = old.assign(score_memory=0, explain_memory=np.nan)
    check_recorded({"new": new})
    for without in (
        old.drop(columns=["score_memory", "explain_memory"], errors="ignore"),
        new.assign(score_memory=None),
    ):
        with pytest.raises(UsageError, match="the rows of old have no memory"):
            check_recorded({"new": new, "old": without})
