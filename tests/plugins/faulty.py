"""Components that do to a process what should never happen to one."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import xaibench as xb


def _map(problem: xb.ProblemView) -> torch.Tensor:
    return problem.gradients(problem.inputs)


@xb.explainer("segfaults", kind="slope")
def segfaults(problem: xb.ProblemView) -> torch.Tensor:
    """Reads where nothing is."""
    sys.stderr.write("reading from nowhere\n")
    ctypes.string_at(0)
    return _map(problem)


@xb.explainer("hangs", kind="slope")
def hangs(problem: xb.ProblemView, *, mark: str = "") -> torch.Tensor:
    """Sleeps in C with the interpreter lock held, and leaves processes behind, one of them in a session of its own."""
    pids = [subprocess.Popen(["sleep", "600"], start_new_session=own).pid for own in (False, True)]
    child = os.fork()  # holds every file descriptor of this process
    if child == 0:
        time.sleep(600)
        os._exit(0)
    if mark:
        draft = Path(mark).with_suffix(".draft")
        draft.write_text(" ".join(map(str, [os.getpid(), child, *pids])))
        draft.rename(mark)
    ctypes.PyDLL(None).sleep(600)
    return _map(problem)


@xb.explainer("backtracks", kind="slope")
def backtracks(problem: xb.ProblemView) -> torch.Tensor:
    """A regular expression that never comes to an end."""
    re.match(r"(a+)+$", "a" * 60 + "b")
    return _map(problem)


@xb.explainer("allocates", kind="slope")
def allocates(problem: xb.ProblemView, *, most: int = 3000) -> torch.Tensor:
    """Takes memory without end, or nearly: ``most`` megabytes."""
    held = []
    for _ in range(most // 50):
        held.append(np.ones(50_000_000 // 8))
        time.sleep(0.01)
    time.sleep(30)
    return _map(problem)


@xb.explainer("exits", kind="slope")
def exits(problem: xb.ProblemView) -> torch.Tensor:
    """Ends Python."""
    sys.exit("I have had enough")


@xb.explainer("vanishes", kind="slope")
def vanishes(problem: xb.ProblemView) -> torch.Tensor:
    """Ends the process, while a fork of it holds the connection open."""
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    os._exit(7)


@xb.explainer("closes_everything", kind="slope")
def closes_everything(problem: xb.ProblemView) -> torch.Tensor:
    """Closes the connection to the parent and everything else."""
    os.closerange(0, 1000)
    time.sleep(60)
    return _map(problem)


@xb.explainer("prints", kind="slope")
def prints(problem: xb.ProblemView, *, megabytes: int = 1000) -> torch.Tensor:
    """Prints a gigabyte."""
    line = b"x" * 1023 + b"\n"
    for _ in range(megabytes):
        os.write(1, line * 1024)
    return _map(problem)


@xb.explainer("forks", kind="slope")
def forks(problem: xb.ProblemView) -> torch.Tensor:
    """Comes back twice."""
    os.fork()
    return _map(problem)


@xb.explainer("says_nothing", kind="slope")
def says_nothing(problem: xb.ProblemView) -> torch.Tensor:
    """Raises what cannot be written down."""
    raise ValueError("half a character: \ud800, and a long story: " + "la " * 100_000)


@xb.explainer("doubles", kind="slope")
def doubles(problem: xb.ProblemView) -> np.ndarray:
    """Numbers of another type."""
    return _map(problem).double().numpy()


@xb.explainer("words", kind="slope")
def words(problem: xb.ProblemView) -> np.ndarray:
    """No numbers at all."""
    return np.full(tuple(problem.inputs.shape), "a")


@xb.metric("dies_once", family="complexity", higher_is_better=False)
def dies_once(ev: xb.Evaluation, *, mark: str) -> torch.Tensor:
    """Kills its process the first time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return ev.attributions.abs().sum(dim=1)


@xb.metric("dies", family="complexity", higher_is_better=False)
def dies(ev: xb.Evaluation) -> torch.Tensor:
    """Kills its process every time."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ev.attributions


@xb.model("deadly", provides={"gradients", "module"})
def deadly(data: xb.Data, *, mark: str) -> nn.Module:
    """Kills the process that builds it, and counts."""
    with Path(mark).open("a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGSEGV)
    return nn.Identity()


@xb.function_set("many_lines", kind="numeric")
def many_lines(*, seed: int = 0, n: int = 100) -> tuple[xb.BlackBox, ...]:
    """Lines of rising slope."""

    def line(i: int) -> xb.BlackBox:
        def call(x: np.ndarray) -> np.ndarray:
            return float(i) * x

        points = np.linspace(-1, 1, 5)
        return xb.BlackBox(
            f"line/{i:03d}", "numeric", call, call, xb.Domain(-1.0, 1.0), "linear", {"m": float(i)}, f"{i} x", points
        )

    return tuple(line(i) for i in range(n))


def _slope(facts: dict, domain: xb.Domain):
    return lambda x: facts["slope"] * x


@xb.interpreter("slowly", takes={"numeric"}, restore=_slope)
def slowly(f, domain, budget, draws, *, log: str) -> xb.Interpretation:
    """Finds the slope, leaves a line in a file, and waits there for a second process after the eighth one."""
    facts = {"slope": float(f(np.array([1.0]))[0])}
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()} line/{facts['slope']:03.0f}\n")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pids = [line.split()[0] for line in Path(log).read_text().splitlines()]
        if len(pids) < 8 or len(set(pids)) > 1:
            break
        time.sleep(0.1)
    return xb.Interpretation(_slope(facts, domain), "a line", "linear", facts=facts)


@xb.metric("right_slope", family="ground_truth", higher_is_better=True, needs={"program"})
def right_slope(ev: xb.ProgramEvaluation) -> np.ndarray:
    """Whether a program agrees with the function at 1."""
    one = np.array([1.0])
    return np.array([float(np.isclose(ev.predict(i, one), ev.truth(i, one)).all()) for i in range(len(ev.functions))])
