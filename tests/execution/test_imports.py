"""What processes of a run import: the one that coordinates computes nothing, and nothing is imported to do nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xaibench.execution import provenance as facts
from xaibench.execution.in_process import InProcess
from xaibench.execution.provenance import provenance
from xaibench.execution.task import Options
from xaibench.store import Store

COORDINATES = """
import sys
import xaibench.api.orchestration, xaibench.execution.pool, xaibench.cli.progress
from xaibench.execution.provenance import provenance
found = provenance(threads=1)
assert found["threads"] == 1 and not found["deterministic"], found
print(*(name for name in ("torch", "sklearn", "scipy.stats", "matplotlib") if name in sys.modules))
"""


def test_the_process_that_coordinates_workers_imports_nothing_that_computes() -> None:
    done = subprocess.run([sys.executable, "-c", COORDINATES], capture_output=True, text=True, check=True)
    if not facts.may_have_gpu():
        assert done.stdout.split() == []


def test_a_run_without_tasks_makes_no_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xaibench.execution.worker_loop.UnitRunner.__init__", None)
    asked = []
    InProcess(Store(tmp_path / "store", create=True), Options()).run(iter([]), asked.append, lambda: False)
    assert asked == []


def test_where_there_may_be_a_graphics_processor_torch_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"card {i}")
    assert provenance(threads=1)["machine"]["gpus"] == ["card 0", "card 1"]
    monkeypatch.setattr(facts, "may_have_gpu", lambda: False)
    monkeypatch.delitem(sys.modules, "torch")
    assert provenance(threads=1)["machine"]["gpus"] == []
