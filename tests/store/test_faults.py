"""Kills, full disks, read-only disks, clocks and crowds: nothing finished is lost, and the reason is said."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.command_line import Call
from helpers.killing import kill_in_children
from helpers.store_rows import contents, scored, values

from xaibench.core.errors import StoreError
from xaibench.store import Store, generations

PLUGIN = Path(__file__).parents[1] / "plugins" / "tiny.py"
SUITE = """
name = "tiny"
samples = 8
background = 8
controls = false
explainers = ["gradient", "weights_times_input"]
metrics = ["sparseness", "own_metric"]
[[problems]]
dataset = "tiny"
models = ["exact"]
"""


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "stride", "at_least"), [("write", 2, 8), ("compact", 5, 6)])
def test_a_kill_at_any_step_loses_nothing(tmp_path: Path, operation: str, stride: int, at_least: int) -> None:
    """tests/acceptance/test_store_kills.py tries every step of every operation."""
    found = kill_in_children(tmp_path, operation, stride)
    assert found["wrong"] == []
    assert found["kills"] >= at_least


@pytest.mark.slow
def test_many_write_and_compact_at_once(tmp_path: Path) -> None:
    assert kill_in_children(tmp_path, "crowd") == {"statuses": [0, 0, 0, 0], "cells": 40, "damaged": 0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_a_compaction_that_was_overtaken_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reads its parts; another writes a part and compacts; then the first publishes."""
    store.write_part([scored("a")])
    publish = generations.publish

    def overtaken(*args: Any) -> str:
        monkeypatch.setattr(generations, "publish", publish)
        store.write_part([scored("b")])
        store.compact()
        return publish(*args)

    monkeypatch.setattr(generations, "publish", overtaken)
    store.compact()
    assert set(values(store)) == {"a", "b"}


def test_a_reader_that_is_overtaken_by_a_compaction_sees_everything(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        store.write_part([scored(name)])
    read = store.files.read

    def late(name: str) -> bytes:
        monkeypatch.setattr(store.files, "read", read)
        Store(store.path).compact()
        return read(name)

    monkeypatch.setattr(store.files, "read", late)
    assert set(store.read(["cell_id"])["cell_id"].to_pylist()) == set("abc")


def test_a_clock_that_goes_backwards_changes_nothing(store: Store) -> None:
    """Numbers of runs decide, whatever rows and files say about the time."""
    for year, value in ((2030, 0.25), (2020, 0.75)):
        run = store.claim_run({"suite": "s", "started": f"{year}-01-01"}, [scored("a")])
        made = datetime(year, 1, 1, tzinfo=UTC)
        store.write_part([scored("a", run, value, score_key=f"key-{year}", created=made)])
        store.finish_run(run, {})
    assert values(store)["a"] == ("ok", [0.75])
    assert [m["started"][:4] for m in store.manifests()] == ["2030", "2020"]
    store.save_attributions("explain-lost", torch.ones(2), kind="slope", seconds=1.0)
    draft = store.parts / ".elsewhere-1-x.draft"
    draft.write_bytes(b"half")
    tomorrow = time.time() + 1e6
    for path in store.path.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    found = store.garbage()  # what comes from the future is young
    assert not found.drafts
    assert not found.explanations
    store.collect(found)
    store.compact()
    assert values(store)["a"] == ("ok", [0.75])


@pytest.fixture
def links_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)


@pytest.mark.usefixtures("links_refused")
def test_a_file_system_without_links_will_do(store: Store) -> None:
    assert [store.claim_run({"suite": "s"}, []) for _ in range(3)] == [1, 2, 3]
    store.write_part([scored("a")])
    store.compact()
    assert set(values(store)) == {"a"}
    assert store.files.write("x", b"1", exclusive=True)
    assert not store.files.write("x", b"2", exclusive=True)
    assert store.files.read("x") == b"1"
    assert store.check() == []


def run(suite: Path, where: Path) -> list[object]:
    """Arguments that run the suite."""
    return ["run", suite, "--plugin", PLUGIN, "--store", where, "-q", "-j", 0]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(SUITE)
    return path


@pytest.mark.slow
def test_two_runs_on_one_store_at_once(suite: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "xaibench", *map(str, run(suite, tmp_path / "store"))]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    store = Store(tmp_path / "store")
    assert sorted(m["run"] for m in store.manifests()) == [1, 2]
    assert len(values(store)) == 4
    assert store.check() == []
    assert not store.under_way()


def fill_until_it_fails(store: Store) -> tuple[int, StoreError]:
    """Write parts of some size; how many were written, and what the next one said."""
    for n in range(10_000):
        noise = os.urandom(20_000).hex()
        try:
            store.write_part([scored(f"c{n}", message=noise)])
        except StoreError as error:
            return n, error
    raise AssertionError("the disk has no end")


def test_a_file_that_may_not_grow_says_so(store: Store) -> None:
    """RLIMIT_FSIZE: the disk is full for large files only."""
    store.write_part([scored("a")])
    before = contents(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StoreError, match=r"cannot write .*: File too large"):
            store.write_part([scored("b", message=os.urandom(20_000).hex())])
        with pytest.raises(StoreError, match="File too large"):
            store.save_attributions("explain-b", torch.ones(10_000), kind="slope", seconds=1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(store) == before
    assert not list(store.path.rglob("*.draft"))
    store.write_part([scored("b")])
    assert set(values(store)) == {"a", "b"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk in memory; its options can be changed by calling again."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(where)], capture_output=True)
        if done.returncode != 0:
            pytest.skip("this user may not mount")
        mounted = True
        return where

    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_finished(disk: Callable[[str], Path], suite: Path, call: Call) -> None:
    where = disk("size=400k")
    store = Store(where / "store", create=True)
    written, error = fill_until_it_fails(store)
    assert written > 3
    assert "No space left on device" in error.message
    assert len(values(store)) == written
    assert store.check() == []
    assert not list(where.rglob("*.draft"))
    with pytest.raises(StoreError, match="No space left"):  # a merge that has no room removes nothing
        store.compact()
    assert len(values(store)) == written
    code, _, err = call(*run(suite, store.path))
    assert code == 2
    assert "No space left on device" in err
    assert "Traceback" not in err
    disk("size=4m")
    code, _, err = call(*run(suite, store.path))
    assert code == 0, err
    assert len(values(store)) == written + 4


@pytest.mark.slow
def test_a_read_only_disk_can_be_read(disk: Callable[[str], Path], suite: Path, call: Call) -> None:
    where = disk("size=4m") / "store"
    assert call(*run(suite, where))[0] == 0
    disk("ro")
    for args in (("leaderboard", where), ("doctor", where), ("gc", where, "--dry-run")):
        code, _, err = call(*args)
        assert code == 0, err
    code, _, err = call(*run(suite, where))
    assert code == 2
    assert "Read-only file system" in err
    assert "Traceback" not in err
    with pytest.raises(StoreError, match="Read-only file system"):
        Store(where).write_part([scored("a")])
    assert len(values(Store(where))) == 4
