"""Raced runs: who leaves early keeps its row, its scores are those of a full run, and a full run completes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.store.stopped_early import stopped_early

pytestmark = pytest.mark.slow
N = 100
SUITE: dict[str, Any] = {
    "name": "raced", "samples": N, "random_draws": 1,
    "explainers": ["feature_ablation", "gradient", "saliency", "pattern"],
    "metrics": [{"name": "pixel_flipping", "params": {"steps": 6}}, "contribution_error"],
    "problems": [{"dataset": {"name": "additive_table", "params": {"test": N}}, "models": ["additive_terms"]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A race of each kind, and the full run."""
    top = tmp_path_factory.mktemp("races")
    for mode in ("best", "placebo"):
        xb.run(SUITE, store=top / mode, race=mode)  # type: ignore[arg-type]
    xb.run(SUITE, store=top / "full")
    return {mode: top / mode for mode in ("best", "placebo", "full")}


def by_cell(store: Path) -> pd.DataFrame:
    return xb.results(store).set_index("cell_id")


@pytest.mark.parametrize("mode", ["best", "placebo"])
def test_scores_are_those_of_a_full_run_on_the_samples_that_were_taken(stores: dict[str, Path], mode: str) -> None:
    raced, full = by_cell(stores[mode]), by_cell(stores["full"])
    assert set(raced.index) == set(full.index)
    early = stopped_early(raced["message"])
    assert early.any()
    assert (~early).any()
    for cell, row in raced.iterrows():
        n = len(row["scores"])
        assert (n < N) == bool(early[cell])
        assert list(row["sample_ids"]) == list(full.loc[cell, "sample_ids"][:n])
        np.testing.assert_allclose(row["scores"], full.loc[cell, "scores"][:n], rtol=1e-4, atol=1e-5)
    assert not early[raced["control"]].any(), "controls never stop"


def test_who_leaves_is_worse_than_its_rival_on_the_samples_taken(stores: dict[str, Path]) -> None:
    raced = xb.results(stores["best"])
    cells = raced.set_index(["metric", "explainer"])
    beaten = raced[raced["message"].fillna("").str.startswith("stopped early: beaten by")]
    assert len(beaten)
    for row in beaten.to_dict("records"):
        rival = row["message"].split("beaten by ")[1].split(" at ")[0]
        other = np.asarray(cells.loc[(row["metric"], rival), "scores"])[: row["n"]]
        assert (np.mean(row["scores"]) < np.mean(other)) == row["higher_is_better"]


def test_a_board_shows_stopped_rows_and_does_not_rank_them(stores: dict[str, Path]) -> None:
    board = xb.leaderboard(stores["best"])
    early = board["message"].fillna("").str.startswith("not ranked: stopped early: ")
    assert early.any()
    assert board.loc[early, "rank"].isna().all()
    assert board.loc[early, "beats_placebo"].isna().all()
    assert board.loc[early, "value"].notna().all()
    assert (board.loc[early, "n"] < N).all()
    full = xb.leaderboard(stores["full"])
    assert not full["message"].fillna("").str.contains("stopped early").any()
    advice = xb.advice(stores["best"])
    named = [name for names in advice["explainers"] for name in names]
    assert sorted(named) == sorted(set(board.loc[~board["control"], "explainer"]))


def test_a_later_full_run_completes_what_stopped_and_nothing_else(tmp_path: Path, stores: dict[str, Path]) -> None:
    first = xb.run(SUITE, store=tmp_path / "s", race="placebo")
    n_stopped = int(stopped_early(first.results()["message"]).sum())
    again = xb.run(SUITE, store=tmp_path / "s", race="placebo")
    assert again.outcome["statuses"] == {}
    done = xb.run(SUITE, store=tmp_path / "s")
    assert sum(done.outcome["statuses"].values()) - done.outcome["statuses"].get("unsupported", 0) == n_stopped
    cells = done.results()
    assert not stopped_early(cells["message"]).any()
    assert set(cells.loc[cells["status"] == "ok", "n"]) == {N}
    full = by_cell(stores["full"])
    for row in cells.to_dict("records"):
        np.testing.assert_allclose(row["scores"], full.loc[row["cell_id"], "scores"], rtol=1e-4, atol=1e-5)


def test_a_comparison_leaves_out_what_stopped_on_one_side(stores: dict[str, Path]) -> None:
    found = xb.compare(stores["full"], stores["best"])
    assert found.failing.empty
    assert any("left a race early" in note for note in found.notes)
    same = xb.compare(stores["best"], stores["best"])
    assert not any("left a race early" in note for note in same.notes)


def test_explanations_of_all_samples_are_compared_and_others_are_named(stores: dict[str, Path], call: Call) -> None:
    """Those of explainers that stayed are joined from their blocks; the pairs are those of the full run."""
    raced, full = xb.agreement(stores["best"]), xb.agreement(stores["full"])
    cells = xb.results(stores["best"])
    stayed = set(cells.loc[~stopped_early(cells["message"]) & (cells["status"] == "ok"), "explainer"])
    assert set(raced["explainer_a"]) | set(raced["explainer_b"]) == stayed
    assert raced.attrs["left_out"] == [name for name in dict.fromkeys(cells["explainer"]) if name not in stayed]
    assert raced.attrs["left_out"]
    assert full.attrs["left_out"] == []
    keys = ["measure", "explainer_a", "explainer_b"]
    both = raced.merge(full, on=keys, suffixes=("", "_full"))
    assert len(both) == len(raced) > 0
    np.testing.assert_allclose(both["value"], both["value_full"], atol=0.011)
    assert set(raced["n"] + raced["n_undefined"]) == {N}
    code, out, _ = call("agreement", stores["best"])
    assert code == 0
    assert f"left out, no explanation of all samples is stored: {raced.attrs['left_out'][0]}" in out


def test_what_cannot_be_raced_says_so(tmp_path: Path, call: Call) -> None:
    with pytest.raises(xb.UsageError, match="mask_leakage scores a whole data set and cannot be raced"):
        xb.run({**SUITE, "metrics": ["mask_leakage"]}, store=tmp_path / "s", race="best")
    code, _, err = call("run", "quick", "--race", "bst", "--store", tmp_path / "s")
    assert code == 2
    assert "did you mean 'best'" in err


def test_the_replay_prints_a_line_per_comparison(stores: dict[str, Path], call: Call) -> None:
    code, out, err = call("race", "--replay", stores["full"], "--mode", "best")
    assert code == 0, err
    assert "additive_table(test=100)/additive_terms pixel_flipping" in out
    assert "all comparisons" in out
