"""A store behaves alike in a folder, in memory and on a server that speaks S3."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.command_line import Call
from helpers.store_rows import ROW, scored, values

from xaibench.core.errors import StoreError
from xaibench.core.storage.paths import StoreUrl, parse_location
from xaibench.store import Store
from xaibench.store.files import RemoteFiles

Place = Callable[[str], str]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket on a server of our own."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import fsspec

        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Make the address of a store of this name."""
    if request.param == "folder":
        return lambda name: str(tmp_path / name)
    base = request.getfixturevalue("s3") if request.param == "s3" else "memory://stores"
    unique = f"{tmp_path.parent.name}-{tmp_path.name}"
    return lambda name: f"{base}/{unique}/{name}"


@pytest.mark.slow
def test_results_runs_and_explanations_come_back(where: Place) -> None:
    assert not Store.exists(where("one"))
    with pytest.raises(StoreError, match="there is no store"):
        Store(where("one"))
    store = Store(where("one"), create=True)
    assert [store.claim_run({"suite": "s"}, [ROW]) for _ in range(3)] == [1, 2, 3]
    assert store.planned(2)["cell_id"].to_pylist() == ["c"]
    store.finish_run(3, {"end": "finished"})
    for name in "abc":
        store.write_part([scored(name)])
    maps = torch.arange(6.0).view(2, 3)
    store.save_attributions("explain-a", maps, kind="slope", seconds=2.0)
    store.save_interpretations("explain-f", [{"name": "f", "budget": 1}])
    store.save_interpretations("explain-f", [{"name": "g", "budget": 1}])
    again = Store(where("one"))
    assert Store.exists(where("one"))
    assert set(values(again)) == set("abc")
    assert [m["run"] for m in again.manifests()] == [1, 2, 3]
    found = again.load_attributions("explain-a")
    assert found is not None
    assert torch.equal(found[0], maps)
    assert again.load_attributions("explain-b") is None
    again.merge_interpretations("explain-f")
    assert [r["name"] for r in store.load_interpretations("explain-f")] == ["f", "g"]
    assert again.compact() == 3
    again.write_part([scored("d")])
    assert set(values(store)) == set("abcd")
    assert store.check() == []


def test_a_damaged_part_is_passed_over_and_removed(where: Place) -> None:
    store = Store(where("one"), create=True)
    store.write_part([scored("good")])
    store.write_part([scored("bad")])
    (name,) = (n for n in store.files.find("parts") if "unit-bad" in n)
    content = bytearray(store.files.read(name))
    content[len(content) // 2] ^= 1
    store.files.write(name, bytes(content))
    assert set(values(store)) == {"good"}
    (damage,) = store.check()
    assert damage.name == name
    store.discard(damage)
    assert store.check() == []


@pytest.mark.slow
def test_a_number_is_claimed_by_one_of_many(where: Place) -> None:
    store = Store(where("one"), create=True)
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(Store(where("one")).claim_run({"suite": "s"}, [])))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))
    assert [m["run"] for m in store.manifests()] == list(range(1, 9))


@pytest.mark.slow
def test_stores_of_different_kinds_merge(where: Place, tmp_path: Path) -> None:
    local, there = Store(tmp_path / "local", create=True), Store(where("there"), create=True)
    for store, name in ((local, "a"), (there, "b")):
        run = store.claim_run({"suite": "s"}, [scored("a"), scored("b")])
        store.write_part([scored(name, run)])
        store.save_attributions(f"explain-{name}", torch.ones(2), kind="slope", seconds=1.0)
        store.finish_run(run, {})
    brought = there.merge(local)
    assert (brought.runs, brought.rows, brought.attributions) == (1, 1, 1)
    assert set(values(there)) == {"a", "b"}
    assert there.merge(local) == type(brought)()


@pytest.mark.slow
def test_what_no_result_needs_is_removed(where: Place) -> None:
    store = Store(where("one"), create=True)
    for name in ("explain-a", "explain-lost"):
        store.save_attributions(name, torch.ones(2), kind="slope", seconds=1.0)
    store.write_part([scored("a")])
    assert store.examine().orphans.keys() == {"attributions/ex/explain-lost.safetensors"}
    assert not store.garbage().explanations  # its row may be on the way
    store.collect(store.garbage(young=0.0))
    assert store.load_attributions("explain-lost") is None
    assert store.load_attributions("explain-a") is not None


def test_a_server_without_conditional_writes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    plain = fs.pipe_file
    monkeypatch.setattr(fs, "pipe_file", lambda path, value, mode="overwrite", **_: plain(path, value))
    with pytest.raises(StoreError, match="no conditional writes"):
        Store("memory://careless/store", create=True)


def test_what_cannot_be_reached_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("memory://unsteady/store", create=True)
    store.write_part([scored("a")])

    def fails(*_: Any, **__: Any) -> bytes:
        raise ConnectionResetError("connection reset by peer")

    with monkeypatch.context() as patch:
        assert isinstance(store.files, RemoteFiles)
        patch.setattr(store.files._fs, "cat_file", fails)
        with pytest.raises(StoreError, match="cannot be reached: ConnectionResetError"):
            store.read()
        with pytest.raises(StoreError, match="cannot be reached"):
            store.check()
    assert set(values(store)) == {"a"}


def test_addresses_are_told_from_folders() -> None:
    assert parse_location("results/local") == Path("results/local")
    url = parse_location("s3://bucket/store/")
    assert isinstance(url, StoreUrl)
    assert str(url / "leaderboard.csv") == "s3://bucket/store/leaderboard.csv"
    for bad in ("nothing://bucket/store",):
        with pytest.raises(StoreError, match="is not the address of a store"):
            Store(bad)


@pytest.mark.slow
def test_the_command_line_works_on_s3(s3: str, tmp_path: Path, plugin: Path, call: Call) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text(
        'name = "tiny"\nsamples = 8\nbackground = 8\ncontrols = false\nmetrics = ["sparseness"]\n'
        'explainers = ["gradient", "weights_times_input"]\n[[problems]]\ndataset = "tiny"\nmodels = ["exact"]\n'
        '[[claims]]\nid = "a"\nsource = "b"\nstatement = "c"\ndirection = "greater"\n'
        'left = { explainer = "gradient", metric = "sparseness" }\n'
        'right = { explainer = "weights_times_input", metric = "sparseness" }\n'
    )

    store = f"{s3}/{tmp_path.name}/store"
    assert call("run", suite, "--plugin", plugin, "--store", store, "-j", "0", "-q")[0] == 0
    code, out, _ = call("run", suite, "--plugin", plugin, "--store", store, "-j", "0", "-q")
    assert code == 0
    assert "nothing new; 2 cells were cached" in out
    code, out, _ = call("leaderboard", store)
    assert code == 0
    assert "weights_times_input" in out
    assert call("claims", store)[0] == 0
    code, out, _ = call("doctor", store)
    assert code == 0
    assert "no file is damaged" in out
