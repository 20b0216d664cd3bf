"""`xaibench.run` takes what the command line takes, and writes only the tables that a run changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import xaibench as xb
from xaibench.analysis.leaderboard import table
from xaibench.api import advising, reading
from xaibench.api.board_files import MADE_OF
from xaibench.cli.commands import suites as commands
from xaibench.core.errors import NothingToDoError
from xaibench.execution import Observer
from xaibench.plan import Plan, PlannedUnit
from xaibench.store import Row, Store

Make = Callable[..., dict[str, Any]]
CLAIM = {
    "id": "spread",
    "source": "a test",
    "statement": "Gradients are spread out.",
    "left": {"metric": "sparseness"},
    "number": 2.0,
    "direction": "less",
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the suites whose boards are made."""
    found: list[str] = []

    def noted(cells: pd.DataFrame, *, suite: str, **rest: Any) -> pd.DataFrame:
        found.append(suite)
        return table.leaderboard(cells, suite=suite, **rest)

    monkeypatch.setattr(reading, "board_of", noted)
    return found


def test_the_function_takes_what_the_command_takes() -> None:
    """Options of the command that the function has under another name, or that are about printing, are named here."""
    printing = {"json", "quiet"}
    other = {"plugin": "plugins", "setting": "settings", "scheduler": "settings", "partition": "settings"}
    other |= {"minutes": "settings"}
    function = set(inspect.signature(xb.run).parameters)
    for name in set(inspect.signature(commands.run).parameters) - printing:
        assert other.get(name, name) in function, name


def test_a_selection_is_run_and_the_rest_is_left(tiny_suite: Make, tmp_path: Path) -> None:
    done = xb.run(tiny_suite(), store=tmp_path / "s", only=["gradient"], skip=["own_metric"], limit=4)
    assert done.outcome["statuses"] == {"ok": 1}
    rows = Store(tmp_path / "s").read().to_pandas()
    assert rows[["explainer", "metric", "n"]].to_numpy().tolist() == [["gradient", "sparseness", 4]]
    with pytest.raises(NothingToDoError, match="no cell is selected"):
        xb.run(tiny_suite(), store=tmp_path / "s", only=["nothing"])


def test_shards_add_up_to_the_whole(tiny_suite: Make, tmp_path: Path) -> None:
    parts = [xb.run(tiny_suite(), store=tmp_path / "s", shard=f"{i}/3") for i in (1, 2, 3)]
    assert sum(sum(p.outcome["statuses"].values()) for p in parts) == 4
    assert xb.run(tiny_suite(), store=tmp_path / "s").outcome["cached"] == 4
    with pytest.raises(xb.UsageError, match="is not a shard"):
        xb.run(tiny_suite(), store=tmp_path / "t", shard="4/3")


def test_cells_are_run_again_when_asked(tiny_suite: Make, tmp_path: Path) -> None:
    xb.run(tiny_suite(), store=tmp_path / "s")
    assert xb.run(tiny_suite(), store=tmp_path / "s").outcome["statuses"] == {}
    assert xb.run(tiny_suite(), store=tmp_path / "s", rerun="all").outcome["statuses"] == {"ok": 4}


def test_an_observer_sees_the_run_and_failures_end_it(tiny_suite: Make, tmp_path: Path) -> None:
    class Watch(Observer):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def started(self, plan: Plan, run: int) -> None:
            self.seen.append(f"started {plan.suite.name} {run}")

        def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
            self.seen.append(planned.unit.spec.name)

    watch = Watch()
    suite = tiny_suite(explainers=["raises", "gradient", "weights_times_input"])
    done = xb.run(suite, store=tmp_path / "s", observer=watch, max_failures=0)
    assert watch.seen == ["started tiny 1", "raises"]
    assert done.outcome["end"] == "too many failures"


def test_verdicts_are_written_where_claims_are_made(tiny_suite: Make, tmp_path: Path) -> None:
    xb.run(tiny_suite(), store=tmp_path / "s")
    assert not (tmp_path / "s" / "claims.parquet").exists()
    xb.run(tiny_suite(name="claiming", samples=16, claims=[CLAIM]), store=tmp_path / "s")
    written = pd.read_parquet(tmp_path / "s" / "claims.parquet")
    assert written[["suite", "id", "verdict"]].to_numpy().tolist() == [["claiming", "spread", "reproduced"]]
    assert_frame_equal(written, xb.claims(tmp_path / "s"), check_dtype=False)


