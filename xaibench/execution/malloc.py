"""Settings of the C allocator: freed memory stays with the process between batches."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_RETAINED_BYTES = 2**30


def keep_heap() -> bool:
    """Ask the C library to retain freed memory for the next batch; returns whether it does.

    By default glibc gives large blocks back to the system when they are freed, so every batch of a
    network pays page faults for its activations again: a quarter of the time of a small CNN
    (tests/bench/bench_heap.py). A setting of the whole process, hence for programs of our own only.
    Numbers do not depend on it. Elsewhere than on Linux nothing happens, nor with ``XAIBENCH_KEEP_HEAP=0``: every
    explanation and every scoring then shows the memory that it takes (`xaibench.execution.memory`).
    """
    if not sys.platform.startswith("linux") or os.environ.get("XAIBENCH_KEEP_HEAP") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _RETAINED_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _RETAINED_BYTES))
