"""Programs from strangers: run in a process that can compute, and nothing else.

A program is Python source that defines ``f(x)``. It never runs in this process. Layers, each of
which holds without the others:

- the syntax tree is checked against lists of what is allowed (`syntax`);
- the program finds a few builtins, and copies of three modules that hold nothing but functions;
- an audit hook refuses files, sockets, processes, imports and the insides of frames, in Python;
- the kernel refuses every system call but those of computing (seccomp), ends the process when this
  one ends, and limits memory, processor time, file sizes, open files and processes (`confinement`);
- this process kills it when it takes too long or says too much, and believes nothing of what it
  says but numbers and texts, as JSON.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xaibench.core.errors import UnsupportedError, XaibenchError
from xaibench.core.programs.black_box import AskAgainError, Values, numeric_outputs, printable
from xaibench.core.types import FunctionKind
from xaibench.functions.sandbox import confinement

LAYERS = ("syntax", "builtins", "audit", "seccomp", "limits")
_WORKER = Path(__file__).resolve().with_name("worker.py")
_KEPT = 4
"""Processes that wait for the next call of their program; the one that was used least recently goes first."""
_START_SECONDS = 30.0


class ProgramError(XaibenchError):
    """A program that was refused, failed on every input, or was stopped."""


class _KilledError(AskAgainError):
    """Somebody killed the process: not the program, which cannot, and not this process."""


@dataclass(frozen=True)
class Limits:
    """What a program may take.

    Attributes
    ----------
    seconds : float
        Processor time for each 256 inputs that it is asked for at once; ten times as much by the clock.
    memory : int
        Bytes of address space, Python itself included.
    output : int
        Bytes of one reply.
    """

    seconds: float = 2.0
    memory: int = 256 * 2**20
    output: int = 4 * 2**20


@dataclass(frozen=True)
class SandboxedProgram:
    """A program as plain data, which can be kept, copied and called.

    Every call begins with a fresh namespace: what a program remembers of one call is gone in the next.

    Attributes
    ----------
    source : str
        Python that defines ``f(x)`` for one input, or for a list of all.
    kind : {"numeric", "string", "neuron", "relation"}
    limits : Limits
    without : frozenset of str
        Of `LAYERS`, those to leave out. For tests, which try the others.
    """

    source: str
    kind: FunctionKind
    limits: Limits = Limits()
    without: frozenset[str] = frozenset()

    def __call__(self, inputs: Values) -> Values:
        """Outputs of the program.

        Returns
        -------
        array (n,) of float64, or list of str
            NaN, or None, where the program failed or gave something else.

        Raises
        ------
        ProgramError
            If it has no output for any input.
        UnsupportedError
            If programs cannot be confined on this system.
        AskAgainError
            If no process can be started at the moment.
        """
        numeric = numeric_outputs(self.kind)
        given = [float(x) for x in inputs] if self.kind == "numeric" else [str(x) for x in inputs]
        reply = self._run(given)
        found = _outputs(reply, len(given), numeric)
        if given and all(x is None for x in found):
            raise ProgramError(_said(reply, "error") or "it gave no output for any input")
        if numeric:
            return np.array([np.nan if x is None else x for x in found], dtype=np.float64)
        return found

    def check(self) -> int:
        """Compile the program, and count the numbers and texts in it.

        Raises
        ------
        ProgramError
            If it is refused, or fails before it is asked for anything.
        """
        size = self._run([]).get("size")
        return size if isinstance(size, int) and size >= 0 else 0

    def _run(self, inputs: Sequence[Any]) -> dict[str, Any]:
        try:
            return self._run_once(inputs)
        except _KilledError:
            return self._run_once(inputs)

    def _run_once(self, inputs: Sequence[Any]) -> dict[str, Any]:
        with _lock:
            process = _process_of(self)
            try:
                return process.ask(inputs)
            except BaseException:
                _dismiss(self)
                raise


def check_supported() -> None:
    """See whether programs can be confined on this system.

    Raises
    ------
    UnsupportedError
        If not.
    """
    if not confinement.supported():
        raise UnsupportedError(
            "programs from strangers run only where the kernel can confine them: Linux on x86_64 or aarch64",
            "run this in a Linux container or virtual machine",
        )


class _Process:
    """One process, for one program."""

    def __init__(self, program: SandboxedProgram) -> None:
        check_supported()
        self._program = program
        limits = program.limits
        self._cpu = max(60, round(30 * limits.seconds))
        options = {"memory": limits.memory, "cpu": self._cpu, "without": sorted(program.without)}
        # -P, -s and an environment of our own are what -I does, but -I would also scatter hashes, and so sets of texts.
        command = [sys.executable, "-P", "-s", "-S", "-B", "-W", "ignore", str(_WORKER), json.dumps(options)]
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                env={"PYTHONHASHSEED": "0"},
                close_fds=True,
                start_new_session=True,
            )
        except OSError as error:
            raise AskAgainError(f"no process can be started for a program: {error}") from error
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._in, self._out = self._popen.stdin.fileno(), self._popen.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._buffer = b""
        self._asked = 0
        try:
            ready = self._reply(time.monotonic() + _START_SECONDS, float("inf"))
        except (ProgramError, TimeoutError) as error:
            self.close()
            raise AskAgainError(f"a process for a program did not start: {error}") from error
        if ready.get("ready") is not True:
            self.close()
            raise UnsupportedError(f"programs cannot be confined here: {_said(ready, 'refused')}")

    @property
    def worn(self) -> bool:
        """Whether the process has used half of the time that it has, or is gone."""
        return self._popen.poll() is not None or self._used() > self._cpu / 2

    def ask(self, inputs: Sequence[Any]) -> dict[str, Any]:
        """Send one request, and wait for its reply."""
        program = self._program
        seconds = program.limits.seconds * max(1.0, len(inputs) / 256)
        self._asked += 1
        request = {
            "id": self._asked,
            "source": program.source,
            "numeric": numeric_outputs(program.kind),
            "inputs": inputs,
        }
        started = time.monotonic()
        allowed, deadline = self._used() + seconds, started + 10 * seconds
        try:
            self._write(json.dumps(request).encode() + b"\n", deadline, allowed)
            reply = self._reply(deadline, allowed)
        except TimeoutError:
            raise ProgramError(f"the program was stopped after {seconds:g} s") from None
        if reply.get("id") != self._asked or self._buffer:
            raise ProgramError("the program disturbed the process that it ran in")
        if "refused" in reply:
            raise ProgramError(f"the program was refused: {_said(reply, 'refused')}")
        if "outputs" not in reply:
            raise ProgramError(_said(reply, "error") or "the program failed")
        return reply

    def _write(self, data: bytes, deadline: float, allowed: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._in, select.POLLOUT, deadline, allowed)
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._end() from None

    def _reply(self, deadline: float, allowed: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._wait(self._out, select.POLLIN, deadline, allowed)
            try:
                more = os.read(self._out, 1 << 20)
            except BlockingIOError:
                continue
            if not more:
                raise self._end()
            self._buffer += more
            if len(self._buffer) > self._program.limits.output:
                raise ProgramError(f"the program gave more than {self._program.limits.output} bytes")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise ProgramError("the program disturbed the process that it ran in")
        return reply

    def _wait(self, pipe: int, event: int, deadline: float, allowed: float) -> None:
        """Wait until the pipe is ready.

        Raises
        ------
        TimeoutError
            By the clock, or by the processor time of the process.
        """
        poll = select.poll()
        poll.register(pipe, event)
        while not poll.poll(20):
            if time.monotonic() > deadline or self._used() > allowed:
                raise TimeoutError

    def _used(self) -> float:
        """Seconds of processor time so far."""
        try:
            return time.clock_gettime(~self._popen.pid << 3 | 2)  # the clock of a process, as in clock_getcpuclockid(3)
        except OSError:
            return 0.0

    def _end(self) -> XaibenchError:
        """How the process ended."""
        try:
            code = self._popen.wait(1)
        except subprocess.TimeoutExpired:
            return ProgramError("the program closed the connection")
        if code == -9:
            return _KilledError("the process of a program was killed from outside: is the memory full?")
        known = {
            -31: "the program was stopped: it tried a system call that is not allowed",
            -24: "the program was stopped: it took too long",
            -25: "the program was stopped: it tried to write a file",
            -11: "the program crashed: it went too deep, or out of memory",
            -6: "the program crashed: out of memory",
        }
        return ProgramError(known.get(code, f"the program ended its process ({code})"))

    def close(self) -> None:
        """End the process, and wait for it to be gone."""
        self._popen.kill()
        for pipe in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(10)


_lock = threading.RLock()
_live: OrderedDict[SandboxedProgram, _Process] = OrderedDict()
_owner = os.getpid()


def _process_of(program: SandboxedProgram) -> _Process:
    """The process of a program; a new one if there is none, or none that is fit."""
    global _owner
    if _owner != os.getpid():  # forked: those processes are the parent's
        _live.clear()
        _owner = os.getpid()
    process = _live.get(program)
    if process is not None and process.worn:
        _dismiss(program)
        process = None
    if process is None:
        while len(_live) >= _KEPT:
            _dismiss(next(iter(_live)))
        process = _live[program] = _Process(program)
    _live.move_to_end(program)
    return process


def _dismiss(program: SandboxedProgram) -> None:
    process = _live.pop(program, None)
    if process is not None:
        process.close()


@atexit.register
def dismiss_all() -> None:
    """End all processes; the next call of a program starts a new one."""
    with _lock:
        if _owner == os.getpid():
            for program in list(_live):
                _dismiss(program)


def _outputs(reply: dict[str, Any], n: int, numeric: bool) -> list[Any]:
    """Outputs of a reply, None for whatever is none."""
    found = reply.get("outputs")
    if not isinstance(found, list) or len(found) != n:
        raise ProgramError("the program disturbed the process that it ran in")
    if numeric:
        return [float(x) if isinstance(x, (int, float)) and _finite(x) else None for x in found]
    return [x if isinstance(x, str) else None for x in found]


def _finite(value: int | float) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except OverflowError:
        return False


def _said(reply: dict[str, Any], field: str) -> str:
    """A text of a reply as one line."""
    return printable(" ".join(str(reply.get(field, "")).split())[:400])