def test_only_boards_of_suites_that_changed_are_made_again(tiny_suite: Make, tmp_path: Path, made: list[str]) -> None:
    store = tmp_path / "s"
    others = [tiny_suite(name=name, samples=n) for name, n in (("a", 4), ("b", 6), ("c", 8))]
    for suite in others:
        xb.run(suite, store=store)
    assert made == ["a", "b", "c"]
    made.clear()
    before = (store / "leaderboard.parquet").stat().st_mtime_ns
    reading.write_leaderboard(store)
    assert (made, (store / "leaderboard.parquet").stat().st_mtime_ns) == ([], before)
    xb.run(tiny_suite(name="b", samples=6, metrics=["sparseness"]), store=store)
    assert made == ["b"]
    made.clear()
    # A cell that two suites share: what one runs again changes the boards of both.
    xb.run(tiny_suite(name="d", samples=4), store=store, rerun="all")
    assert made == ["a", "d"]


def test_a_board_of_parts_is_that_of_the_whole(tiny_suite: Make, tmp_path: Path) -> None:
    """Rows that were kept and rows that were made again give the table that making all of them gives."""
    store = tmp_path / "s"
    failing = {"explainers": ["raises", "gradient"], "metrics": ["sparseness"]}
    for suite in (
        tiny_suite(name="controls", controls=True, samples=8),
        tiny_suite(name="fails", **failing),
        tiny_suite(name="one", samples=1),
        tiny_suite(name="controls", controls=True, samples=12),
    ):
        xb.run(suite, store=store)
    opened = Store(store)
    written = pd.read_parquet(store / "leaderboard.parquet")
    assert set(written.attrs[MADE_OF]) == {"controls", "fails", "one"}
    csv = (store / "leaderboard.csv").read_bytes()
    opened.files.remove("leaderboard.parquet")
    opened.files.remove("leaderboard.csv")
    reading.write_leaderboard(store)
    fresh = pd.read_parquet(store / "leaderboard.parquet")
    assert_frame_equal(written, fresh)
    assert (store / "leaderboard.csv").read_bytes() == csv
    assert_frame_equal(fresh, xb.leaderboard(store), check_dtype=False)


@pytest.mark.parametrize("content", [b"", b"no table", None])
def test_a_board_that_is_damaged_or_gone_is_made_again(
    tiny_suite: Make, tmp_path: Path, made: list[str], content: bytes | None
) -> None:
    store = tmp_path / "s"
    xb.run(tiny_suite(), store=store)
    right = pd.read_parquet(store / "leaderboard.parquet")
    made.clear()
    if content is None:
        (store / "leaderboard.parquet").unlink()
    else:
        (store / "leaderboard.parquet").write_bytes(content)
    assert_frame_equal(reading.write_leaderboard(store), right, check_dtype=False)
    assert made == ["tiny"]
    (store / "leaderboard.csv").unlink()
    reading.write_leaderboard(store)
    assert (store / "leaderboard.csv").is_file()


def test_other_code_makes_every_board_again(
    tiny_suite: Make, tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        xb.run(tiny_suite(name=name, samples=4 if name == "a" else 6), store=tmp_path)
    made.clear()
    for digest in ("other", None, None):
        monkeypatch.setattr("xaibench.api.board_files.package_digest", lambda digest=digest: digest)
        reading.write_leaderboard(tmp_path)
    assert made == ["a", "b"] * 3


def test_a_run_that_finds_everything_cached_makes_no_board_again(
    tiny_suite: Make, tmp_path: Path, made: list[str]
) -> None:
    store = tmp_path / "s"
    xb.run(tiny_suite(), store=store)
    tables = {stem: (store / f"{stem}.parquet").read_bytes() for stem in ("leaderboard", "advice")}
    made.clear()
    xb.run(tiny_suite(), store=store)
    assert made == []
    assert {stem: (store / f"{stem}.parquet").read_bytes() for stem in tables} == tables
    xb.run(tiny_suite(description="another text"), store=store)
    assert made == ["tiny"]


def test_advice_is_made_again_when_an_audit_has_come_to_the_store(
    tiny_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s"
    board = xb.run(tiny_suite(), store=store).leaderboard()
    asked: list[int] = []
    known = advising.advise
    monkeypatch.setattr(advising, "advise", lambda *args, **rest: [asked.append(1), known(*args, **rest)][1])
    advising.write_advice(store, board)
    assert asked == []
    pd.DataFrame({"suite": ["another"], "metric": ["sparseness"]}).to_parquet(store / "audit.parquet")
    advising.write_advice(store, board)
    advising.write_advice(store, board)
    assert asked == [1]


def test_verdicts_follow_the_results_of_a_suite_without_claims(tiny_suite: Make, tmp_path: Path) -> None:
    """Claims that a suite no longer makes go, and verdicts are made again when another suite scores their cells."""
    store = tmp_path / "s"

    def stored() -> list[str]:
        return pd.read_parquet(store / "claims.parquet")["id"].tolist()

    xb.run(tiny_suite(claims=[CLAIM]), store=store)
    assert stored() == ["spread"]
    xb.run(tiny_suite(name="other"), store=store, rerun="all")
    made_of = pd.read_parquet(store / "claims.parquet").attrs[MADE_OF]
    assert set(made_of) == {"tiny", "other"}
    xb.run(tiny_suite(), store=store)
    assert stored() == []
