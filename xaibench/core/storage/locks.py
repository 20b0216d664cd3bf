"""File locks: of several processes that want to make the same file, one makes it and the others wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``: wait until it is free, and make others wait meanwhile.

    The system frees it when its holder dies. Where the file system has no locks no one waits: work
    is done twice, and nothing else changes.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError, Timeout):
        yield
        return
    try:
        yield
    finally:
        lock.release()
