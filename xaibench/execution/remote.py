"""Chunks of units for other machines: what is sent, how it is run there, and what comes back."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from xaibench._version import __version__
from xaibench.core.errors import StoreError
from xaibench.core.source_files import imported_files
from xaibench.core.storage.paths import cache_folder
from xaibench.execution.messages import WorkerError
from xaibench.execution.pool import Pool
from xaibench.execution.task import (
    Emit,
    Event,
    Finished,
    Job,
    Options,
    Scored,
    Started,
    Stop,
    Task,
    UnitsFailed,
    WorkerGone,
)
from xaibench.execution.threads import computing_with
from xaibench.execution.worker import check_known, load_components
from xaibench.execution.worker_loop import UnitRunner
from xaibench.store import Row, Store
from xaibench.store.generations import part_files
from xaibench.store.runs import Runs
from xaibench.store.tables import DamagedError, from_bytes

_CARRIED = ("attributions", "interpretations", "examples", "curves")
_lock = threading.Lock()


@dataclass(frozen=True)
class Chunk:
    """Some units of one problem, with all that another machine needs to run them.

    Attributes
    ----------
    task : Task
    store : str
        Folder or URL of the store, as the parent calls it.
    run_id : str
        What the run is called in that store: a machine that reads it there sees the same store.
    options : Options
        As they hold over there: ``workers`` processes, or 0 for the one that has the chunk.
    sources : tuple of (path, content)
        Plugin files, for machines that do not see them.
    versions : dict
        Of the packages that numbers depend on, as the parent has them.
    """

    task: Task
    store: str
    run_id: str
    options: Options
    sources: tuple[tuple[str, bytes], ...] = ()
    versions: dict[str, str] = field(default_factory=lambda: versions())


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on, without the build that a wheel names."""
    found = {"xaibench": __version__, "torch": str(torch.__version__), "numpy": np.__version__}
    return {name: version.partition("+")[0] for name, version in found.items()}


class ChunkFactory:
    """Makes chunks of tasks.

    Parameters
    ----------
    store : Store
    options : Options
    """

    def __init__(self, store: Store, options: Options) -> None:
        self.store = store
        self.options = options
        self._run_ids: dict[int, str] = {}
        self._place = str(store.path.resolve() if isinstance(store.path, Path) else store.path)
        files = [Path(p) for p in options.plugins if Path(p).is_file()]
        own = dict.fromkeys(source for f in files for source in _with_imports(f.resolve()))
        self._sources = tuple((str(source), source.read_bytes()) for source in own)
        modules = tuple(p for p in options.plugins if not Path(p).is_file())
        plugins = (*modules, *(str(f.resolve()) for f in files))
        self._options = replace(options, plugins=plugins, argv=None)

    def chunk(self, task: Task) -> Chunk:
        """One chunk with all units of a task."""
        if task.run not in self._run_ids:
            self._run_ids[task.run] = Runs(self.store.files).run_id(task.run)
        return Chunk(task, self._place, self._run_ids[task.run], self._options, self._sources)

    def divide(self, tasks: Iterable[Task], size: int) -> Iterator[Chunk]:
        """Chunks of at most ``size`` units, as they are asked for."""
        for task in tasks:
            for start in range(0, len(task.jobs), size):
                yield self.chunk(task.only(*task.jobs[start : start + size]))


class ChunkProgress:
    """What has come back of a chunk, each thing once, however often its work was begun."""

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.begun: set[int] = set()
        self.finished: set[int] = set()
        self._scored: dict[int, set[str]] = {}

    def take(self, event: Event, emit: Emit) -> None:
        """Pass an event on, if it is news."""
        match event:
            case Started(number):
                self.begun.add(number)
            case Scored(number, row):
                seen = self._scored.setdefault(number, set())
                if row.cell_id in seen:
                    return
                seen.add(row.cell_id)
            case Finished(number):
                self.finished.add(number)
            case UnitsFailed(numbers):
                self.finished.update(numbers)
        emit(event)

    def partly(self, number: int) -> bool:
        """Whether there are rows of a unit that is not finished."""
        return number not in self.finished and bool(self._scored.get(number))

    def rest(self) -> list[Job]:
        """What is left to do: units that are not finished, without their cells that have a row."""
        left = [j for j in self.chunk.task.jobs if j.number not in self.finished]
        return [j.without(self._scored.get(j.number, ())) for j in left]


@dataclass
class ChunkResult:
    """What a machine sends back that cannot write into the store: its events, and the files of its explanations."""

    events: list[Event] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def save(self, store: Store) -> None:
        """Write the files into the store."""
        for name, content in self.files.items():
            store.files.write(name, content)


