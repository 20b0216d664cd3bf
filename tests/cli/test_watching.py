"""`xaibench watch`: what a browser gets from a store, from one that vanishes, on wrong paths and from elsewhere."""

from __future__ import annotations

import http.client
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.api.watching import REFRESH, LiveReport
from xaibench.cli.watching import HOST, open_server
from xaibench.core.errors import StoreError, UsageError
from xaibench.store import Store

Suite = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path, tiny_suite: Suite) -> Path:
    return Path(xb.run(tiny_suite(), store=tmp_path / "store").store)


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
    with served(LiveReport(store)) as port:
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
    with served(LiveReport(store)) as port:
        status, page, _ = ask(port, path)
        assert status == 404
        assert "There is no such page" in page
        assert path not in page


def test_other_hosts_and_other_methods_are_refused(store: Path) -> None:
    with served(LiveReport(store)) as port:
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", ""):
            assert ask(port, host=host)[0] == 403
        assert ask(port, host=f"localhost:{port}")[0] == 200
        for method in ("POST", "PUT", "DELETE"):
            assert ask(port, method=method)[0] == 501


def test_a_second_watcher_gets_another_port_or_is_told(store: Path) -> None:
    live = LiveReport(store)
    with served(live) as port:
        with pytest.raises(UsageError, match=f"port {port} is taken") as error:
            open_server(LiveReport(store), port)
        assert "--port 0" in (error.value.hint or "")
        with open_server(live, None) as first, open_server(live, None) as second:
            assert first.server_address[1] != second.server_address[1]
            assert first.server_address[0] == second.server_address[0] == HOST


def test_a_store_that_vanishes_has_a_page_and_one_that_returns_too(store: Path, tmp_path: Path) -> None:
    clock = [0.0]
    live = LiveReport(store, clock=lambda: clock[0])
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
    read = Store.read
    monkeypatch.setattr(Store, "outcome", lambda store, number: None)
    monkeypatch.setattr(Store, "under_way", lambda store: {1: "process 1"})
    monkeypatch.setattr(Store, "read", lambda store, columns=None: rows if columns is None else rows.select(columns))
    status, page = LiveReport(store).page()
    assert status == 200
    assert "Run 1 of tiny is under way: 2 of 4 cells (50%) at " in page
    assert "<b>2</b> missing" in page
    monkeypatch.setattr(Store, "under_way", lambda store: {})
    assert "has stopped without an end" in LiveReport(store).page()[1]
    assert read is not Store.read


def test_pages_are_made_again_only_for_something_new_and_not_too_often(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xaibench.api import watching

    clock, made = [0.0], []
    gather = watching.gather

    def counted(*arguments: Any, **options: Any) -> Any:
        made.append(1)
        clock[0] += 3.0
        return gather(*arguments, **options)

    monkeypatch.setattr(watching, "gather", counted)
    live = LiveReport(store, clock=lambda: clock[0])
    live.page()
    clock[0] += 29.0
    live.page()
    assert len(made) == 1, "a page of 3 seconds is shown for 30"
    clock[0] += 2.0
    live.page()
    assert len(made) == 1, "nothing is new"
    monkeypatch.setattr(Store, "outcome", lambda store, number: None)
    clock[0] += REFRESH + 1
    live.page()
    assert len(made) == 2
