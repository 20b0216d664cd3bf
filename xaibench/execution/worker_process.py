"""Handle of a worker process in its parent: started, fed, monitored, and ended with its whole group."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from xaibench.core.programs.black_box import printable
from xaibench.execution.messages import Setup

TAIL = 16 * 1024
"""Last bytes of a worker's output: these are remembered."""
_READ = 1 << 20
_READS = 16
_LINES = 30
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Process:
    """A process in a session of its own, with a two-way connection and its output in a pipe.

    It shares nothing with this process (not even the main script), leaves Ctrl-C to it, and is
    killed with its whole group when this process ends, in any way.

    Parameters
    ----------
    setup : Setup
    """

    def __init__(self, setup: Setup) -> None:
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        self.log, output = os.pipe()
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _READ)
        given = {"connection": theirs.fileno(), "lifeline": lifeline, "path": [str(p) for p in sys.path]}
        threads = dict.fromkeys(_THREADS, str(setup.options.threads))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("bootstrap.py")), json.dumps(given)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **threads},
                pass_fds=(theirs.fileno(), lifeline),
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(lifeline)
            os.close(output)
        self.connection = Connection(ours.detach())
        self._tail = b""
        self.connection.send(setup)

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def read_log(self) -> bool:
        """Take output that is there; False at its end."""
        try:
            new = os.read(self.log, _READ)
        except OSError:
            return False
        self._tail = (self._tail + new)[-TAIL:]
        return bool(new)

    def forget_log(self) -> None:
        """Forget the output so far."""
        self._tail = b""

    def last_words(self) -> str:
        """The last lines of what it wrote to its standard output and error."""
        return "\n".join(printable(self._tail.decode(errors="replace")).splitlines()[-_LINES:])

    def memory(self) -> int:
        """Bytes of memory (RSS) that it and its children hold now."""
        total = 0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            for each in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += each.memory_info().rss
        return total

    def kill(self) -> None:
        """End it and all that it started."""
        children = []
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self.pid).children(recursive=True)  # some may have left the group
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        self._process.wait()
        os.set_blocking(self.log, False)
        for _ in range(_READS):  # one that has left the group may still be printing
            if not self.read_log():
                break

    def close(self) -> None:
        """Give the file descriptors back; after `kill`."""
        self.connection.close()
        for fd in (self.log, self._lifeline):
            os.close(fd)

    def waiting(self) -> bool:
        """Whether a message is there."""
        try:
            return self.connection.poll()
        except OSError:
            return False

    def receive(self) -> Any:
        """The next message.

        Raises
        ------
        EOFError
            If the process has ended, or its end of the connection.
        """
        try:
            return self.connection.recv()
        except OSError as error:
            raise EOFError from error

    def send(self, message: Any) -> bool:
        """Send a message; False if the process is gone."""
        try:
            self.connection.send(message)
        except OSError:
            return False
        return True

    @property
    def killed_by_signal(self) -> bool:
        """Whether it was ended from outside, or by a fault of the processor."""
        code = self._process.returncode
        return code is not None and code < 0

    def how_it_ended(self) -> str:
        """In words."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"ended itself with exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
        return f"was ended by {name} ({signal.strsignal(-code)}){hint}"
