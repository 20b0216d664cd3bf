"""Peak memory of a stage: what it took beyond what the process held, and nothing where the system does not tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xaibench.execution import memory
from xaibench.execution.memory import MemoryStage

MB = 10**6
linux = pytest.mark.skipif(MemoryStage.begin().before is None, reason="the system does not tell peaks")


@linux
def test_a_peak_counts_although_it_is_over() -> None:
    stage = MemoryStage.begin()
    np.ones(100 * MB // 8)
    peak = stage.bytes()
    assert peak is not None
    assert 60 * MB < peak < 140 * MB
    again = MemoryStage.begin().bytes()
    assert again is not None
    assert again < 20 * MB, "the peak of an earlier stage is not that of a later one"


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("setting", "least", "most"), [("0", 60, 140), ("1", 0, 20)])
def test_freed_memory_is_counted_again_only_where_the_heap_is_not_retained(setting: str, least: int, most: int) -> None:
    """Slow: in a process of its own, as the setting is one of the whole process."""
    code = (
        "import numpy as np\n"
        "from xaibench.execution.malloc import keep_heap\n"
        "from xaibench.execution.memory import MemoryStage\n"
        "keep_heap()\n"
        "np.ones(12_500_000)\n"
        "stage = MemoryStage.begin()\n"
        "np.ones(12_500_000)\n"
        "print(stage.bytes())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={"XAIBENCH_KEEP_HEAP": setting, "PYTHONPATH": sys.path[0]},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert least * MB <= int(done.stdout) < most * MB


def test_where_the_system_does_not_tell_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_RESET", tmp_path / "nowhere" / "clear_refs")
    assert MemoryStage.begin().bytes() is None
    assert MemoryStage(None).bytes() is None
    monkeypatch.setattr(memory, "_RESET", tmp_path / "clear_refs")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    assert MemoryStage.begin().bytes() is None
