"""The commands that care for stores: merge, gc and doctor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.command_line import Call
from helpers.store_rows import contents, scored, values

from xaibench.store import Row, Store


def cell(name: str, run: int = 1, value: float = 0.5, **changes: object) -> Row:
    """A result of an explainer of this name."""
    return scored(name, run, value, explainer=name, **changes)


def made(path: Path, name: str, value: float = 0.5) -> Store:
    store = Store(path, create=True)
    run = store.claim_run({"suite": "s"}, [cell("a"), cell("b")])
    store.write_part([cell(name, run, value)])
    store.save_attributions(f"explain-{name}", torch.ones(2), kind="slope", seconds=1.0)
    store.finish_run(run, {})
    return store


@pytest.mark.slow
def test_merge_says_what_came_and_shows_the_board(tmp_path: Path, call: Call) -> None:
    made(tmp_path / "one", "a")
    made(tmp_path / "two", "b")
    code, out, _ = call("merge", tmp_path / "all", tmp_path / "one", tmp_path / "two")
    assert code == 0
    assert "2 runs, 2 rows, 2 explanations and 0 answers came from 2 stores" in out
    assert set(values(Store(tmp_path / "all"))) == {"a", "b"}
    assert (tmp_path / "all" / "leaderboard.csv").exists()
    code, out, _ = call("merge", tmp_path / "all", tmp_path / "one", tmp_path / "two")
    assert code == 0
    assert "0 runs, 0 rows, 0 explanations and 0 answers" in out


def test_a_conflict_is_printed_with_both_values(tmp_path: Path, call: Call) -> None:
    before = contents(made(tmp_path / "one", "a"))
    made(tmp_path / "two", "a", 0.75)
    code, _, err = call("merge", tmp_path / "one", tmp_path / "two")
    assert code == 2
    assert "error: 1 results differ under the same key, nothing was merged: d/m/a/k, seed 0" in err
    assert f"0.5 on sample a in {tmp_path / 'one'} and 0.75 on sample a in {tmp_path / 'two'}" in err
    assert contents(Store(tmp_path / "one")) == before
    assert call("merge", tmp_path / "one", tmp_path / "nothing")[0] == 2


def test_gc_tells_first_and_removes_then(tmp_path: Path, call: Call) -> None:
    store = made(tmp_path / "one", "a")
    run = store.claim_run({"suite": "s"}, [cell("a")])
    store.write_part([cell("a", run, 0.75, score_key="other")])
    code, _, err = call("gc", store.path)
    assert code == 2
    assert f"run {run} of {store.path} is under way: process" in err
    store.finish_run(run, {})
    before = contents(store)
    code, out, _ = call("gc", store.path, "--dry-run")
    assert (code, contents(store)) == (0, before)
    assert "would remove 1 superseded rows" in out
    assert "removed 1 superseded rows" in call("gc", store.path)[1]
    assert "nothing to remove" in call("gc", store.path)[1]
    assert "would remove 1 runs" in call("gc", store.path, "--dry-run", "--keep-runs", "1")[1]


def test_the_doctor_names_damage_and_the_cells_that_run_again(tmp_path: Path, call: Call) -> None:
    store = made(tmp_path / "one", "a")
    store.save_attributions("explain-lost", torch.ones(2), kind="slope", seconds=1.0)
    code, out, _ = call("doctor", store.path)
    assert code == 0
    assert "1 cells of s have no result" in out
    assert "1 explanations that no result refers to" in out
    (name,) = store.files.find("parts")
    (store.path / name).write_bytes(b"PAR1")
    code, out, _ = call("doctor", store.path)
    assert code == 3
    assert f"damaged: {store.path / name}: content does not match its seal (4 bytes)" in out
    assert "2 cells of s have no result" in out
    assert "  d/m/b/k, seed 0" in out
    code, *_ = call("doctor", store.path, "--remove")
    assert code == 3
    assert call("doctor", store.path)[0] == 0


def test_a_store_in_memory_has_one_process(tmp_path: Path, call: Call) -> None:
    code, _, err = call("run", "quick", "--store", "memory://one/store", "-q", "-j", "2")
    assert code == 2
    assert "a store in memory:// lives in one process" in err
