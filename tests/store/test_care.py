"""The doctor names what is wrong; garbage collection removes what serves nothing, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from helpers.store_rows import contents, row, scored, values

from xaibench.core.errors import StoreError
from xaibench.core.storage import processes
from xaibench.core.storage.files import write_atomic
from xaibench.store import Store
from xaibench.store.files import WRITER_GRACE
from xaibench.store.generations import due
from xaibench.store.schema import to_table
from xaibench.store.tables import from_bytes, sealed, to_bytes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def explain(store: Store, *names: str) -> None:
    for name in names:
        store.save_attributions(f"explain-{name}", torch.ones(2), kind="slope", seconds=1.0)


def publish(store: Store, stem: str, table: pa.Table) -> None:
    content = to_bytes(table)
    store.files.write(sealed(f"parts/{stem}", content), content)


def dead_process() -> str:
    """Name of a process of this machine that has ended."""
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return f"{processes.this_host()}-{int(child.stdout)}"


UNIT = "0" * 32


@pytest.mark.parametrize(
    ("stem", "changes", "reason"),
    [
        (f"{UNIT}-000001", {"unit_id": "1" * 32}, "of another unit"),
        (f"{UNIT}-000001", {"unit_id": UNIT, "run": 2}, "of another run"),
        ("merged-000001", {"status": "perfect"}, "unknown status 'perfect'"),
        ("merged-000001", {"score_key": None}, "without a score key"),
        ("merged-000001", {"n": 3}, "numbers of scores and samples differ"),
        ("merged-000001", {"sample_ids": ["a"]}, "numbers of scores and samples differ"),
        ("merged-000001", {"cell_id": None}, "without a cell_id"),
    ],
)
def test_rows_that_cannot_be_are_named(store: Store, stem: str, changes: dict[str, Any], reason: str) -> None:
    publish(store, f"{UNIT}-000007", to_table([row(unit_id=UNIT, run=7)]))
    assert store.check() == []
    publish(store, stem, to_table([row(**changes)]))
    (damage,) = store.check()
    assert reason in damage.reason


def test_every_flipped_bit_and_every_cut_is_noticed(store: Store) -> None:
    """Not a single damage of a byte, the footer and its names included, gives other values."""
    table = to_table([scored("a"), scored("b")])
    content = to_bytes(table)
    name = sealed("parts/merged-000001", content)
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        for bad in (bytes(damaged), content[:place]):
            with pytest.raises(Exception, match="does not match its seal"):
                from_bytes(bad, name=name)
    assert from_bytes(content, name=name).equals(table)


def test_damaged_lists_and_manifests_are_named(store: Store) -> None:
    store.finish_run(store.claim_run({"suite": "s"}, [scored("a"), scored("b")]), {})
    cells = bytearray(store.files.read("runs/000001/cells.parquet"))
    cells[100] ^= 1
    store.files.write("runs/000001/cells.parquet", bytes(cells))
    assert [d.name for d in store.check()] == ["runs/000001/cells.parquet"]
    with pytest.raises(StoreError, match=r"cells\.parquet cannot be read"):
        store.planned(1)
    manifest = store.files.read("runs/000001/manifest.json").replace(b'"s"', b'"t"')
    store.files.write("runs/000001/manifest.json", manifest)
    assert store.manifests() == []
    assert "runs/000001/manifest.json" in [d.name for d in store.check()]


def test_the_doctor_tells_which_cells_run_again(store: Store) -> None:
    rows = [scored("a"), scored("b"), scored("c", status="failed", scores=[], sample_ids=[], n=0)]
    store.finish_run(store.claim_run({"suite": "s"}, rows), {})
    for r in rows:
        store.write_part([r])
    (name,) = (n for n in store.files.find("parts") if "unit-b" in n)
    store.files.write(name, b"")
    found = store.examine()
    assert [d.name for d in found.damaged] == [name]
    assert [cell["cell_id"] for cell in found.again["s"]] == ["b", "c"]


def test_superseded_rows_and_their_explanations_go(store: Store) -> None:
    for run, key in ((1, "old"), (2, "new")):
        store.finish_run(store.claim_run({"suite": "s"}, [scored("a")]), {})
        store.write_part([scored("a", run, run / 4, score_key=key, explain_key=f"explain-{key}")])
    store.write_part([scored("b", 1, status="failed", scores=[], sample_ids=[], n=0, explain_key=None)])
    explain(store, "old", "new", "lost")
    before = values(store)
    found = store.garbage(young=0.0)
    assert found.rows == 1
    assert {n.split("-")[1].partition(".")[0] for n in found.explanations} == {"old", "lost"}
    assert store.garbage().explanations == {}
    store.collect(found)
    assert values(store) == before
    assert len(store.read(every=True)) == 2
    assert not store.garbage(young=0.0)
    assert store.load_attributions("explain-new") is not None


def test_only_the_newest_runs_are_kept_on_request(store: Store) -> None:
    for run, names in ((1, "ab"), (2, "b"), (3, "bc")):
        assert store.claim_run({"suite": "s", "whole": run != 3}, [scored(n) for n in names]) == run
        for name in names:
            store.write_part([scored(name, run)])
        store.finish_run(run, {})
    other = store.claim_run({"suite": "other"}, [scored("d")])
    store.write_part([scored("d", other)])
    store.finish_run(other, {})
    assert not store.garbage().runs
    found = store.garbage(keep_runs=1)
    assert found.runs == [1]  # 2 is the newest whole run
    store.collect(found)
    assert set(values(store)) == {"b", "c", "d"}
    assert [m["run"] for m in store.manifests()] == [2, 3, 4]
    assert store.claim_run({"suite": "s"}, []) == 5
    assert store.check() == []


def test_nothing_is_collected_while_a_run_is_under_way(store: Store) -> None:
    run = store.claim_run({"suite": "s"}, [])
    assert store.under_way() == {1: f"process {os.getpid()} on {os.uname().nodename}"}
    with pytest.raises(StoreError, match=r"run 1 of .* is under way: process"):
        store.garbage()
    store.finish_run(run, {})
    assert not store.garbage()


def test_the_dead_are_told_from_the_living(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run or a draft of a killed process here is given up at once, one from elsewhere after a day."""
    monkeypatch.setattr("xaibench.store.runs.this_process", dead_process)
    store.claim_run({"suite": "s"}, [])
    assert store.under_way() == {}
    assert store.examine().dead == [1]
    monkeypatch.setattr("xaibench.store.runs.this_process", lambda: "otherhost-1")
    store.claim_run({"suite": "s"}, [])
    assert list(store.under_way()) == [2]
    for path in (store.runs / "000002").iterdir():
        long_ago = path.stat().st_mtime - WRITER_GRACE - 60
        os.utime(path, (long_ago, long_ago))
    assert store.under_way() == {}
    store.parts.mkdir(exist_ok=True)
    drafts = {
        "dead": f".{dead_process()}-x.draft",
        "alive": f".{processes.this_process()}-x.draft",
        "elsewhere": ".otherhost-1-x.draft",
        "nameless": ".tmpabc.draft",
    }
    for name in drafts.values():
        (store.parts / name).write_bytes(b"half")
    assert store.drafts() == [f"parts/{drafts['dead']}"]
    for name in drafts.values():
        os.utime(store.parts / name, (long_ago, long_ago))
    assert set(store.drafts()) == {f"parts/{drafts[k]}" for k in ("dead", "elsewhere", "nameless")}
    found = store.garbage()
    store.collect(found)
    assert [p.name for p in store.parts.iterdir()] == [drafts["alive"]]


