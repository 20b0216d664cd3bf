"""Components that cost next to nothing, and a note beside every process of what it is doing now."""

import functools
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import xaibench as xb
from xaibench.execution.worker_loop import UnitRunner
from xaibench.store import Store

NOTES = os.environ.get("XAIBENCH_SOAK")
_doing = ["planning"]


def _note() -> None:
    if NOTES is not None:
        draft = Path(NOTES, f".{os.getpid()}")
        draft.write_text(_doing[-1])
        draft.rename(Path(NOTES, str(os.getpid())))


class _Doing:
    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        _doing.append(self.what)
        _note()

    def __exit__(self, *_: object) -> None:
        _doing.pop()
        _note()


def _noted(owner: type, name: str, what: str, *, then: str | None = None) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    def call(*args, **kwargs):
        with _Doing(what):
            result = function(*args, **kwargs)
        if then is not None:
            _doing[0] = then
            _note()
        return result

    setattr(owner, name, call)


if NOTES is not None:
    # Written files take a while between their draft and their name, as they do on a busy disk.
    sync = os.fsync
    os.fsync = lambda fd: (sync(fd), time.sleep(0.003))
    _noted(Store, "claim_run", "planning", then="idle")
    _noted(Store, "write_part", "writing")
    _noted(Store, "save_attributions", "writing")
    _noted(Store, "compact", "compacting")
    _noted(Store, "finish_run", "reporting", then="reporting")
    _noted(UnitRunner, "_prepare", "preparing")
    _noted(UnitRunner, "work", "idle")
    _note()


@xb.dataset("soak", features="table", provides=set())
def soak(*, seed: int = 0) -> xb.Data:
    """Six Gaussian columns; the class is the sign of a known sum."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((64, 6)).astype(np.float32)
    y = (x @ np.arange(1, 7) > 0).astype(np.int64)
    return xb.Data("table", x[16:], y[16:], x[:16], y[:16], accuracy_floor=0.0)


@xb.model("soak_net", provides={"gradients", "module"})
def soak_net(data: xb.Data, *, width: int = 2, seed: int = 0) -> nn.Module:
    """Some steps of gradient descent, none of them in a hurry."""
    with _Doing("training"):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 2))
        for _ in range(10):
            nn.functional.cross_entropy(
                net(torch.from_numpy(data.train_inputs)), torch.from_numpy(data.train_targets)
            ).backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
            time.sleep(0.02)
    return net.eval()


@xb.explainer("soak_map", kind="slope", needs={"gradients"})
def soak_map(problem: xb.ProblemView, *, k: int = 0) -> torch.Tensor:
    """Gradients and noise."""
    with _Doing("explaining"):
        time.sleep(0.01)
        return problem.gradients(problem.inputs) * (1 + k) + problem.inputs * torch.arange(6)


@xb.metric("soak_sum", family="complexity", higher_is_better=False)
def soak_sum(ev: xb.Evaluation, *, power: float = 1.0) -> torch.Tensor:
    """A sum over features."""
    with _Doing("scoring"):
        time.sleep(0.005)
        return ev.attributions.abs().pow(power).sum(dim=1)
