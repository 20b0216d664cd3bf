"""`xaibench watch`: what a browser gets from a store, from one that vanishes, on wrong paths and from elsewhere."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.api import watching
from xaibench.api.watching import REFRESH, LiveReport
from xaibench.cli.watching import HOST, open_server, watch_store
from xaibench.core import registry
from xaibench.core.errors import StoreError, UsageError
from xaibench.store import Store

PLUGIN = Path(__file__).parents[1] / "plugins" / "tiny.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    registry.load_module(str(PLUGIN))
    suite = {
        "name": "tiny", "samples": 8, "controls": False, "problems": [{"dataset": "tiny", "models": ["exact"]}],
        "explainers": ["gradient", "weights_times_input"], "metrics": ["sparseness", "own_metric"],
    }  # fmt: skip
    return Path(xb.run(suite, store=tmp_path_factory.mktemp("finished") / "store").store)


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "store"))


@contextmanager
def served(live: LiveReport, port: int = 0) -> Iterator[int]:
    with open_server(live, port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def ask(port: int, path: str = "/", method: str = "GET", host: str | None = None) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), dict(answer.getheaders())
    connection.close()
    return found


def content_of(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


def test_the_page_is_the_report_and_the_store_stays_as_it_is(store: Path) -> None:
    before = content_of(store)
    with served(LiveReport(store, background=False)) as port:
        status, page, headers = ask(port)
        assert status == 200
        assert "Run 1 of tiny has ended (finished): 4 of 4 cells (100%)." in page
        assert f'http-equiv="refresh" content="{REFRESH}"' in page
        assert 'id="board-table"' in page
        assert headers["Cache-Control"] == "no-store"
        assert ask(port, "/?x=1")[0] == 200
        status, body, headers = ask(port, method="HEAD")
        assert (status, body) == (200, "")
        assert int(headers["Content-Length"]) > 1000
    assert content_of(store) == before


@pytest.mark.parametrize("path", ["/report.html", "//x", "/../../etc/passwd", "/%2e%2e/x", "/store.json"])
def test_there_is_one_page(store: Path, path: str) -> None:
    with served(LiveReport(store, background=False)) as port:
        status, page, _ = ask(port, path)
        assert status == 404
        assert "There is no such page" in page
        assert path not in page


def test_other_hosts_and_other_methods_are_refused(store: Path) -> None:
    with served(LiveReport(store, background=False)) as port:
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", ""):
            assert ask(port, host=host)[0] == 403
        assert ask(port, host=f"localhost:{port}")[0] == 200
        for method in ("POST", "PUT", "DELETE"):
            assert ask(port, method=method)[0] == 501


def test_a_second_watcher_gets_another_port_or_is_told(store: Path) -> None:
    live = LiveReport(store, background=False)
    with served(live) as port:
        with pytest.raises(UsageError, match=f"port {port} is taken") as error:
            open_server(LiveReport(store, background=False), port)
        assert "--port 0" in (error.value.hint or "")
        with open_server(live, None) as first, open_server(live, None) as second:
            assert first.server_address[1] != second.server_address[1]
            assert first.server_address[0] == second.server_address[0] == HOST


def test_a_store_that_vanishes_has_a_page_and_one_that_returns_too(store: Path, tmp_path: Path) -> None:
    clock = [0.0]
    live = LiveReport(store, clock=lambda: clock[0], background=False)
    assert live.page()[0] == 200
    shutil.move(store, tmp_path / "away")
    assert live.page()[0] == 200, "the page of a moment ago is shown until the next look"
    clock[0] += REFRESH
    status, page = live.page()
    assert status == 503
    assert "there is no store in" in page
    assert 'http-equiv="refresh"' in page
    shutil.move(tmp_path / "away", store)
    assert live.page()[0] == 200


def test_a_store_without_runs_waits_and_one_that_is_not_there_is_an_error(call: Call, tmp_path: Path) -> None:
    Store(tmp_path / "empty", create=True)
    status, page = LiveReport(tmp_path / "empty").page()
    assert (status, "Nothing has run yet" in page) == (200, True)
    with pytest.raises(StoreError, match="there is no store"):
        LiveReport(tmp_path / "nowhere")
    code, _, err = call("watch", tmp_path / "nowhere")
    assert (code, "there is no store" in err) == (2, True)


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while a run goes on: half of its cells have no row, and it has no outcome."""
    rows = Store(store).read().slice(0, 2)
    monkeypatch.setattr(Store, "outcome", lambda store, number: None)
    monkeypatch.setattr(Store, "under_way", lambda store: {1: "process 1"})
    monkeypatch.setattr(Store, "read", lambda store, columns=None: rows if columns is None else rows.select(columns))
    status, page = LiveReport(store, background=False).page()
    assert status == 200
    assert "Run 1 of tiny is under way: 2 of 4 cells (50%) at " in page
    assert "<b>2</b> missing" in page
    monkeypatch.setattr(Store, "under_way", lambda store: {})
    assert "has stopped without an end" in LiveReport(store, background=False).page()[1]


