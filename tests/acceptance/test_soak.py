"""Two hundred kills at random moments, and the leaderboard that nobody disturbed.

Runs go on in a store until its suite is complete, while they and their workers are killed (SIGKILL)
again and again; then a new store is begun, until there were enough kills. Every store must end with
the leaderboard of an undisturbed run. Most runs are forked from this process, which has imported
everything: a kill then costs a second, and not the import of torch.

    pytest tests/acceptance/test_soak.py -s
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from helpers.store_rows import COSTS

from xaibench.cli import main

SEED = int(os.environ.get("XAIBENCH_SOAK_SEED", "0"))
KILLS = int(os.environ.get("XAIBENCH_SOAK_KILLS", "200"))
WAYS = {"alone": 30, "part": 8, "pool": 2, "fresh": 1}
"""How often a run is in one process, takes a part of the suite, has two workers, or imports first and has two."""
AIMS = {
    "start": ((), 2.0),
    "problem": (("preparing", "training"), 0.3),
    "units": (("explaining", "scoring", "writing"), 1.0),
    "end": (("compacting", "reporting"), 0.08),
}
"""Moments that are waited for, and the seconds after them in which a process is killed."""
MOMENTS = {"importing", "planning", "training", "explaining", "scoring", "writing", "compacting", "idle"}
PLUGIN = Path(__file__).parents[1] / "plugins" / "soaking.py"
SUITE = """
name = "soak"
samples = 8
background = 8
controls = true
random_draws = 2
problem_seeds = [0, 1]
seeds = [0, 1, 2, 3]
problems = [{ dataset = "soak", models = ["soak_net"] }, { dataset = "soak", models = [{ name = "soak_net", params = { width = 3 } }] }]
explainers = [{ name = "soak_map", grid = { k = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] } }]
metrics = ["soak_sum", { name = "soak_sum", params = { power = 2.0 } }, "sparseness"]
"""  # noqa: E501
GOOD, USAGE, CELLS_FAILED = 0, 2, 3


class Place:
    """A store with its cache, and the notes of the processes that work on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.notes.mkdir(parents=True)
        self.store = folder / "store"
        (folder / "soak.toml").write_text(SUITE)
        self.environment = {"XAIBENCH_CACHE": str(folder / "cache"), "XAIBENCH_SOAK": str(self.notes)}

    def arguments(self, workers: int, part: int | None = None) -> list[str]:
        given = ["--store", str(self.store), "--plugin", str(PLUGIN), "-j", str(workers), "--quiet"]
        given += [] if part is None else ["--only", f"soak_map(k={part})"]
        return ["xaibench", "run", str(self.folder / "soak.toml"), *given]

    def start(self, way: str, part: int | None = None) -> psutil.Process:
        """Begin or resume the suite."""
        if way == "fresh":
            command = [sys.executable, "-m", *self.arguments(2)]
            with (self.folder / "log").open("ab") as log:
                started = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.environment})
            self.child: Any = started
            return psutil.Process(started.pid)
        self.child = None
        pid = os.fork()
        if pid == 0:
            self._become(self.arguments(2 if way == "pool" else 0, part))
        return psutil.Process(pid)

    def _become(self, arguments: list[str]) -> None:
        """The rest of this forked process is a run."""
        code = 70
        try:
            log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for stream in (1, 2):
                os.dup2(log, stream)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os.environ.update(self.environment)
            sys.argv = arguments
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def end(self, process: psutil.Process) -> int:
        """Exit code of a run that is over."""
        if self.child is not None:
            return int(self.child.wait())
        return os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])

    def doing(self, pid: int) -> str:
        """What a process does, as far as it has said."""
        try:
            return (self.notes / str(pid)).read_text()
        except FileNotFoundError:
            return "importing"

    def board(self) -> pd.DataFrame:
        return pd.read_parquet(self.store / "leaderboard.parquet").drop(columns=COSTS)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [c for c in process.children() if "bootstrap.py" in " ".join(c.cmdline())]
    return []


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def all_end(processes: list[psutil.Process], within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while any(alive(p) for p in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def wait(place: Place, run: psutil.Process, aim: str, rng: random.Random) -> bool:
    """Let a run come to the moment that is aimed at, and a random time further; False if it ends before."""
    moments, within = AIMS[aim]
    while moments and alive(run) and not any(place.doing(p.pid) in moments for p in [*workers_of(run), run][:2]):
        time.sleep(0.002)
    deadline = time.monotonic() + rng.uniform(0.0, within)
    while alive(run) and time.monotonic() < deadline:
        time.sleep(0.002)
    return alive(run)


def disturb(place: Place, way: str, rng: random.Random, kills: Counter[tuple[str, str]]) -> int:
    """Begin or resume, and kill until nothing is left of the run; returns its exit code."""
    run = place.start(way, part=rng.randrange(10) if way == "part" else None)
    known: list[psutil.Process] = []
    while wait(place, run, "end" if way == "part" else rng.choices(["start", "problem", "units"], [2, 1, 7])[0], rng):
        workers = workers_of(run)
        known += [w for w in workers if w not in known]
        victim = rng.choice([run, *workers, *workers])
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGSTOP)
            doing = place.doing(victim.pid)
            if doing == "importing" and way in ("alone", "part"):
                doing = "planning"  # it has only read the suite
            victim.send_signal(signal.SIGKILL)
            kills["parent" if victim == run else "worker", doing] += 1
        if victim == run:
            break
    code = place.end(run)
    assert all_end(known), "workers outlive their parent"
    return code


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_kills_at_random_moments_leave_the_leaderboard_of_an_undisturbed_run(tmp_path: Path) -> None:
    import xaibench.cli.app
    import xaibench.cli.running  # noqa: F401  # so that forks need not
    from xaibench.core import registry
    from xaibench.core.components import KINDS

    for kind in KINDS:
        list(registry.components(kind))
    calm = Place(tmp_path / "calm")
    assert calm.end(calm.start("alone")) == GOOD
    truth = calm.board()
    assert len(truth) == 96

    rng = random.Random(SEED)
    kills: Counter[tuple[str, str]] = Counter()
    codes: Counter[int] = Counter()
    stores = 0
    began = time.monotonic()
    while sum(kills.values()) < KILLS:
        place = Place(tmp_path / f"store{stores}")
        stores += 1
        complete = False
        while not complete:
            enough = sum(kills.values()) >= KILLS
            way = "alone" if enough else rng.choices(list(WAYS), list(WAYS.values()))[0]
            code = place.end(place.start(way)) if enough else disturb(place, way, rng, kills)
            codes[code] += 1
            complete = code == GOOD and way != "part"
            log = (place.folder / "log").read_text() if (place.folder / "log").exists() else ""
            # Workers that are killed before they have begun, one after the other, end the run.
            given_up = code == USAGE and "worker processes do not start" in log[-2000:]
            assert given_up or code in (GOOD, CELLS_FAILED, -signal.SIGKILL), f"{code}\n{log[-3000:]}"
            print(f"{time.monotonic() - began:5.0f} s, store {stores}, {way}: exit {code}, {sum(kills.values())} kills", flush=True)  # noqa: E501 # fmt: skip
        pd.testing.assert_frame_equal(place.board(), truth)
    table = pd.Series(kills).unstack(0, fill_value=0).rename_axis("moment")
    print(f"\n{sum(kills.values())} kills, seed {SEED}, {stores} stores, {time.monotonic() - began:.0f} s\n{table}")
    print(f"exit codes of runs: {dict(codes)}")
    assert sum(kills.values()) >= KILLS
    if KILLS >= 200:
        assert {moment for _, moment in kills} >= MOMENTS
