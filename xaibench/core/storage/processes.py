"""Who writes: names of processes that tell whether their owner still lives."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Literal

from xaibench.core.keys import digest


@cache
def this_host() -> str:
    """Name of the place where process numbers mean something: this machine since it was started, this container."""
    facts = [socket.gethostname()]
    try:
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:  # not on Linux: the name of the machine must do
        pass
    return digest(*facts, size=4)


def this_process() -> str:
    """Name of this process: host and number."""
    return f"{this_host()}-{os.getpid()}"


def process_state(process: str) -> Literal["alive", "dead", "elsewhere"]:
    """Whether the process of this name lives; ``elsewhere`` if it cannot be seen from here.

    A number that was given to another process meanwhile counts as alive: that errs on the safe side.
    """
    host, _, number = process.partition("-")
    if host != this_host() or not number.isdigit():
        return "elsewhere"
    from psutil import pid_exists

    return "alive" if pid_exists(int(number)) else "dead"
