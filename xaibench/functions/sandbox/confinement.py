"""What the kernel takes from a process that is to run an untrusted program. Standard library only.

Resource limits, and a seccomp filter that leaves it the handful of system calls that computing
needs: no files, no network, no processes, no signals, whatever Python code it comes to run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from typing import Any

_X86_64 = {
    "read": 0, "write": 1, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28, "exit": 60,
    "sigaltstack": 131, "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "exit_group": 231,
    "getrandom": 318,
}  # fmt: skip
_AARCH64 = {
    "read": 63, "write": 64, "exit": 93, "exit_group": 94, "futex": 98, "clock_gettime": 113, "sched_yield": 124,
    "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
    "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233, "getrandom": 278,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}
"""AUDIT_ARCH of <linux/audit.h>, and the numbers of the system calls that stay."""

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_PDEATHSIG, _DUMPABLE, _SECCOMP, _NO_NEW_PRIVS, _FILTER = 1, 4, 22, 38, 2

QUIET_EVENTS = frozenset({"compile", "exec"})
"""Audit events that a program may cause."""


def supported() -> bool:
    """Whether there is a filter for this system."""
    return sys.platform == "linux" and sys.maxsize > 2**32 and platform.machine() in _MACHINES


def confine(*, memory: int, cpu: int, without: Iterable[str] = ()) -> None:
    """Give up what a program does not need. There is no way back.

    Parameters
    ----------
    memory : int
        Bytes of address space.
    cpu : int
        Seconds in all, after which the kernel ends the process.
    without : iterable of str
        ``limits``, ``audit``, ``seccomp``: layers to leave out, so that tests can try the others.

    Raises
    ------
    OSError
        If the kernel does not allow it.
    """
    left_out = set(without)
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, _PDEATHSIG, signal.SIGKILL)
    os.closerange(3, 1024)
    if "limits" not in left_out:
        _limit(memory, cpu)
    _prctl(libc, _DUMPABLE, 0)
    _prctl(libc, _NO_NEW_PRIVS, 1)
    if "seccomp" not in left_out:
        _filter(libc)
    if "audit" not in left_out:
        sys.addaudithook(_refuse)


def _limit(memory: int, cpu: int) -> None:
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 3,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for which, value in limits.items():
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def _filter(libc: Any) -> None:
    """Install the filter: what is not listed ends the process."""
    architecture, calls = _MACHINES[platform.machine()]
    numbers = sorted(calls.values())
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    program += [(_EQUAL, len(numbers) - k, 0, number) for k, number in enumerate(numbers)]
    program += [(_RETURN, 0, 0, _KILL), (_RETURN, 0, 0, _ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    _prctl(libc, _SECCOMP, _FILTER, ctypes.addressof(header))


def _prctl(libc: Any, option: int, *values: int) -> None:
    given = [ctypes.c_ulong(v) for v in (*values, 0, 0, 0, 0)[:4]]
    if libc.prctl(ctypes.c_int(option), *given) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def _refuse(event: str, _arguments: Any) -> None:
    if event not in QUIET_EVENTS:
        raise PermissionError(f"{event} is not allowed")