def written(store: Store, task: Task) -> Iterator[Event]:
    """What is in the store of units that another machine has begun in this run and may not have reported."""
    numbers = {j.unit.unit_id: j.number for j in task.jobs}
    found: dict[int, list[Row]] = {}
    for name in part_files(store.files):
        unit, _, tail = name.rpartition("/")[2].partition("-")
        if unit in numbers and tail.startswith(f"{task.run:06d}-"):
            try:
                records = from_bytes(store.files.read(name), name=name).to_pylist()
            except (DamagedError, FileNotFoundError):
                continue
            found.setdefault(numbers[unit], []).extend(Row(**record) for record in records)
    for number, rows in found.items():
        yield Started(number, tuple(r.cell_id for r in rows))
        yield from (Scored(number, row) for row in rows)


@contextmanager
def one_chunk_at_a_time() -> Iterator[None]:
    """One chunk at a time in this process: units share thread counts, the registry and the problem in memory."""
    with _lock:
        yield


def work_off(chunk: Chunk, emit: Emit, stop: Stop) -> dict[str, bytes]:
    """Run a chunk in this process; its results go into the store itself if that is visible from here.

    Units, and cells of units, that are in the store from an earlier attempt are taken from there.

    Returns
    -------
    dict of str to bytes
        Files of explanations for the store, where it is not seen from here; their rows are told as
        `WorkerGone`, so that the receiver of the events writes them.
    """
    _check_versions(chunk)
    options = _here(chunk)
    load_components(options)
    check_known(chunk.task)
    store = _shared(chunk)
    if store is not None:
        _work(chunk, store, options, emit, stop)
        return {}
    with tempfile.TemporaryDirectory(prefix="xaibench-") as folder:
        store = Store(folder, create=True)
        _work(chunk, store, options, _told(emit), stop)
        _runners.clear()
        names = [name for kind in _CARRIED for name in store.files.find(kind)]
        return {name: store.files.read(name) for name in names}


def _work(chunk: Chunk, store: Store, options: Options, emit: Emit, stop: Stop) -> None:
    progress = ChunkProgress(chunk)
    for event in written(store, chunk.task):
        progress.take(event, emit)
    task = chunk.task.only(*progress.rest())
    if options.workers:
        Pool(store, options).run(iter([task]), emit, stop)
        return
    place = _place(store, options)
    with computing_with(options.threads):
        place.work(task, emit, stop)


def _told(emit: Emit) -> Emit:
    """Say of every unit, before it is finished, that its rows are written nowhere."""

    def tell(event: Event) -> None:
        if isinstance(event, Finished):
            emit(WorkerGone(event.number))
        emit(event)

    return tell


def _check_versions(chunk: Chunk) -> None:
    """Refuse work whose numbers would differ, or that was loaded before a plugin was edited."""
    here = versions()
    other = [f"{name} {here[name]} instead of {said}" for name, said in chunk.versions.items() if here[name] != said]
    if other:
        raise WorkerError(f"a worker has {', '.join(other)}", "install the same versions everywhere")
    for path, content in chunk.sources:
        if _loaded.setdefault(path, content) != content:
            raise WorkerError(f"{path} has changed since a worker loaded it", "restart the workers")


_loaded: dict[str, bytes] = {}
_runners: dict[str, UnitRunner] = {}


def _place(store: Store, options: Options) -> UnitRunner:
    """The workplace of the last chunk, if it serves: it has the problem in memory."""
    key = f"{store.path} {options}"
    if key not in _runners:
        _runners.clear()
        _runners[key] = UnitRunner(store, options)
    return _runners[key]


def _here(chunk: Chunk) -> Options:
    """Options as they hold on this machine: folders and plugin files that are not there are replaced."""
    options = chunk.options
    if options.cache is not None and not options.cache.is_dir():
        options = replace(options, cache=cache_folder())
    sent = {path for path, _ in chunk.sources}
    plugins = tuple(_file(p, _beside(p, chunk.sources)) if p in sent else p for p in options.plugins)
    return replace(options, plugins=plugins)


def _with_imports(plugin: Path) -> list[Path]:
    """A plugin file and the modules of its folder that it imports."""
    files = imported_files(plugin, [plugin.parent]).values()
    return [file for file in files if file.is_relative_to(plugin.parent)]


def _beside(path: str, sources: Iterable[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """Names and contents of what was sent from the folder of a file, by the way from there."""
    folder = Path(path).parent
    return tuple((str(Path(p).relative_to(folder)), c) for p, c in sources if Path(p).is_relative_to(folder))


@cache
def _file(path: str, files: tuple[tuple[str, bytes], ...]) -> str:
    """A plugin file on this machine: the file itself if all that was sent is the same here, else a copy."""
    with contextlib.suppress(OSError):
        if all((Path(path).parent / name).read_bytes() == content for name, content in files):
            return path
    folder = Path(tempfile.mkdtemp(prefix="xaibench-plugin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in files:
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    return str(folder / Path(path).name)


def _shared(chunk: Chunk) -> Store | None:
    """The parent's store, if it is seen from here."""
    try:
        store = Store(chunk.store)
        return store if Runs(store.files).run_id(chunk.task.run) == chunk.run_id else None
    except StoreError:
        return None
