"""A heap that is kept."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from xaibench.execution.malloc import keep_heap
kept = keep_heap() if {keep} else True
import numpy as np
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**22)
before = faults()
for _ in range(6):
    np.ones(2**22)
print(int(kept), faults() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_memory_is_used_again_instead_of_asked_for_again() -> None:
    found = []
    for keep in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(keep=keep)], capture_output=True, text=True, check=True
        )
        kept, faults = map(int, done.stdout.split())
        assert kept
        found.append(faults)
    assert found[0] < found[1] / 10
