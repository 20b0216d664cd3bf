"""Shares of the processor time of a command of xaibench in one process; `bench_whole` runs it.

    python tests/bench/cpu_shares.py FILE.json COMMAND ...

runs the command as ``xaibench COMMAND ...`` would and writes, to the file, processor seconds (user and system) by what
they went into. A moment belongs to one share only, the innermost that has begun:

evaluations
    Forward passes and gradients: calls of a model by its predictor, of a network, of `torch.autograd.grad`, `backward`.
training
    Recipes, from data to a fitted model.
imports
    Modules that are loaded for the first time.
planning, statistics, writing
    Making the plan; boards, claims and advice; files of the store and of shared evaluations.
data
    Loading data sets, and preparing problems but for training.
other
    All else: explainers and metrics themselves, building perturbed inputs, the harness.

The floor is evaluations and training. Every hook reads a clock twice, which adds 1 to 2 % to what is measured.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

INNERMOST = {"training", "evaluations"}
"""Shares that are not divided any further."""
PLACES = {
    "planning": ["xaibench.api.orchestration:plan_suite"],
    "statistics": [
        "xaibench.api.orchestration:write_claims",
        "xaibench.api.orchestration:write_leaderboard",
        "xaibench.api.orchestration:write_advice",
    ],
    "data": ["xaibench.problems.preparing:Problems.prepare"],
    "training": ["xaibench.models.obtain:_build"],
    "writing": [
        *(
            f"xaibench.store.store:Store.{name}"
            for name in (
                "claim_run",
                "compact",
                "finish_run",
                "save_attributions",
                "save_curve",
                "save_examples",
                "write_part",
            )
        ),
        "xaibench.core.storage.cache:save_tensors",
    ],
    "evaluations": [
        "torch.nn:Module.__call__",
        "torch.autograd:grad",
        "torch:Tensor.backward",
        "xaibench.core.predictor:TorchPredictor._forward",
        "xaibench.core.predictor:CallablePredictor._forward",
    ],
}


class Shares:
    """Processor seconds by share, and the shares that have begun."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._open = ["other"]
        self._since = 0.0

    def _turn(self) -> None:
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def hook(self, share: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is counted."""

        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            now = self._open[-1]
            if now == share or now in INNERMOST:
                return function(*args, **kwargs)
            self._turn()
            self._open.append(share)
            self.calls[share] += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._turn()
                self._open.pop()

        return counted

    def write(self, file: Path) -> None:
        self._turn()
        file.write_text(json.dumps({"seconds": self.seconds, "calls": self.calls}))


def install(shares: Shares) -> None:
    """Hook what is imported from now on as soon as it is there."""
    waiting = {(share, place) for share, places in PLACES.items() for place in places}

    def hook_loaded() -> None:
        for share, place in sorted(waiting):
            module, _, path = place.partition(":")
            loaded = sys.modules.get(module)
            if loaded is None or getattr(getattr(loaded, "__spec__", None), "_initializing", False):
                continue
            *owners, name = path.split(".")
            owner = functools.reduce(getattr, owners, loaded)
            setattr(owner, name, shares.hook(share, getattr(owner, name)))
            waiting.discard((share, place))

    machinery: Any = importlib.import_module("_frozen_importlib")
    find = machinery._find_and_load
    counted = shares.hook("imports", find)

    def find_and_load(name: str, importing: Any) -> Any:
        found = counted(name, importing)
        if waiting:
            hook_loaded()
        return found

    machinery._find_and_load = find_and_load


def main() -> None:
    shares = Shares()
    install(shares)
    atexit.register(shares.write, Path(sys.argv[1]))
    from xaibench.cli import main as command

    sys.argv = ["xaibench", *sys.argv[2:]]
    command()


if __name__ == "__main__":
    main()
