"""Processes that help with what takes long; results never depend on how many there are."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, TypeVar, cast

from xaibench.core.errors import XaibenchError
from xaibench.core.programs import said

T = TypeVar("T")
R = TypeVar("R")
Stop = Callable[[], bool]
GRACE, LAST = 1.0, 0.5
"""Seconds that workers have to come to an end when they are told to stop, and after that when they
are interrupted; then they are killed."""


class WorkerError(XaibenchError):
    """A worker process ended in the middle of its work."""


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Worker processes that are started when there is work for them, and not before.

    They are spawned, so that they share nothing with this process, load the same plugins, leave
    Ctrl-C to it, and end when it ends, with whatever they started themselves.

    Parameters
    ----------
    size : int
        With 1 there are none, and `map` must not be called.
    plugins : sequence of str
        Files with components to load.
    """

    def __init__(self, size: int = 1, plugins: Sequence[str] = ()) -> None:
        self.size = size
        self.plugins = tuple(plugins)
        self._workers: dict[Connection, BaseProcess] = {}
        self._ready: set[Connection] = set()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()

    @property
    def started(self) -> bool:
        """Whether the workers are there."""
        return bool(self._workers)

    def map(self, function: Callable[[T, Stop], R], tasks: Sequence[T], stop: Stop) -> Iterator[R]:
        """Results in the order in which they come.

        After ``stop`` no task is begun. What is being done is told to stop (the second argument of
        the function says so then), and its results come if they come soon.

        Raises
        ------
        WorkerError
            If a worker dies; the next call has new ones.
        """
        while len(self._workers) < self.size:
            self._start()
        waiting, idle = deque(tasks), list(self._ready)
        busy = self._workers.keys() - self._ready
        deadline = float("inf")
        try:
            while (busy or (waiting and not stop())) and time.monotonic() < deadline:
                while idle and waiting and not stop():
                    worker = idle.pop()
                    self._send(worker, (function, waiting.popleft()))
                    busy.add(worker)
                if stop() and deadline == float("inf"):
                    deadline = time.monotonic() + GRACE
                    busy &= self._ready
                    for worker in busy:
                        self._send(worker, None)
                for worker in cast("list[Connection]", wait_for(busy, timeout=0.1)):
                    result = self._result(worker)
                    busy.remove(worker)
                    idle.append(worker)
                    if worker in self._ready:
                        yield result
                    self._ready.add(worker)
        except BaseException:
            self.dismiss()
            raise
        if stop():
            self.dismiss()

    def dismiss(self) -> None:
        """End all workers: what is being done is interrupted, and then killed."""
        for process in self._workers.values():
            process.terminate()
        deadline = time.monotonic() + LAST
        for process in self._workers.values():
            process.join(max(0.0, deadline - time.monotonic()))
        for connection, process in self._workers.items():
            _kill(process)
            process.join()
            connection.close()
        self._workers.clear()
        self._ready.clear()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.plugins))
        with _without_interrupts():
            process.start()
        theirs.close()
        self._workers[ours] = process

    def _send(self, worker: Connection, message: Any) -> None:
        try:
            worker.send(message)
        except OSError as error:
            raise self._gone(worker) from error

    def _result(self, worker: Connection) -> Any:
        """What a worker has sent: a result, or the exception that it is to raise."""
        try:
            good, result = worker.recv()
        except (EOFError, OSError) as error:
            raise self._gone(worker) from error
        if not good:
            raise result
        return result

    def _gone(self, worker: Connection) -> WorkerError:
        process = self._workers[worker]
        process.join(GRACE)
        why = ": was it killed for its memory?" if process.exitcode == -9 else ""
        return WorkerError(f"a worker process ended with exit code {process.exitcode}{why}")


def _kill(process: BaseProcess) -> None:
    """End a process, and all that it started."""
    try:
        os.killpg(cast(int, process.pid), signal.SIGKILL)
    except (AttributeError, OSError):  # no groups on this platform, or the process has not made its own yet
        process.kill()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started here never hear of Ctrl-C."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, plugins: Sequence[str]) -> None:
    """What a worker does: say that it is there, then a task in, a result out, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):
        _work(connection, plugins)


def _work(connection: Connection, plugins: Sequence[str]) -> None:
    import torch

    from xaibench.core import registry

    torch.set_num_threads(1)
    for plugin in plugins:
        registry.load_module(plugin)
    connection.send((True, None))
    while True:
        message = connection.recv()
        if message is None:  # told to stop when it had stopped already
            continue
        function, task = message
        try:
            # While a task is done, nothing can come but the word to stop.
            answer = True, function(task, connection.poll)
        except XaibenchError as error:
            answer = False, error
        except Exception as error:
            answer = False, WorkerError(said(error))
        connection.send(answer)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
