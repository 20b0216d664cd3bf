"""The same seed gives the same numbers, bit for bit, whatever the number of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import xaibench as xb
from xaibench import suite as suites
from xaibench.execution import interpreting

TIMES = ["run", "created", "explain_seconds", "score_seconds"]


def document() -> dict[str, Any]:
    """`find` with more functions, so that there are several chunks for each of three workers."""
    found = suites.load("find").model_dump(exclude={"claims"})
    found["problems"] = [{"functions": {"name": "find_numeric", "params": {"n": 64}}}]
    return found


@pytest.mark.parametrize("seed", [41])
def test_workers_change_no_bit(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreting, "CHUNK", 8)
    boards = {}
    for workers in (1, 2, 3):
        monkeypatch.setattr(interpreting, "WORTH_STARTING", -1.0)
        run = xb.run(document(), store=tmp_path / str(workers), seed=seed, workers=workers)
        assert run.outcome["end"] == "finished"
        rows = xb.results(run.store).sort_values("cell_id", ignore_index=True)
        boards[workers] = rows.drop(columns=TIMES)
        print(f"{workers} workers: {run.outcome['seconds']} s, {len(rows)} cells")
    for workers in (2, 3):
        pd.testing.assert_frame_equal(boards[1], boards[workers], check_exact=True)
