"""Main loop of a worker process: a task in, events out, until the parent ends it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from xaibench.core import registry
from xaibench.core.components import KINDS
from xaibench.core.deferring import deferring
from xaibench.core.errors import XaibenchError
from xaibench.core.trust import trust_digests
from xaibench.execution.malloc import keep_heap
from xaibench.execution.messages import Broken, Halt, Help, PortionRequest, Ready, Setup, WorkerError
from xaibench.execution.task import Options, Task
from xaibench.execution.threads import computing_with
from xaibench.execution.worker_loop import UnitRunner
from xaibench.store import Store


def serve(fd: int) -> None:
    """Run the tasks that come through this file descriptor; a component is imported when it is first used."""
    deferring.set(True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    with contextlib.suppress(OSError):  # if memory runs out, this process is to go, and not its parent
        Path("/proc/self/oom_score_adj").write_text("500")
    with contextlib.suppress(EOFError, OSError):
        _serve(Connection(fd))


def _serve(connection: Connection) -> None:
    setup: Setup = connection.recv()
    me = os.getpid()

    def send(message: object) -> None:
        if os.getpid() != me:  # a fork that came back from the code that made it
            os._exit(1)
        connection.send(message)

    options = replace(setup.options, device=device_of(setup.options.device, setup.slot))
    try:
        keep_heap()
        load_components(options)
        place = UnitRunner(Store(setup.store), options)
    except XaibenchError as error:
        connection.send(Broken(error))
        return
    connection.send(Ready())
    with computing_with(options.threads):
        while True:
            _take(connection, send, place)


def _take(connection: Connection, send: Callable[[object], None], place: UnitRunner) -> None:
    message = connection.recv()
    if isinstance(message, Halt):  # everything was finished already
        return
    halted = False

    def stop() -> bool:
        nonlocal halted
        if not halted and connection.poll():
            connection.recv()  # while a task runs, nothing but Halt comes unasked
            halted = True
        return halted

    def share(n: int) -> Iterator[int]:
        nonlocal halted
        while not halted:
            send(PortionRequest(n))
            answer = connection.recv()
            if isinstance(answer, Halt):
                halted = True
            elif answer.portion is None:
                return
            else:
                yield answer.portion

    place.share = share
    try:
        if isinstance(message, Help):
            place.help(message.task, message.portion, send, stop)
        else:
            check_known(message)
            place.work(message, send, stop)
    except XaibenchError as error:
        send(Broken(error))
    except Exception as error:
        send(Broken(WorkerError("".join(traceback.format_exception(error)))))
    send(Ready())


def load_components(options: Options) -> None:
    """Make known what a task may name, imported or from the index of declarations; trust what the user trusts."""
    trust_digests(options.trusted)
    for kind in KINDS:
        list(registry.components(kind))
    for plugin in options.plugins:
        registry.load_module(plugin)


def check_known(task: Task) -> None:
    """Raise WorkerError if a component that the task names is not known here."""
    for job in task.jobs:
        try:
            _ = task.problem.versions, job.unit.spec, [metric.spec for metric, _ in job.unit.metrics]
        except XaibenchError as error:
            raise WorkerError(
                f"worker processes do not know a component of the suite: {error.message}",
                "name its file with --plugin (plugins=[...]), or work in this process with -j 0 (workers=0)",
            ) from error


def device_of(device: str, slot: int) -> str:
    """The graphics processor of a slot, where there are several and none is named."""
    count = torch.cuda.device_count() if device == "cuda" else 0
    return f"cuda:{slot % count}" if count > 1 else device
