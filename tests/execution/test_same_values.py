"""The same scores, bit by bit, whoever computes them; tests/acceptance goes through all executors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.cluster_runs import MIXED, assert_same, frame, run

from xaibench.execution import remote


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False])
def test_chunks_of_other_sizes_give_the_same_bits(tmp_path: Path, seen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In other company, in another order, with what was kept and without; in the store or brought back."""
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    from distributed import LocalCluster

    fields: dict[str, Any] = {**MIXED, "seeds": [0]}
    _, plain = run(tmp_path / "plain", **fields)
    assert {"ok", "unsupported"} <= set(frame(plain)["status"])
    assert set(frame(plain)["dataset"]) == {"tiny", "tiny_lines"}
    if not seen:
        monkeypatch.setattr(remote, "_shared", lambda chunk: None)
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster:
        settings = {"scheduler": cluster.scheduler_address, "units": "3"}
        _, other = run(tmp_path, "dask", settings=settings, **fields)
    assert_same(plain, other)
