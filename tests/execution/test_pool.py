"""Worker processes: numbers do not depend on them, and what ends one costs its unit and nothing else."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from helpers.pooled import TIMES, StopAfter, frame, run

from xaibench.cli.arguments import size_from
from xaibench.core.errors import UsageError
from xaibench.execution.worker import device_of


@pytest.mark.slow
def test_numbers_do_not_depend_on_who_computes_them(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "problems": [{"dataset": "tiny", "models": ["exact", "breaks", {"name": "exact", "params": {"scale": 2.0}}]}],
        "explainers": ["gradient", "smoothgrad", "kernel_shap", "weights_times_input", "raises"],
        "metrics": ["pixel_flipping", "infidelity", "weight_agreement", "relevance_mass", "broken_metric"],
        "controls": True,
        "seeds": [0, 1],
    }
    outcome, store = run(tmp_path / "0", workers=0, **fields)
    expected = frame(store).drop(columns=TIMES)
    again, other = run(tmp_path / "2", workers=2, **fields)
    assert again.statuses == outcome.statuses
    assert (again.explained, again.cached) == (outcome.explained, outcome.cached)
    assert again.gates == outcome.gates
    pd.testing.assert_frame_equal(expected, frame(other).drop(columns=TIMES), check_exact=True)
    once_more, _ = run(tmp_path / "2", workers=0, **fields)
    assert once_more.statuses == {"failed": outcome.statuses["failed"]}
    assert once_more.cached == outcome.statuses.total() - outcome.statuses["failed"]


@pytest.mark.slow
def test_a_metric_that_ends_its_worker_costs_one_cell(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    metrics = ["sparseness", {"name": "dies_once", "params": {"mark": mark}}, "own_metric", "dies", "complexity"]
    outcome, store = run(tmp_path, metrics=metrics, retry=1)
    rows = frame(store).set_index("metric")
    assert outcome.statuses == {"ok": 4, "failed": 1}
    assert rows.loc["dies", "status"] == "failed"
    assert "SIGKILL" in rows.loc["dies", "message"]
    assert rows.loc["dies", "message"].endswith("while it scored this cell")
    assert len(rows) == 5


@pytest.mark.slow
def test_an_interrupted_pool_resumes(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"controls": True, "metrics": ["sparseness", "own_metric", "weight_agreement"]}
    first, store = run(tmp_path, StopAfter(3, [signal.SIGTERM]), **fields)
    assert first.end == "interrupted"
    done = len(frame(store))
    assert done >= first.statuses.total() > 0
    rest, _ = run(tmp_path, workers=0, **fields)
    assert rest.end == "finished"
    assert rest.cached == done
    assert set(frame(store)["status"]) == {"ok"}


def test_workers_take_the_graphics_processors_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of("cuda", slot) for slot in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert device_of("cuda:1", 2) == "cuda:1"
    assert device_of("cpu", 1) == "cpu"


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4_000_000_000), ("512 MiB", 2**29), ("1.5g", 1_500_000_000), ("2e9", 2_000_000_000)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert size_from(text) == size


@pytest.mark.parametrize("text", ["", "much", "0", "-1GB", "1.2.3GB", "4 XB"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        size_from(text)
