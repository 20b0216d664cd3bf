"""Joined stores hold what their sources held: nothing twice, nothing lost, nothing where values differ."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from helpers.store_rows import COSTS, contents, row, scored, values

import xaibench as xb
from xaibench import suite as suites
from xaibench.core.errors import StoreError
from xaibench.execution import Options, execute
from xaibench.plan import Shard, make_plan
from xaibench.plan.history import History
from xaibench.store import Row, Store
from xaibench.store.merging import ConflictError, Merged

Make = Callable[..., dict[str, Any]]


def made(path: Path, *runs: list[Row], planned: list[Row] | None = None, over: bool = True) -> Store:
    """A store with these rows, a list per run."""
    store = Store(path, create=True)
    for rows in runs:
        number = store.claim_run({"suite": "s"}, rows if planned is None else planned)
        for r in rows:
            store.write_part([row(**{**vars(r), "run": number})])
            if r.explain_key and r.status == "ok":
                store.save_attributions(r.explain_key, torch.ones(2) * r.scores[0], kind="slope", seconds=1.0)
        if over:
            store.finish_run(number, {"run": number})
    return store


@pytest.mark.slow
def test_everything_arrives_and_again_changes_nothing(tmp_path: Path) -> None:
    one = made(tmp_path / "one", [scored("a"), scored("b", status="failed", scores=[], sample_ids=[], n=0)])
    two = made(tmp_path / "two", [scored("b")], [scored("c")])
    two.save_interpretations("explain-f", [{"name": "f", "budget": 1, "answer": 3}])
    dest = Store(tmp_path / "dest", create=True)
    assert dest.merge(one, two) == Merged(runs=3, rows=4, attributions=3, answers=1)
    assert values(dest) == {name: ("ok", [0.5]) for name in "abc"}
    assert [m["run"] for m in dest.manifests()] == [1, 2, 3]
    assert [m["origin"] for m in dest.manifests()] == [
        {"store": str(tmp_path / "one"), "run": 1},
        {"store": str(tmp_path / "two"), "run": 1},
        {"store": str(tmp_path / "two"), "run": 2},
    ]
    assert dest.load_attributions("explain-c") is not None
    assert dest.load_interpretations("explain-f") == [{"name": "f", "budget": 1, "answer": 3}]
    before = contents(dest)
    for sources in ((one, two), (two,), (two, one), (dest,)):
        assert dest.merge(*sources) == Merged()
        assert contents(dest) == before
    assert dest.check() == []


@pytest.mark.slow
def test_what_a_source_has_learned_since_comes_too(tmp_path: Path) -> None:
    source = made(tmp_path / "one", [scored("a")])
    dest = Store(tmp_path / "dest", create=True)
    dest.merge(source)
    made(tmp_path / "one", [scored("b")])
    assert dest.merge(source) == Merged(runs=1, rows=1, attributions=1)
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    assert dest.merge(Store(tmp_path / "moved")) == Merged()


@pytest.mark.parametrize(
    "other",
    [
        {"scores": [0.50000006]},
        {"status": "undefined", "scores": [float("nan")], "n_undefined": 1},
        {"sample_ids": ["b"]},
        {"scores": [0.5, 0.5], "sample_ids": ["a", "b"], "n": 2},
    ],
)
def test_different_values_under_one_key_are_told_and_nothing_is_written(tmp_path: Path, other: dict[str, Any]) -> None:
    dest = made(tmp_path / "dest", [scored("a")])
    good = made(tmp_path / "good", [scored("b")])
    bad = made(tmp_path / "bad", [scored("a", **other)])
    before = contents(dest)
    with pytest.raises(ConflictError) as found:
        dest.merge(good, bad)
    assert contents(dest) == before
    assert "1 results differ under the same key" in found.value.message
    assert f"in {dest.path}" in found.value.message
    assert f"in {bad.path}" in found.value.message
    if "sample_ids" not in other and other["scores"] == [0.50000006]:
        assert "0.5 on sample a" in found.value.message
        assert "0.5000000596046448 on sample a" in found.value.message
    empty = Store(tmp_path / "empty", create=True)
    made(tmp_path / "first", [scored("a")])
    with pytest.raises(ConflictError):
        empty.merge(Store(tmp_path / "first"), bad)
    assert not empty.manifests()


def test_equal_values_of_other_times_and_undefined_ones_are_no_conflict(tmp_path: Path) -> None:
    facts = {"scores": [float("nan"), 1.0], "sample_ids": ["a", "b"], "n": 2, "n_undefined": 1}
    dest = made(tmp_path / "dest", [scored("a", **facts, score_seconds=1.0)])
    other = made(tmp_path / "other", [scored("a", **facts, score_seconds=2.0, device="cuda")])
    assert dest.merge(other).runs == 1


def test_new_content_of_a_later_source_speaks_for_its_cell(tmp_path: Path) -> None:
    dest = made(tmp_path / "dest", [scored("a")])
    other = made(tmp_path / "other", [scored("a", value=0.75, score_key="retrained")])
    dest.merge(other)
    assert values(dest)["a"] == ("ok", [0.75])
    assert len(dest.read(every=True)) == 2


def test_damaged_and_unfinished_sources_are_refused(tmp_path: Path) -> None:
    dest = Store(tmp_path / "dest", create=True)
    running = made(tmp_path / "running", [scored("a")], over=False)
    with pytest.raises(StoreError, match=r"run 1 of .* is under way: process"):
        dest.merge(running)
    damaged = made(tmp_path / "damaged", [scored("a")])
    (name,) = damaged.files.find("parts")
    damaged.files.write(name, damaged.files.read(name)[:-1])
    with pytest.raises(StoreError, match="is damaged: content does not match its seal"):
        dest.merge(damaged)
    assert list(contents(dest)) == ["store.json"]


@pytest.mark.slow
def test_merges_in_any_order_read_alike(tmp_path: Path) -> None:
    """Parts of one body of results, divided at random with overlaps, give the body back."""
    draw = random.Random(0)
    for case in range(2):
        body = [scored(f"c{i}", value=i / 8) for i in range(6)]
        pieces = [draw.sample(body, draw.randint(1, 5)) for _ in range(3)]
        pieces.append([r for r in body if not any(r in p for p in pieces)])
        stores = [made(tmp_path / f"{case}-{i}", p) for i, p in enumerate(pieces) if p]
        draw.shuffle(stores)
        dest = Store(tmp_path / f"{case}-dest", create=True)
        for store in stores:
            dest.merge(store)
        assert values(dest) == {f"c{i}": ("ok", [i / 8]) for i in range(6)}


@pytest.mark.slow
def test_shards_on_stores_of_their_own_give_the_undivided_board(tmp_path: Path, tiny_suite: Make) -> None:
    suite = suites.parse(tiny_suite(controls=True, seeds=[0, 1], problem_seeds=[0, 1]))

    def run(name: str, shard: Shard | None) -> Store:
        store = Store(tmp_path / name, create=True)
        execute(make_plan(suite, history=History.of(store), shard=shard), store, Options(tmp_path / f"cache-{name}"))
        return store

    whole = run("whole", None)
    shards = [run(f"shard{i}", Shard(i, 3)) for i in (1, 2, 3)]
    assert all(0 < len(s.read()) < len(whole.read()) for s in shards)
    dest = Store(tmp_path / "dest", create=True)
    assert dest.coverage() == []
    dest.merge(shards[2], shards[0])
    assert dest.coverage() == ["suite tiny, partial: 2 of 3 shards are here, without 2"]
    assert (xb.leaderboard(dest.path)["n_missing"] > 0).any()
    assert len(xb.leaderboard(dest.path)) == len(xb.leaderboard(whole.path))
    dest.merge(shards[1])
    assert dest.coverage() == []
    assert values(dest) == values(whole)
    boards = [xb.leaderboard(s.path).drop(columns=COSTS) for s in (dest, whole)]
    pd.testing.assert_frame_equal(*boards)


@pytest.mark.slow
def test_shards_on_one_store_need_no_merge(tmp_path: Path, tiny_suite: Make) -> None:
    suite = suites.parse(tiny_suite(controls=True))
    store = Store(tmp_path / "store", create=True)
    for i in (1, 2):
        plan = make_plan(suite, history=History.of(store), shard=Shard(i, 2))
        outcome = execute(plan, store, Options(tmp_path / "cache"))
        assert sum(outcome.statuses.values()) == plan.states.total()
        assert len(store.coverage()) == 2 - i
    again = make_plan(suite, history=History.of(store))
    assert set(execute(again, store, Options(tmp_path / "cache")).statuses) <= {"unsupported"}
