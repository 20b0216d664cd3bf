"""The worker pool: what goes wrong in a worker costs its unit, and numbers do not depend on who computes them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from xaibench import suite as suites
from xaibench.core import registry
from xaibench.core.errors import XaibenchError
from xaibench.execution import Observer, Options, Outcome, execute, pool
from xaibench.history import History
from xaibench.plan import PlannedUnit, make_plan
from xaibench.store import Row, Store

PLUGINS = tuple(str(Path(__file__).parents[1] / "plugins" / f"{name}.py") for name in ("tiny", "faulty"))
TIMES = ["explain_seconds", "score_seconds", "created", "run", "traceback", "n_evaluations"]
Make = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _loaded() -> None:
    for plugin in PLUGINS:
        registry.load_module(plugin)


def document(**fields: Any) -> dict[str, Any]:
    return {
        "name": "tiny",
        "samples": 8,
        "background": 8,
        "random_draws": 2,
        "controls": False,
        "problems": [{"dataset": "tiny", "models": ["exact"]}],
        "explainers": ["gradient"],
        "metrics": ["sparseness", "own_metric"],
        **fields,
    }


def run(folder: Path, observer: Observer | None = None, *, workers: int = 1, **fields: Any) -> tuple[Outcome, Store]:
    limits = {k: fields.pop(k) for k in ("timeout", "memory", "retry", "plugins") if k in fields}
    store = Store(folder / "store", create=True)
    plan = make_plan(suites.parse(document(**fields)), history=History.of(store))
    options = Options(folder / "cache", workers=workers, **{"plugins": PLUGINS, **limits})
    return execute(plan, store, options, observer), store


def frame(store: Store) -> pd.DataFrame:
    return store.read().to_pandas().sort_values("cell_id").reset_index(drop=True)


def gone(pid: int, *, within: float = 5.0) -> bool:
    """Whether a process ends (or waits for nothing but its parent) soon."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, pd.DataFrame, list[int]]:
    """One run of two workers in which nearly everything goes wrong."""
    for plugin in PLUGINS:
        registry.load_module(plugin)
    folder = tmp_path_factory.mktemp("faults")
    mark = folder / "pids"
    outcome, store = run(
        folder,
        workers=2,
        timeout=6.0,
        memory=1_000_000_000,
        explainers=[
            "segfaults", {"name": "hangs", "params": {"mark": str(mark)}}, "allocates", "exits", "vanishes",
            "prints", "doubles", "words", "nan_map", "wrong_shape", "gradient",
        ],
    )  # fmt: skip
    pids = [int(pid) for pid in mark.read_text().split()]
    return outcome, frame(store).set_index(["explainer", "metric"]).sort_index(), pids


FATES = {
    "segfaults": ("failed", "WorkerDied", "was ended by SIGSEGV"),
    "hangs": ("timeout", "Timeout", "no end after 6 s (--timeout), before the first score"),
    "allocates": ("oom", "MemoryLimit", "more than the 1.0 GB of --memory"),
    "exits": ("failed", "SystemExit", "I have had enough"),
    "vanishes": ("failed", "WorkerDied", "ended itself with exit code 7"),
    "words": ("failed", "TypeError", "numpy.str_"),
    "wrong_shape": ("failed", "ValueError", "shape (8, 5)"),
    "prints": ("ok", None, None),
    "doubles": ("ok", None, None),
    "nan_map": ("undefined", None, "no sample"),
    "gradient": ("ok", None, None),
}


@pytest.mark.parametrize("explainer", list(FATES))
def test_a_fault_costs_its_own_cells(explainer: str, faults: tuple[Outcome, pd.DataFrame, list[int]]) -> None:
    status, kind, message = FATES[explainer]
    rows = faults[1].loc[explainer]
    assert rows["status"].tolist() == [status, status]
    assert rows["error_kind"].map(lambda k: k if isinstance(k, str) else None).tolist() == [kind, kind]
    if message is not None:
        assert rows["message"].str.contains(message, regex=False).all(), rows["message"].tolist()
    assert rows["score_key"].notna().all(), "so that the next run knows what has failed"


def test_all_that_went_wrong_is_counted_and_said(faults: tuple[Outcome, pd.DataFrame, list[int]]) -> None:
    outcome, rows, _ = faults
    assert outcome.end == "finished"
    assert outcome.statuses == {"ok": 6, "undefined": 2, "failed": 10, "timeout": 2, "oom": 2}
    last_words = rows.loc[("segfaults", "sparseness"), "traceback"]
    assert "reading from nowhere" in last_words
    assert "Segmentation fault" in last_words


