"""Do things to a store in children that are killed with -9 at one step after another, and look at what is left.

Run as a program: ``killing.py FOLDER OPERATION [STRIDE]`` prints how many kills there were and what
was wrong; a stride tries only every n-th step.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.store_rows import scored, values
from xaibench.store import Store

STEPS: list[tuple[Any, str]] = [
    (tempfile, "mkstemp"), (os, "fsync"), (os, "link"), (os, "close"),
    (Path, "write_bytes"), (Path, "chmod"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir"),
]  # fmt: skip


def prepare(folder: Path) -> None:
    """A store with two generations, parts, runs and explanations, and another one to merge."""
    for name, cells in (("store", "abcdef"), ("other", "efgh")):
        store = Store(folder / name, create=True)
        for number, cell in enumerate(cells, 1):
            run = store.claim_run({"suite": "s"}, [scored(c) for c in cells])
            store.write_part([scored(cell, run)])
            store.save_attributions(f"explain-{cell}", torch.ones(2), kind="slope", seconds=1.0)
            if number == 4:
                store.compact()
            store.finish_run(run, {"end": "finished"})
        store.save_interpretations("explain-f", [{"name": f"{name} f", "budget": 1}])
        store.save_interpretations("explain-f", [{"name": f"{name} g", "budget": 1}])
    store = Store(folder / "store")
    store.write_part([scored("a", 1, 0.25, score_key="old")])
    store.save_attributions("explain-lost", torch.ones(2), kind="slope", seconds=1.0)


def write(store: Store) -> None:
    store.write_part([scored("new", 6)])


def claim(store: Store) -> None:
    store.finish_run(store.claim_run({"suite": "s"}, [scored("a")]), {"end": "finished"})


def explain(store: Store) -> None:
    store.save_attributions("explain-a", torch.ones(2), kind="slope", seconds=1.0)


def answer(store: Store) -> None:
    store.save_interpretations("explain-f", [{"name": "store h", "budget": 1}])
    store.merge_interpretations("explain-f")


def compact(store: Store) -> None:
    store.compact()


def merge(store: Store) -> None:
    store.merge(Store(store.path.parent / "other"))


def collect(store: Store) -> None:
    store.collect(store.garbage(keep_runs=2, young=0.0))


OPERATIONS: dict[str, Callable[[Store], None]] = {
    f.__name__: f for f in (write, claim, explain, answer, compact, merge, collect)
}


def arm(step: int, moment: str) -> None:
    """From here on this process is killed at its n-th step: before it, after it, or halfway through writing a file."""
    count = 0

    def wrap(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += moment != "half" or name == "write_bytes"
            if count == step:
                if moment == "half":
                    plain(args[0], args[1][: len(args[1]) // 2])
                elif moment != "before" and name != "fsync":
                    plain(*args, **kwargs)
                os.kill(os.getpid(), signal.SIGKILL)
            # A kill needs no disk to be flushed, and flushing takes long.
            return None if name == "fsync" else plain(*args, **kwargs)

        setattr(owner, name, wrapped)

    for owner, name in STEPS:
        wrap(owner, name)


def killed_at(step: int, moment: str, operation: str, where: Path) -> None:
    arm(step, moment)
    OPERATIONS[operation](Store(where))


def child(work: Callable[[], None]) -> int:
    """Do this in a child; returns its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def state(store: Store) -> dict[str, Any]:
    """What a store knows: results, answers, explanations that results need, runs."""
    needed = set(store.read(["explain_key"])["explain_key"].to_pylist()) - {None}
    return {
        "values": values(store),
        "answers": sorted(r["name"] for r in store.load_interpretations("explain-f")),
        "explained": sorted(k for k in needed if store.load_attributions(k) is not None),
    }


def wrong_with(before: dict[str, Any], store: Store, final: dict[str, Any], operation: str) -> list[str]:
    """What a kill has cost."""
    found = [f"damaged {d.name}: {d.reason}" for d in store.check()]
    after = state(store)
    for cell, value in before["values"].items():
        if cell not in final["values"]:
            continue
        if after["values"].get(cell) not in (value, final["values"][cell]):
            found.append(f"{cell} was {value} and is {after['values'].get(cell)}")
    for what in ("answers", "explained"):
        lost = set(before[what]) & set(final[what]) - set(after[what])
        found += [f"lost {what}: {sorted(lost)}"] if lost else []
    drafts = list(store.path.rglob("*.draft"))
    if sorted(store.drafts()) != sorted(p.relative_to(store.path).as_posix() for p in drafts):
        found.append("a draft of the dead is not told")
    OPERATIONS[operation](store)
    again = state(store)
    if {**again, "answers": sorted(set(again["answers"]))} != final:
        found.append(f"done again: {again}, undisturbed: {final}")
    found += [f"then damaged {d.name}: {d.reason}" for d in store.check()]
    store.collect(store.garbage(young=0.0))
    if list(store.path.rglob("*.draft")):
        found.append("drafts stay")
    return found


def main(folder: Path, operation: str, stride: int) -> None:
    prepare(folder)
    # From here on only kills matter, which no flushing protects from.
    os.fsync = lambda _: None  # type: ignore[assignment]
    before = state(Store(folder / "store"))
    shutil.copytree(folder, folder.parent / "undisturbed")
    undisturbed = Store(folder.parent / "undisturbed" / "store")
    OPERATIONS[operation](undisturbed)
    final = state(undisturbed)
    kills, wrong = 0, []
    for moment in ("before", "after", "half"):
        for step in range(1, 10_000, 1 if moment == "half" else stride):
            case = folder.parent / "case"
            shutil.copytree(folder, case)
            status = child(partial(killed_at, step, moment, operation, case / "store"))
            if status == 0:
                shutil.rmtree(case)
                break
            if status != -signal.SIGKILL:
                wrong.append(f"{moment} {step}: exit {status}")
                break
            kills += 1
            wrong += [f"{moment} {step}: {w}" for w in wrong_with(before, Store(case / "store"), final, operation)]
            shutil.rmtree(case)
    print(json.dumps({"operation": operation, "kills": kills, "wrong": wrong}))  # noqa: T201


def crowd(folder: Path) -> None:
    """Four processes write and compact at once; prints how many cells are there."""
    os.fsync = lambda _: None  # type: ignore[assignment]
    Store(folder / "store", create=True)

    def work(who: int) -> None:
        store = Store(folder / "store")
        for n in range(10):
            store.write_part([scored(f"{who}-{n}", who)])
            if n % 4 == 3:
                store.compact()
            # What this process has written it must see, whatever the others merge.
            mine = {c for c in values(store) if c.startswith(f"{who}-")}
            assert len(mine) == n + 1, (who, n, sorted(mine))

    pids = []
    for who in range(1, 5):
        pid = os.fork()
        if pid == 0:
            try:
                work(who)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    store = Store(folder / "store")
    print(json.dumps({"statuses": statuses, "cells": len(store.read()), "damaged": len(store.check())}))  # noqa: T201


def kill_in_children(folder: Path, *args: object) -> dict[str, Any]:
    """Run this file as a program on a folder; gives what it printed."""
    (folder / "base").mkdir()
    command = [sys.executable, __file__, str(folder / "base"), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if sys.argv[2] == "crowd":
        crowd(target)
    else:
        main(target, sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
