"""Stores keep the best row of every cell, whatever happens to the files."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.store_rows import ROW, row
from hypothesis import given
from hypothesis import strategies as st

from xaibench.core.errors import StoreError
from xaibench.store import Store
from xaibench.store.schema import SCHEMA, SCHEMA_VERSION, migrate, to_table
from xaibench.store.select import best_rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_rows_come_back_as_they_were(store: Store) -> None:
    store.write_part([ROW, row(cell_id="other", score_key=None, status="failed", message="no")])
    found = sorted(store.read().to_pylist(), key=lambda r: r["cell_id"])
    assert found[0]["scores"][0] == 0.25
    assert found[0]["scores"][1] != found[0]["scores"][1]
    assert found[0]["created"] == ROW.created
    assert found[1]["message"] == "no"
    assert store.read(["cell_id"]).column_names == ["cell_id"]


@pytest.mark.parametrize(
    ("rows", "winner"),
    [
        ([{"run": 1}, {"run": 2}], 2),
        ([{"run": 2}, {"run": 1}], 2),
        ([{"run": 1}, {"run": 2, "status": "failed"}], 1),
        ([{"run": 1, "status": "oom"}, {"run": 2, "status": "undefined"}], 2),
        # The problem's content changed in run 2: the old result no longer speaks for the cell.
        ([{"run": 1}, {"run": 2, "score_key": "new", "status": "failed"}], 2),
        # A problem that could not be built tells nothing about the content.
        ([{"run": 1}, {"run": 2, "score_key": None, "status": "failed"}], 1),
        ([{"run": 1}, {"run": 2, "score_key": "new"}, {"run": 3}], 3),
    ],
)
def test_the_best_row_wins(rows: list[dict[str, object]], winner: int) -> None:
    best = best_rows(to_table([row(**r) for r in rows]))
    assert best["run"].to_pylist() == [winner]


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", None]), st.sampled_from(["ok", "failed"]),
                          st.integers(1, 4)), min_size=1, max_size=12), st.integers(0, 12))  # fmt: skip
def test_compacting_first_never_changes_what_is_read(rows: list[tuple[str, str | None, str, int]], cut: int) -> None:
    table = to_table([row(cell_id=c, score_key=k, status=s, run=n) for c, k, s, n in rows])
    early = best_rows(table.slice(0, cut), per_content=True)
    merged = best_rows(pa.concat_tables([early, table.slice(cut)]))
    columns = ["cell_id", "score_key", "status", "run"]
    assert sorted(map(repr, merged.select(columns).to_pylist())) == sorted(
        map(repr, best_rows(table).select(columns).to_pylist())
    )


@pytest.mark.slow
def test_compaction_keeps_everything_and_leaves_one_file(store: Store) -> None:
    for n in range(5):
        store.write_part([row(cell_id=f"c{n}", unit_id=f"u{n}")])
    before = store.read().to_pylist()
    assert store.compact() == 5
    assert not list(store.parts.iterdir())
    assert sorted(map(str, store.read().to_pylist())) == sorted(map(str, before))
    store.write_part([row(cell_id="later")])
    store.compact()
    assert len(store.read()) == 6
    assert len(list(store.compact_folder.glob("generation-*.parquet"))) == 1


def test_a_crash_between_publishing_and_removal_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        store.write_part([row(cell_id=f"c{n}", unit_id=f"u{n}")])
    unlink = Path.unlink

    def no_unlink(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", no_unlink)
        with pytest.raises(KeyboardInterrupt):
            store.compact()
    assert len(list(store.parts.iterdir())) == 3
    assert len(store.read()) == 3
    store.compact()
    assert len(store.read()) == 3


def test_parts_of_one_unit_and_run_do_not_overwrite_each_other(store: Store) -> None:
    store.write_part([row(cell_id="a")])
    store.write_part([row(cell_id="b")])
    assert sorted(store.read(["cell_id"])["cell_id"].to_pylist()) == ["a", "b"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text"])
def test_a_damaged_part_is_passed_over_and_named(store: Store, damage: str) -> None:
    store.write_part([row(cell_id="good", unit_id="g")])
    path = store.write_part([row(cell_id="bad", message="m" * 500)])
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[60] ^= 0xFF
    path.write_bytes({"truncate": content[:200], "empty": b"", "text": b"hello"}.get(damage, bytes(content)))
    assert store.read(["cell_id"])["cell_id"].to_pylist() == ["good"]
    assert [store.path / d.name for d in store.check()] == [path]


def test_a_killed_write_leaves_only_a_dot_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_part([ROW])

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", dies)
        patch.setattr(Path, "unlink", lambda *a, **k: None)
        with pytest.raises(KeyboardInterrupt):
            store.write_part([row(cell_id="half")])
    assert len(list(store.parts.glob(".*.draft"))) == 1
    assert store.drafts() == []  # its writer, this process, lives
    assert store.read(["cell_id"])["cell_id"].to_pylist() == ["c"]
    assert store.check() == []


def test_run_numbers_are_claimed_once(store: Store) -> None:
    assert [store.claim_run({"suite": "s"}, [ROW]) for _ in range(3)] == [1, 2, 3]
    (store.runs / "000007").mkdir()
    assert store.claim_run({"suite": "s"}, []) == 8
    assert [m["run"] for m in store.manifests()] == [1, 2, 3, 8]


def test_attributions_are_kept_and_damage_is_a_miss(store: Store) -> None:
    maps = torch.arange(12.0).view(3, 2, 2)
    store.save_attributions("abcdef", maps, kind="slope", seconds=1.5)
    found = store.load_attributions("abcdef")
    assert found is not None
    assert torch.equal(found[0], maps)
    assert found[1:] == ("slope", 1.5)
    (path,) = store.attributions.glob("*/*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(bytes(content))
    assert store.load_attributions("abcdef") is None
    assert [store.path / d.name for d in store.check()] == [path]
    assert store.load_attributions("nothing") is None


def test_the_schema_has_a_version_and_old_files_are_migrated(store: Store) -> None:
    path = store.write_part([ROW])
    schema = pq.read_schema(path)
    assert schema.metadata[b"xaibench_schema"] == str(SCHEMA_VERSION).encode()
    old = to_table([ROW]).drop_columns(["threads", "gates"])
    assert migrate(old).schema.names == SCHEMA.names
    assert migrate(old)["threads"].null_count == 1
    with pytest.raises(ValueError, match="newer than ours"):
        migrate(old.replace_schema_metadata({"xaibench_schema": "99"}))
    with pytest.raises(ValueError, match="not a result file"):
        migrate(old.replace_schema_metadata({}))


def test_wrong_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        Store(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "file", create=True)
    with pytest.raises(StoreError, match="holds other files"):
        Store(tmp_path, create=True)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "store.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path / "s")
    (tmp_path / "s" / "store.json").write_text('{"format": "xaibench-store", "version": 99}')
    with pytest.raises(StoreError, match="another format"):
        Store(tmp_path / "s")