def test_what_a_worker_has_started_ends_with_it(faults: tuple[Outcome, pd.DataFrame, list[int]]) -> None:
    assert len(faults[2]) == 4
    for pid in faults[2]:
        assert gone(pid)


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
    for workers in (1, 2):
        again, other = run(tmp_path / str(workers), workers=workers, **fields)
        assert again.statuses == outcome.statuses
        assert (again.explained, again.cached) == (outcome.explained, outcome.cached)
        assert again.gates == outcome.gates
        pd.testing.assert_frame_equal(expected, frame(other).drop(columns=TIMES), check_exact=True)
    once_more, _ = run(tmp_path / "1", workers=2, **{**fields, "problems": fields["problems"]})
    assert once_more.statuses == {"failed": outcome.statuses["failed"]}
    assert once_more.cached == outcome.statuses.total() - outcome.statuses["failed"]


def test_cells_before_a_death_are_kept_and_the_unit_is_tried_again_if_asked(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    metrics = ["sparseness", {"name": "dies_once", "params": {"mark": mark}}, "own_metric", "dies", "complexity"]
    outcome, store = run(tmp_path, metrics=metrics, retry=1)
    rows = frame(store).set_index("metric")
    assert outcome.statuses == {"ok": 3, "failed": 2}
    assert set(rows.query("status == 'failed'").index) == {"dies", "complexity"}
    assert "SIGKILL" in rows.loc["dies", "message"]
    assert rows.loc["dies", "message"].endswith("after 2 of 4 cells")


def test_a_problem_that_kills_workers_is_given_up(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    models = [{"name": "deadly", "params": {"mark": str(mark)}}, "exact"]
    problems = [{"dataset": "tiny", "models": models}]
    outcome, store = run(tmp_path, workers=2, problems=problems, explainers=["gradient", "weights_times_input"])
    rows = frame(store)
    assert outcome.statuses == {"ok": 4, "failed": 4}
    assert rows.query("model.str.startswith('deadly')")["message"].str.contains("while it prepared").all()
    assert mark.read_text() == "xx"


class StopAfter(Observer):
    """Asks for the end after some units."""

    def __init__(self, units: int, signals: list[int]) -> None:
        self.left = units
        self.signals = signals

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        self.left -= 1
        if self.left == 0:
            for number in self.signals:
                os.kill(os.getpid(), number)


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_an_interrupted_pool_resumes(tmp_path: Path, signals: list[int]) -> None:
    fields: dict[str, Any] = {"controls": True, "metrics": ["sparseness", "own_metric", "weight_agreement"]}
    first, store = run(tmp_path, StopAfter(3, signals), **fields)
    assert first.end == "interrupted"
    done = len(frame(store))
    assert done >= first.statuses.total() > 0
    rest, _ = run(tmp_path, workers=0, **fields)
    assert rest.end == "finished"
    assert rest.cached == done
    assert set(frame(store)["status"]) == {"ok"}


def test_workers_share_a_long_unit_and_nothing_is_asked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "WORTH_STARTING", 0.0)
    monkeypatch.setattr(pool, "WORTH_ASKING", 0.0)
    asked = tmp_path / "asked"
    fields: dict[str, Any] = {
        "problems": [{"functions": {"name": "many_lines", "params": {"n": 64}}}],
        "explainers": [],
        "interpreters": [{"name": "slowly", "params": {"log": str(asked)}}],
        "metrics": ["right_slope"],
    }
    outcome, store = run(tmp_path, workers=2, **fields)
    lines = [line.split() for line in asked.read_text().splitlines()]
    assert outcome.statuses == {"ok": 1}
    assert frame(store)["scores"][0].tolist() == [1.0] * 64
    assert sorted(name for _, name in lines) == [f"line/{i:03d}" for i in range(64)]
    assert len({pid for pid, _ in lines}) == 2


def test_workers_end_with_a_parent_that_is_killed_and_nothing_finished_is_lost(tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    fields = {"explainers": ["gradient", {"name": "hangs", "params": {"mark": str(mark)}}]}
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_pool
for plugin in test_pool.PLUGINS:
    test_pool.registry.load_module(plugin)
test_pool.run(Path({str(tmp_path)!r}), **{fields!r})
"""
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        deadline = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        parent.kill()
    pids = [int(pid) for pid in mark.read_text().split()]
    worker, forked, in_group, _in_its_own_session = pids
    with contextlib.suppress(ProcessLookupError):
        os.kill(_in_its_own_session, signal.SIGKILL)  # beyond the reach of any group
    assert all(gone(pid) for pid in (worker, forked, in_group))
    rows = frame(Store(tmp_path / "store"))
    assert rows["status"].tolist() == ["ok", "ok"]
    assert rows["explainer"].tolist() == ["gradient", "gradient"]


def test_components_that_workers_do_not_know_are_named(tmp_path: Path) -> None:
    with pytest.raises(XaibenchError, match="unknown dataset 'tiny'"):
        run(tmp_path, plugins=())
    assert not multiprocessing.active_children()


def test_workers_that_do_not_start_are_an_error(tmp_path: Path) -> None:
    plugin = tmp_path / "fatal.py"
    plugin.write_text("import os, sys\nprint('no way', file=sys.stderr)\nos._exit(3)\n")
    with pytest.raises(XaibenchError, match=r"do not start: the last one ended itself with exit code 3\nno way"):
        run(tmp_path, plugins=(str(plugin),))
