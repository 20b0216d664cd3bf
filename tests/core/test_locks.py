"""Locks between processes, and findings that are kept."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.core import findings
from xaibench.core.data import Data
from xaibench.core.findings import CachedFindings
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import Predictor, TorchPredictor
from xaibench.core.storage.locks import file_lock


def hold(path: Path, times: Queue[tuple[float, float]]) -> None:
    with file_lock(path):
        begun = time.monotonic()
        time.sleep(0.3)
        times.put((begun, time.monotonic()))


@pytest.mark.slow
def test_one_holds_a_lock_at_a_time(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    times: Queue[tuple[float, float]] = context.Queue()
    processes = [context.Process(target=hold, args=(tmp_path / "x.lock", times)) for _ in range(2)]
    for process in processes:
        process.start()
    first, second = sorted(times.get(timeout=30) for _ in processes)
    for process in processes:
        process.join()
    assert second[0] >= first[1]


def test_a_dead_holder_keeps_nobody_waiting(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()

    def forever() -> None:
        with file_lock(tmp_path / "x.lock"):
            ready.set()
            time.sleep(60)

    process = context.Process(target=forever)
    process.start()
    assert ready.wait(30)
    process.kill()
    process.join()
    with file_lock(tmp_path / "x.lock"):
        pass


@dataclass
class Slow:
    asked: int = 0

    @property
    def identity(self) -> list[Any]:
        return ["slow"]

    def measure(self, model: Predictor, data: Data) -> Findings:
        self.asked += 1
        gates = (Gate("share", 1 / 3, 0.5, at_least=False), Gate("nothing", float("nan"), 0.0))
        return Findings(gates, {"input_pair.patched": np.arange(6, dtype=np.float32).reshape(2, 3)})


@pytest.mark.parametrize("worth", [-1.0, 60.0])
def test_what_took_long_is_not_found_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worth: float):
    monkeypatch.setattr(findings, "MIN_CACHED_SECONDS", worth)
    zeros = np.zeros((2, 3), dtype=np.float32)
    data = Data("table", zeros, np.array([0, 1]), zeros, np.array([0, 1]))
    model = TorchPredictor(nn.Linear(3, 2))
    check = Slow()
    first = CachedFindings(tmp_path, ("weights",)).measure(check, model, data)
    again = CachedFindings(tmp_path, ("weights",)).measure(check, model, data)
    assert check.asked == (1 if worth < 0 else 2)
    assert str(again.gates) == str(first.gates)
    assert again.gates[0] == first.gates[0]
    np.testing.assert_array_equal(again.inputs["input_pair.patched"], first.inputs["input_pair.patched"])
    CachedFindings(tmp_path, ("other weights",)).measure(check, model, data)
    threads = torch.get_num_threads()
    assert check.asked == (2 if worth < 0 else 3), threads


def test_a_damaged_file_is_found_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(findings, "MIN_CACHED_SECONDS", -1.0)
    zeros = np.zeros((2, 3), dtype=np.float32)
    data = Data("table", zeros, np.array([0, 1]), zeros, np.array([0, 1]))
    check, model = Slow(), TorchPredictor(nn.Linear(3, 2))
    CachedFindings(tmp_path).measure(check, model, data)
    (path,) = tmp_path.glob("*/*.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-3] + b"\0\0\1")
    CachedFindings(tmp_path).measure(check, model, data)
    assert check.asked == 2
