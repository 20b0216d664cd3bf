"""Chunks: what one machine sends to another, what that one finds there, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.cluster_runs import PLUGINS, assert_same, document, load, run
from pydantic import Field

from xaibench import suite as suites
from xaibench.core import registry
from xaibench.core.errors import UsageError
from xaibench.execution import Options, execute, find_executor, remote
from xaibench.execution.messages import WorkerError
from xaibench.execution.remote import Chunk, ChunkFactory, ChunkProgress, ChunkResult, work_off, written
from xaibench.execution.settings import Amount, Amounts, Count, ExecutorSettings
from xaibench.execution.task import Emit, Finished, Scored, Started, Stop, Task, WorkerGone
from xaibench.plan import make_plan
from xaibench.store import Store


class Posted:
    """An executor that has every chunk worked off here, as another machine would, or not at all."""

    def __init__(
        self, store: Store, options: Options, *, size: int = 2, elsewhere: bool = False, dies: int = 0
    ) -> None:
        self.factory = ChunkFactory(store, options)
        self.store = store
        self.size = size
        self.elsewhere = elsewhere
        self.dies = dies
        self.told: list[Any] = []

    def run(self, tasks: Any, emit: Emit, stop: Stop) -> None:
        for chunk in self.factory.divide(tasks, self.size):
            sent = replace(chunk, store=chunk.store + "-unseen") if self.elsewhere else chunk
            for _ in range(self.dies):
                with pytest.raises(KeyboardInterrupt):
                    work_off(sent, self._die_after_two_scores(), stop)
            answer = ChunkResult()
            answer.files = work_off(sent, answer.events.append, stop)
            answer.save(self.store)
            self.told += answer.events
            progress = ChunkProgress(chunk)
            for event in answer.events:
                progress.take(event, emit)
            assert not progress.rest()

    @staticmethod
    def _die_after_two_scores() -> Emit:
        seen: list[Any] = []

        def emit(event: Any) -> None:
            seen.append(event)
            if sum(isinstance(e, Finished) for e in seen) == 1:
                raise KeyboardInterrupt

        return emit


def posted(folder: Path, fields: dict[str, Any], **how: Any) -> tuple[Any, Posted, Store]:
    load()
    store, options = Store(folder / "store", create=True), Options(folder / "cache", plugins=PLUGINS)
    executor = Posted(store, options, **how)
    return execute(make_plan(suites.parse(document(**fields))), store, options, executor=executor), executor, store


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    return run(tmp_path / "plain")[1]


def test_where_the_store_is_seen_results_are_written_there(tmp_path: Path, plain: Store) -> None:
    outcome, executor, store = posted(tmp_path, {})
    assert outcome.statuses == {"ok": 6}
    assert not any(isinstance(e, WorkerGone) for e in executor.told)
    assert_same(plain, store)


def test_where_it_is_not_rows_and_explanations_come_back(tmp_path: Path, plain: Store) -> None:
    outcome, executor, store = posted(tmp_path, {}, elsewhere=True)
    assert outcome.statuses == {"ok": 6}
    assert sum(isinstance(e, WorkerGone) for e in executor.told) == 3
    assert_same(plain, store)
    assert store.files.find("attributions") == plain.files.find("attributions")
    assert len(store.files.find("attributions")) == 3
    assert not store.check()


def test_answers_of_interpreters_come_back_too(tmp_path: Path) -> None:
    fields = {"problems": [{"functions": "tiny_lines", "samples": 2}], "explainers": [], "interpreters": ["two_points"]}
    fields["metrics"] = ["tiny_fit"]
    expected = run(tmp_path / "plain", **fields)[1]
    _, _, store = posted(tmp_path, fields, elsewhere=True)
    assert_same(expected, store)
    assert len(store.files.find("interpretations")) == len(expected.files.find("interpretations")) > 0


def test_what_an_attempt_has_finished_the_next_one_takes_from_the_store(tmp_path: Path, plain: Store) -> None:
    outcome, executor, store = posted(tmp_path, {}, size=3, dies=1)
    assert outcome.statuses == {"ok": 6}
    assert outcome.explained + outcome.reused == 3
    assert_same(plain, store)
    assert len(store.read(every=True)) == 6, "nothing was computed twice"
    begun = [e.number for e in executor.told if isinstance(e, Started)]
    assert begun == [1, 1, 2, 3], "the first one came from the store"


@pytest.fixture
def sent(tmp_path: Path) -> tuple[Store, Task]:
    """A store, and the only task of a run in it that nobody has worked off."""
    captured: list[Task] = []

    class Capture:
        def run(self, tasks: Any, emit: Emit, stop: Stop) -> None:
            captured.extend(tasks)

    load()
    store = Store(tmp_path / "store", create=True)
    execute(make_plan(suites.parse(document())), store, Options(), executor=Capture())
    return store, captured[0]


def test_only_parts_of_this_run_and_these_units_count_as_an_earlier_attempt(sent: tuple[Store, Task]) -> None:
    store, task = sent
    assert list(written(store, task)) == []  # their failures are in a generation
    own, other = task.jobs[0], task.jobs[1]
    chunk = ChunkFactory(store, Options(plugins=PLUGINS)).chunk(task.only(own))
    work_off(chunk, lambda event: None, lambda: False)
    assert {e.number for e in written(store, task) if isinstance(e, Scored)} == {own.number}
    assert list(written(store, task.only(other))) == []
    assert list(written(store, replace(task, run=task.run + 1))) == []


def test_another_store_of_the_same_name_is_left_alone(sent: tuple[Store, Task]) -> None:
    store, task = sent
    chunk = replace(ChunkFactory(store, Options(plugins=PLUGINS)).chunk(task), run_id="the run of another store")
    files = work_off(chunk, lambda event: None, lambda: False)
    assert sorted(name.partition("/")[0] for name in files) == ["attributions"] * 3 + ["examples"]
    assert store.files.find("parts") == {}


@pytest.fixture
def chunk(tmp_path: Path) -> Chunk:
    load()
    return Chunk(Task(None, (), 1), str(tmp_path), "", Options(plugins=PLUGINS))  # type: ignore[arg-type]


def test_other_versions_are_refused(chunk: Chunk) -> None:
    other = replace(chunk, versions={**chunk.versions, "torch": "1.0.0"})
    with pytest.raises(WorkerError, match=r"a worker has torch \S+ instead of 1.0.0"):
        work_off(other, lambda event: None, lambda: False)


def test_a_plugin_that_was_edited_is_not_run_as_it_was(chunk: Chunk, tmp_path: Path) -> None:
    path = str(tmp_path / "mine.py")
    remote._check_versions(replace(chunk, sources=((path, b"a = 1"),)))
    with pytest.raises(WorkerError, match="has changed since a worker loaded it"):
        remote._check_versions(replace(chunk, sources=((path, b"a = 2"),)))


def test_plugins_and_cache_travel_to_machines_without_them(tmp_path: Path) -> None:
    there = tmp_path / "there.py"
    there.write_text("x = 1\n")
    factory = ChunkFactory(Store(tmp_path / "s", create=True), Options(tmp_path / "none", plugins=(str(there), "json")))
    sent = Chunk(Task(None, (), 1), "", "", factory._options, factory._sources)  # type: ignore[arg-type]
    same = remote._here(sent)
    assert same.plugins == ("json", str(there))
    there.write_text("x = 2\n")
    remote._file.cache_clear()
    moved = remote._here(sent)
    assert moved.plugins[1] != str(there)
    assert Path(moved.plugins[1]).read_text() == "x = 1\n"
    assert Path(moved.plugins[1]).name == "there.py"
    assert moved.cache is not None
    assert moved.cache != tmp_path / "none"


def test_modules_that_a_plugin_imports_travel_with_it(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    (lab / "parts").mkdir(parents=True)
    (lab / "mine.py").write_text("import helper\nN = helper.n()\n")
    (lab / "helper.py").write_text("def n():\n    from parts import numbers\n    return numbers.N\n")
    (lab / "parts" / "numbers.py").write_text("N = 3\n")
    (lab / "unused.py").write_text("N = 4\n")
    options = Options(tmp_path / "none", plugins=(str(lab / "mine.py"),))
    factory = ChunkFactory(Store(tmp_path / "s", create=True), options)
    assert {Path(path).name for path, _ in factory._sources} == {"mine.py", "helper.py", "numbers.py"}
    sent = Chunk(Task(None, (), 1), "", "", factory._options, factory._sources)  # type: ignore[arg-type]
    assert remote._here(sent).plugins == (str(lab / "mine.py"),)
    (lab / "parts" / "numbers.py").write_text("N = 5\n")
    remote._file.cache_clear()
    moved = remote._here(sent).plugins[0]
    assert moved != str(lab / "mine.py")
    assert registry.load_module(moved).N == 3


def test_executors_come_from_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs.py").write_text(
        "class Theirs:\n"
        "    def __init__(self, store, options):\n"
        "        self.place = (store, options)\n"
        "    def run(self, tasks, emit, stop):\n"
        "        from xaibench.execution.worker_loop import UnitRunner\n"
        "        for task in tasks:\n"
        "            UnitRunner(*self.place).work(task, emit, stop)\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[xaibench.executors]\ntheirs = theirs:Theirs\n")
    monkeypatch.syspath_prepend(tmp_path)
    outcome, _ = run(tmp_path / "run", "theirs")
    assert outcome.statuses == {"ok": 6}


def test_unknown_executors_settings_and_missing_packages_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="unknown executor 'dusk'") as error:
        run(tmp_path, "dusk")
    assert "dask" in str(error.value.hint)
    with pytest.raises(UsageError, match="executor pool has no setting 'scheduler'"):
        run(tmp_path, "pool", settings={"scheduler": "tcp://x"})
    for name, package in (("dask", "distributed"), ("slurm", "submitit")):
        with monkeypatch.context() as patch:
            patch.setitem(__import__("sys").modules, package, None)
            patch.delitem(__import__("sys").modules, f"xaibench.execution.{name}_executor", raising=False)
            with pytest.raises(UsageError, match=f"needs the package {package}") as error:
                find_executor(name, Store(tmp_path / "store"), Options())
        assert error.value.hint == f"pip install 'xaibench[{name}]'"
    assert Store(tmp_path / "store").manifests() == [], "no run was begun"


class Settings(ExecutorSettings):
    units: Count | None = None
    resources: Amounts = Field(default_factory=dict)
    wait: Amount = 60.0


class OpenSettings(Settings, extra="allow"):
    """Takes what it does not name, too."""


def test_settings_are_read_strictly() -> None:
    given = {"units": "4", "resources": "GPU=1, MEM=8e9", "other": "x"}
    settings = OpenSettings.read("mine", given)
    assert settings.units == 4
    assert settings.resources == {"GPU": 1.0, "MEM": 8e9}
    assert settings.wait == 60.0
    assert settings.model_extra == {"other": "x"}
    with pytest.raises(UsageError, match="executor mine has no setting 'other'"):
        Settings.read("mine", given)
    with pytest.raises(UsageError, match="executor mine has no setting 'unit'") as error:
        Settings.read("mine", {"unit": "4"})
    assert "units" in str(error.value.hint)
    with pytest.raises(UsageError, match="executor mine has no setting 'unit'") as error:
        ExecutorSettings.read("mine", {"unit": "4"})
    assert error.value.hint == "name another one with --executor"


@pytest.mark.parametrize("wrong", ["0", "-1", "x", "1.5", "4.0", "", " 4", "1_0"])
def test_counts_are_whole_numbers_above_0(wrong: str) -> None:
    with pytest.raises(UsageError) as error:
        Settings.read("mine", {"units": wrong})
    assert error.value.message == f"units={wrong} of executor mine must be a whole number above 0"


@pytest.mark.parametrize("wrong", ["nan", "inf", "-1", "x", ""])
def test_amounts_are_finite_numbers_of_0_or_more(wrong: str) -> None:
    for name, text in (("wait", wrong), ("resources", f"GPU={wrong}")):
        with pytest.raises(UsageError) as error:
            Settings.read("mine", {name: text})
        assert error.value.message == f"{wrong!r} in {name} of executor mine is not a number of 0 or more"
    least = Settings.read("mine", {"wait": "0", "resources": ""})
    assert (least.wait, least.resources) == (0.0, {})