def test_a_draft_carries_the_name_of_its_writer(tmp_path: Path) -> None:
    seen = []
    write_atomic(tmp_path / "file", lambda draft: seen.append(draft.name))
    assert seen[0].startswith(f".{processes.this_process()}-")
    assert processes.process_state(processes.this_process()) == "alive"
    assert processes.process_state(dead_process()) == "dead"
    assert processes.process_state("elsewhere-1") == processes.process_state("") == "elsewhere"


def test_rows_are_merged_a_logarithmic_number_of_times() -> None:
    """Over a life of 1,024 runs of one part each a byte is written about log2 times, not 1,024 times."""
    generations: dict[str, int] = {}
    written = 0
    for run in range(1024):
        chosen = due({"parts/p": 100}, generations)
        total = sum(100 if name == "parts/p" else generations.pop(name) for name in chosen)
        written += total
        generations[f"compact/g{run}"] = total
        assert len(generations) <= 12
    assert sum(generations.values()) == 1024 * 100
    assert written <= 1024 * 100 * 12


def test_collecting_twice_or_after_a_kill_reads_alike(store: Store) -> None:
    for n in range(6):
        store.write_part([scored(f"c{n}")])
        store.compact()
    before = values(store)
    assert len(store.files.find("compact")) <= 3
    store.collect(store.garbage(young=0.0))
    assert values(store) == before
    assert set(contents(store)) >= {"store.json"}
