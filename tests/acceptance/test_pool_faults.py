"""Whatever a component does to the process that it runs in costs its own cells, and the reason is in the row.

One run of two workers meets nearly every fault; the others need runs of their own. Takes a minute or
two, most of it for the import of torch in workers that take the place of others.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers import pooled
from helpers.pooled import TIMES, StopAfter, frame, gone, run

import xaibench as xb
from xaibench.core.errors import XaibenchError
from xaibench.core.storage.paths import shipped
from xaibench.execution import Outcome, pool
from xaibench.store import Store


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, pd.DataFrame, list[int]]:
    """One run of two workers in which nearly everything goes wrong."""
    folder = tmp_path_factory.mktemp("faults")
    mark = folder / "pids"
    outcome, store = run(
        folder,
        workers=2,
        timeout=20.0,
        memory=1_000_000_000,
        explainers=[
            "segfaults", {"name": "hangs", "params": {"mark": str(mark)}}, "allocates", "exits", "vanishes",
            "prints", "forks", "says_nothing", "doubles", "words", "nan_map", "wrong_shape", "gradient",
        ],
    )  # fmt: skip
    pids = [int(pid) for pid in mark.read_text().split()]
    return outcome, frame(store).set_index(["explainer", "metric"]).sort_index(), pids


FATES = {
    "segfaults": ("failed", "WorkerDied", "was ended by SIGSEGV"),
    "hangs": ("timeout", "Timeout", "not finished after 20 s (--timeout), while it explained"),
    "allocates": ("oom", "MemoryLimit", "more than the 1.0 GB of --memory"),
    "exits": ("failed", "SystemExit", "I have had enough"),
    "vanishes": ("failed", "WorkerDied", "ended itself with exit code 7"),
    "words": ("failed", "TypeError", "numpy.str_"),
    "wrong_shape": ("failed", "ValueError", "shape (8, 5)"),
    "prints": ("ok", None, None),
    "forks": ("ok", None, None),
    "says_nothing": ("failed", "ValueError", "half a character: ?, and a long story"),
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
    assert outcome.statuses == {"ok": 8, "undefined": 2, "failed": 12, "timeout": 2, "oom": 2}
    last_words = rows.loc[("segfaults", "sparseness"), "traceback"]
    assert "reading from nowhere" in last_words
    assert "Segmentation fault" in last_words


def test_what_a_worker_has_started_ends_with_it(faults: tuple[Outcome, pd.DataFrame, list[int]]) -> None:
    assert len(faults[2]) == 4
    for pid in faults[2]:
        assert gone(pid)


def test_a_fork_that_comes_back_does_not_answer_for_its_worker(tmp_path: Path) -> None:
    explainers = ["forks", "gradient", "weights_times_input", "doubles", "smoothgrad"]
    outcome, _ = run(tmp_path, explainers=explainers)
    assert outcome.statuses == {"ok": 10}


def test_a_problem_that_kills_workers_is_given_up(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    models = [{"name": "deadly", "params": {"mark": str(mark)}}, "exact"]
    problems = [{"dataset": "tiny", "models": models}]
    outcome, store = run(tmp_path, workers=2, problems=problems, explainers=["gradient", "weights_times_input"])
    rows = frame(store)
    assert outcome.statuses == {"ok": 4, "failed": 4}
    assert rows.query("model.str.startswith('deadly')")["message"].str.contains("while it prepared").all()
    assert mark.read_text() == "xx"


def test_workers_share_a_long_unit_and_nothing_is_asked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORTH_STARTING", "WORTH_ASKING"):
        monkeypatch.setattr(pool, name, 0.0)
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


def test_a_second_interrupt_ends_a_pool_at_once(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"controls": True, "metrics": ["sparseness", "own_metric", "weight_agreement"]}
    first, store = run(tmp_path, StopAfter(3, [signal.SIGINT, signal.SIGINT]), **fields)
    assert first.end == "interrupted"
    done = len(frame(store))
    assert done >= first.statuses.total() > 0
    rest, _ = run(tmp_path, workers=0, **fields)
    assert rest.end == "finished"
    assert rest.cached == done
    assert set(frame(store)["status"]) == {"ok"}


def test_workers_end_with_a_parent_that_is_killed_and_nothing_finished_is_lost(tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    fields = {"explainers": ["gradient", {"name": "hangs", "params": {"mark": str(mark)}}]}
    script = f"import pathlib; from helpers import pooled; pooled.run(pathlib.Path({str(tmp_path)!r}), **{fields!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(pooled.__file__).parents[1]), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as parent:
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


def test_workers_that_do_not_start_are_an_error(tmp_path: Path) -> None:
    plugin = tmp_path / "fatal.py"
    plugin.write_text("import os, sys\nprint('no way', file=sys.stderr)\nos._exit(3)\n")
    with pytest.raises(XaibenchError, match=r"do not start: the last one ended itself with exit code 3\nno way"):
        run(tmp_path, plugins=(str(plugin),))


def test_numbers_of_a_shipped_suite_do_not_depend_on_workers(tmp_path: Path) -> None:
    suite = {**tomllib.loads((shipped("suites") / "quick.toml").read_text()), "name": "quick", "samples": 8}
    frames = []
    for workers in (0, 1, 2):
        found = frame(Store(xb.run(suite, store=tmp_path / str(workers), workers=workers).store))
        frames.append(found.drop(columns=[*TIMES, "explain_cached"]))
        assert len(found) > 2000
    for other in frames[1:]:
        pd.testing.assert_frame_equal(frames[0], other, check_exact=True)
