"""Processes that help with what takes long; results never depend on how many there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Worker processes that are started when there is work for them, and not before.

    They are spawned, so that they share nothing with this process, load the same plugins, leave
    Ctrl-C to it, and end when it ends.

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
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()

    @property
    def started(self) -> bool:
        """Whether the workers are there."""
        return self._pool is not None

    def map(self, function: Callable[[T], R], tasks: Sequence[T], stop: Callable[[], bool]) -> Iterator[R]:
        """Results in the order in which they come; after ``stop`` no task is begun.

        Raises
        ------
        BrokenProcessPool
            If a worker dies; the next call has new ones.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.size, multiprocessing.get_context("spawn"), initializer=_enter, initargs=(self.plugins,)
            )
        waiting = list(reversed(tasks))
        running: set[Future[R]] = set()
        try:
            while running or (waiting and not stop()):
                while waiting and len(running) <= self.size and not stop():
                    running.add(self._pool.submit(function, waiting.pop()))
                ready, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield future.result()
        except BaseException:
            self.dismiss()
            raise

    def dismiss(self) -> None:
        """Let all workers go."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _enter(plugins: Sequence[str]) -> None:
    """Make a new process a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    import torch

    from xaibench.core import registry

    torch.set_num_threads(1)
    for plugin in plugins:
        registry.load_module(plugin)


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)
