"""``xaibench watch``: the report of a store, served to this machine while a run fills it."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from xaibench.api.watching import LiveReport
from xaibench.cli.output import stderr, stdout
from xaibench.core.errors import UsageError
from xaibench.core.storage.paths import default_store
from xaibench.report.html.page import message_page

HOST, PORT, PORT_TRIES = "127.0.0.1", 8765, 20


class Server(ThreadingHTTPServer):
    """A server on the loopback address; a port that another one uses is never shared."""

    daemon_threads = True
    allow_reuse_address = False


class Page(BaseHTTPRequestHandler):
    """Answers with the page of a `LiveReport`: on one path, to this machine, without changing anything."""

    server_version = "xaibench"
    sys_version = ""
    timeout = 30

    def __init__(self, live: LiveReport, *arguments: Any) -> None:
        self.live = live
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """The report, or a sentence."""
        self._answer(*self._content())

    do_HEAD = do_GET  # noqa: N815

    def _content(self) -> tuple[int, str]:
        port = self.connection.getsockname()[1]
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            # A page elsewhere whose name was made to lead here must not read results.
            return HTTPStatus.FORBIDDEN, self._said("Not for other hosts", f"Open http://{HOST}:{port}/.")
        if self.path.partition("?")[0] != "/":
            return HTTPStatus.NOT_FOUND, self._said("There is no such page", "Everything is on the page /.")
        return self.live.page()

    def _said(self, title: str, message: str) -> str:
        return message_page(title, message, store=str(self.live.store))

    def _answer(self, status: int, page: str) -> None:
        body = page.encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("X-Frame-Options", "DENY")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not printed."""


def open_server(live: LiveReport, port: int | None) -> Server:
    """Listen on this port, or on the first free one from `PORT` on.

    Raises
    ------
    UsageError
        If the port is taken, or may not be used.
    """
    ports = [port] if port is not None else [*range(PORT, PORT + PORT_TRIES), 0]
    for at in ports:
        try:
            return Server((HOST, at), partial(Page, live))
        except OSError as error:
            if port is None and error.errno == errno.EADDRINUSE:
                continue
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise UsageError(f"port {at} {why}", "another watcher may run there; --port 0 takes a free one") from error
    raise AssertionError("port 0 is always free")


@contextmanager
def _ended_by_terminate() -> Iterator[None]:
    """SIGTERM, which `kill`, containers and service managers send, ends the block as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def watch_store(store: Path | None, *, port: int | None) -> None:
    """Serve the page until Ctrl-C, or until the process is asked to end."""
    live = LiveReport(store or default_store())
    with open_server(live, port) as server:
        stdout().print(f"http://{HOST}:{server.server_address[1]}/", markup=False, soft_wrap=True)
        stderr().print(f"watching {live.store}; Ctrl-C ends it", markup=False, soft_wrap=True)
        with _ended_by_terminate():
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                stderr().print("no longer watching")
