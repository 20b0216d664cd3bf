"""A Dask cluster in this process: what is said between the two. Processes that die are in tests/acceptance."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.cluster_runs import assert_same, frame, run, statuses

from xaibench.core.errors import UsageError
from xaibench.execution import Observer
from xaibench.execution.messages import WorkerError
from xaibench.plan import PlannedUnit
from xaibench.store import Row, Store

pytest.importorskip("distributed", reason="the extra dask is not installed")
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::DeprecationWarning")


@pytest.fixture(scope="module")
def here() -> Iterator[str]:
    """Address of a cluster in this process."""
    from distributed import LocalCluster

    resources = {"BIG": 1}
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None, resources=resources,
        silence_logs="CRITICAL",
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    return run(tmp_path / "plain")[1]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"units": "1"}, {"resources": "BIG=1"}])
def test_chunks_are_worked_off_by_the_workers_of_a_scheduler(
    tmp_path: Path, plain: Store, here: str, settings: dict[str, str]
) -> None:
    outcome, store = run(tmp_path, "dask", settings={"scheduler": here, **settings})
    assert outcome.statuses == {"ok": 6}
    assert_same(plain, store)


def test_failures_of_components_are_rows_and_stop_the_run_where_asked(tmp_path: Path, here: str) -> None:
    settings = {"scheduler": here, "units": "1"}
    outcome, store = run(tmp_path, "dask", settings=settings, explainers=["gradient", "raises"])
    assert outcome.statuses == {"ok": 2, "failed": 2}
    assert statuses(store) == {"gradient": {"ok"}, "raises": {"failed"}}
    explainers = ["raises", *[{"name": "weights_times_input", "params": {"gain": g}} for g in range(2, 14)]]
    limited, _ = run(tmp_path / "2", "dask", settings=settings, max_failures=0, explainers=explainers)
    assert limited.end == "too many failures"
    assert limited.statuses.total() < 26


@pytest.mark.slow
def test_ctrl_c_lets_chunks_end_and_the_next_run_resumes(tmp_path: Path, here: str) -> None:
    explainers = [{"name": "weights_times_input", "params": {"gain": g}} for g in range(1, 13)]

    class Interrupt(Observer):
        def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    class Stop(Observer):
        def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
            raise KeyboardInterrupt

    fields: dict[str, Any] = {"settings": {"scheduler": here, "units": "1"}, "explainers": explainers}
    first, _ = run(tmp_path, "dask", Stop(), **fields)
    second, store = run(tmp_path, "dask", Interrupt(), **{**fields, "settings": {"scheduler": here, "units": "2"}})
    assert (first.end, second.end) == ("interrupted", "interrupted")
    assert len(frame(store)) < 24
    last, _ = run(tmp_path, "dask", **fields)
    assert last.end == "finished"
    assert last.statuses.total() + last.cached == 24
    assert_same(run(tmp_path / "plain", explainers=explainers)[1], store)


def test_what_is_not_there_is_said(tmp_path: Path, here: str) -> None:
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run(tmp_path, "dask", settings={"scheduler": "tcp://127.0.0.1:9", "wait": "0.2"})
    with pytest.raises(UsageError, match="has no setting 'schedule'") as error:
        run(tmp_path, "dask", settings={"schedule": here})
    assert "scheduler" in str(error.value.hint)


def test_an_error_of_the_worker_ends_the_run(tmp_path: Path, here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xaibench.execution.remote.versions", lambda: {"torch": "0", "numpy": "0", "xaibench": "0"})
    original = pytest.importorskip("xaibench.execution.remote").ChunkFactory.chunk

    def chunk(self: Any, task: Any) -> Any:
        from dataclasses import replace

        return replace(original(self, task), versions={"torch": "1"})

    monkeypatch.setattr("xaibench.execution.remote.ChunkFactory.chunk", chunk)
    with pytest.raises(WorkerError, match="a worker has torch 0 instead of 1"):
        run(tmp_path, "dask", settings={"scheduler": here})