def test_reports_are_made_again_only_for_something_new_and_not_too_often(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, made = [0.0], []

    def make(content: Any, **options: Any) -> Any:
        made.append(content)
        clock[0] += 3.0
        return SimpleNamespace(html=f"report {len(made)}: {options['live']}")

    monkeypatch.setattr(watching, "gather", lambda store, **options: "content")
    monkeypatch.setattr(watching, "make_report", make)
    live = LiveReport(store, clock=lambda: clock[0], background=False)
    assert live.page()[1].startswith("report 1: Run 1 of tiny has ended")
    monkeypatch.setattr(Store, "outcome", lambda store, number: None)
    clock[0] += 29.0
    page = live.page()[1]
    assert page.startswith("report 1: Run 1 of tiny has stopped"), "the sentence is new, the report of 3 seconds is not"
    assert "Figures and tables on this page are of " in page
    assert page.endswith(" UTC, 4 cells; newer ones are on their way.")
    clock[0] += 2.0
    assert live.page()[1].startswith("report 2: ")
    clock[0] += 100.0
    page = live.page()[1]
    assert page.startswith("report 2: "), "nothing is new"
    assert "on their way" not in page
    clock[0] += 1.0
    monkeypatch.undo()
    monkeypatch.setattr(watching, "gather", lambda store, **options: "content")
    monkeypatch.setattr(watching, "make_report", make)
    clock[0] += REFRESH
    assert live.page()[1].startswith("report 3: Run 1 of tiny has ended"), "a run that has ended is shown at once"


def test_no_browser_waits_for_a_report(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def slow(store: Any, **options: Any) -> str:
        release.wait(30)
        return "content"

    monkeypatch.setattr(watching, "gather", slow)
    monkeypatch.setattr(watching, "make_report", lambda content, live, refresh: SimpleNamespace(html=f"made: {live}"))
    live = LiveReport(store)
    for _ in range(2):
        status, page = live.page()
        assert (status, "4 of 4 cells (100%). The report is being made." in page) == (200, True)
    release.set()
    assert live._maker is not None
    live._maker.join(30)
    assert live.page()[1].startswith("made: Run 1 of tiny has ended")


def test_a_report_that_cannot_be_made_is_tried_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(store: Any, **options: Any) -> None:
        raise StoreError("a file is damaged")

    clock = [0.0]
    live = LiveReport(store, clock=lambda: clock[0], background=False)
    with monkeypatch.context() as patch:
        patch.setattr(watching, "gather", fails)
        status, page = live.page()
        assert (status, "cannot be made yet: a file is damaged." in page) == (200, True)
    monkeypatch.setattr(watching, "gather", lambda store, **options: "content")
    monkeypatch.setattr(watching, "make_report", lambda content, live, refresh: SimpleNamespace(html=f"made: {live}"))
    clock[0] += REFRESH
    assert live.page()[1].startswith("made: ")


def test_terminate_ends_it_with_a_sentence(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def unhandled(*_: object) -> None:
        raise AssertionError("SIGTERM was not taken")

    before = signal.signal(signal.SIGTERM, unhandled)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    try:
        timer.start()
        watch_store(store, port=0)
        assert signal.getsignal(signal.SIGTERM) is unhandled
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err.splitlines()[-1] == "no longer watching"
