"""Slurm jobs: in this process, in processes, and by commands that behave as Slurm's."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import fake_slurm
from helpers.cluster_runs import assert_same, frame, run, statuses

from xaibench.core.errors import UsageError
from xaibench.execution import Observer
from xaibench.plan import PlannedUnit
from xaibench.store import Row, Store

pytest.importorskip("submitit", reason="the extra slurm is not installed")
HERE = {"cluster": "debug", "units": "2"}
pytestmark = [  # submitit leaves the logs of debug jobs open
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    return run(tmp_path / "plain")[1]


@pytest.mark.slow
def test_jobs_write_into_the_store_and_tell_what_happens(tmp_path: Path, plain: Store) -> None:
    seen: list[str] = []

    class Watch(Observer):
        def unit_started(self, planned: PlannedUnit) -> None:
            seen.append(f"started {planned.unit.spec.name}")

        def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
            seen.append(f"finished {planned.unit.spec.name} with {len(rows)} rows")

    outcome, store = run(tmp_path, "slurm", Watch(), settings=HERE)
    assert outcome.statuses == {"ok": 6}
    assert_same(plain, store)
    assert seen[:4] == [
        "started gradient", "finished gradient with 2 rows",
        "started weights_times_input", "finished weights_times_input with 2 rows",
    ]  # fmt: skip
    assert not (tmp_path / "store.jobs").exists(), "nothing is left of jobs that went well"


@pytest.mark.slow
def test_failures_of_components_are_rows(tmp_path: Path) -> None:
    outcome, store = run(tmp_path, "slurm", settings=HERE, explainers=["gradient", "raises"])
    assert outcome.statuses == {"ok": 2, "failed": 2}
    assert statuses(store) == {"gradient": {"ok"}, "raises": {"failed"}}


@pytest.mark.slow
def test_ctrl_c_takes_jobs_back_and_the_next_run_resumes(tmp_path: Path, plain: Store) -> None:
    class Interrupt(Observer):
        def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    outcome, _ = run(tmp_path, "slurm", Interrupt(), settings={"cluster": "debug", "units": "1"})
    assert outcome.end == "interrupted"
    assert 0 < outcome.explained < 3
    rest, store = run(tmp_path, "slurm", settings=HERE)
    assert rest.end == "finished"
    assert rest.explained + outcome.explained == 3
    assert_same(plain, store)


def test_wrong_settings_and_clusters_are_said_before_a_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match='Could not detect "srun"'):
        run(tmp_path, "slurm")
    with pytest.raises(UsageError, match="a folder that all machines see"):
        run(tmp_path, "slurm", settings=HERE, store="memory://slurm-jobs")
    with pytest.raises(UsageError, match="units=0"):
        run(tmp_path, "slurm", settings={"units": "0"})
    assert Store(tmp_path / "store").manifests() == []


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State of a fake cluster whose commands are on PATH."""
    fake_slurm.install(tmp_path / "bin")
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("FAKE_SLURM", str(state))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("xaibench.execution.slurm_executor.LATE", 1.0)
    return state


@pytest.mark.slow
def test_arrays_go_through_sbatch_and_dead_jobs_cost_the_unit_that_they_were_at(tmp_path: Path, cluster: Path) -> None:
    outcome, store = run(
        tmp_path,
        "slurm",
        settings={"units": "3", "partition": "short", "time": "5", "mem": "2GB", "setup": "export A=1;export B=2"},
        explainers=["gradient", "segfaults", "saliency", "raises"],
    )
    script = (cluster / "100.sh").read_text()
    for line in ("--partition=short", "--time=5", "--mem=2GB", "--array=0-1", "--job-name=xaibench"):
        assert f"#SBATCH {line}" in script
    assert "\nexport A=1\nexport B=2\n" in script
    assert statuses(store) == {"gradient": {"ok"}, "saliency": {"ok"}, "segfaults": {"failed"}, "raises": {"failed"}}
    assert outcome.statuses == {"ok": 4, "failed": 4}
    lost = frame(store).query("explainer == 'segfaults'")
    assert set(lost["error_kind"]) == {"JobDied"}
    assert lost["message"].str.fullmatch(r"job \d+(_\d+)? ended in state FAILED").all(), lost["message"].tolist()
    assert lost["traceback"].str.contains("reading from nowhere").all()
    assert list((tmp_path / "store.jobs").rglob("*_log.err")), "logs of dead jobs are kept"


def test_what_sbatch_refuses_is_said(tmp_path: Path, cluster: Path) -> None:
    with pytest.raises(UsageError, match="Unknown argument 'partitio' for executor 'slurm'"):
        run(tmp_path, "slurm", settings={"partitio": "x"})
    with pytest.raises(UsageError, match=r"sbatch refuses the jobs(.|\n)*invalid partition specified: none"):
        run(tmp_path, "slurm", settings={"partition": "none"})
