"""Processor time of the whole: what `quick` costs beside the models that it evaluates and trains, with targets.

    python tests/bench/bench_whole.py [SUITE] [--only GLOB ...] [--package FOLDER] [--steps STEP ...]

Steps are ``floor`` (cold, in one process, with shares), ``cold`` (the same without hooks), ``cached`` (the same again,
all cells cached), ``workers`` (cold, two workers), ``list`` (starting alone). Every step is a command in a process of
its own, with a cache and a store of its own. Printed are processor seconds, user and system, of it and of all that
it started, which a busy machine inflates less than elapsed time, and the largest memory that one of its processes has
held. Targets are those of an idle machine with two cores. ``--package`` measures the package of another checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve()
REPEATS = 3
TARGETS = {"cold": 1.2, "workers": 1.35}
"""Processor seconds of a cold run over the floor."""
CACHED_SECONDS, START_SECONDS, WORKER_MEGABYTES = 3.0, 6.0, 600.0
STEPS = ("floor", "cold", "cached", "workers", "list")


@dataclass(frozen=True)
class Spent:
    """What a command has cost: processor and elapsed seconds, and megabytes of its largest process."""

    cpu: float
    wall: float
    megabytes: float

    def __str__(self) -> str:
        return f"{self.cpu:7.2f} CPU s {self.wall:8.1f} s elapsed {self.megabytes:6.0f} MB in the largest process"


def spent(arguments: list[str], environment: dict[str, str]) -> Spent:
    """Run a command of Python in a process of its own, which reports what it and its children have used."""
    report = Path(environment["XAIBENCH_CACHE"]).parent / "used.json"
    runner = [sys.executable, str(HERE), "--measure", str(report), *arguments]
    subprocess.run(runner, env=environment, check=True, stdout=subprocess.DEVNULL)
    return Spent(**json.loads(report.read_text()))


def measure(report: Path, arguments: list[str]) -> None:
    """Run a command and write down what it has used: this process has no other children."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True)
    wall, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    found = Spent(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
    report.write_text(json.dumps(vars(found)))


class Bench:
    """Steps that share a folder for caches and stores.

    Parameters
    ----------
    folder : Path
    suite : str
    only : list of str
        Globs of the part of the suite that is run.
    package : Path
        The checkout whose package is measured.
    """

    def __init__(self, folder: Path, suite: str, only: list[str], package: Path) -> None:
        self.folder = folder
        self.package = package
        self.part = [suite, *(part for glob in only for part in ("--only", glob)), "-q"]
        self.floor_seconds: float | None = None

    def _environment(self, cache: str) -> dict[str, str]:
        """Of a process with one thread and this cache, made with the index of declarations only."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.package),
            "XAIBENCH_CACHE": str(self.folder / cache),
            "OMP_NUM_THREADS": "1",
        }
        subprocess.run(
            [sys.executable, "-m", "xaibench", "list"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        return environment

    def _run(self, name: str, *arguments: str) -> list[str]:
        return ["run", *self.part, "--store", str(self.folder / f"{name}-store"), *arguments]

    def _against_floor(self, step: str, seconds: float) -> str:
        if self.floor_seconds is None:
            return ""
        return f"   {seconds / self.floor_seconds:.2f} of the floor (target {TARGETS[step]})"

    def floor(self) -> None:
        file = self.folder / "shares.json"
        command = [str(HERE.with_name("cpu_shares.py")), str(file), *self._run("floor", "-j", "0")]
        found = spent(command, self._environment("floor"))
        shares = json.loads(file.read_text())
        seconds = shares["seconds"]
        self.floor_seconds = seconds.get("evaluations", 0.0) + seconds.get("training", 0.0)
        total = sum(seconds.values())
        print(f"floor      {self.floor_seconds:7.2f} CPU s in evaluations and training; with hooks: {found}")
        for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
            print(f"    {name:12s} {value:7.2f} CPU s {value / total:6.1%} {shares['calls'].get(name, 1):9,d} times")

    def cold(self) -> None:
        found = spent(["-m", "xaibench", *self._run("cold", "-j", "0")], self._environment("cold"))
        print(f"cold       {found}{self._against_floor('cold', found.cpu)}")

    def cached(self) -> None:
        environment = self._environment("cold")
        command = ["-m", "xaibench", *self._run("cold", "-j", "0")]
        found = min((spent(command, environment) for _ in range(REPEATS)), key=lambda used: used.cpu)
        print(f"cached     {found}   (target {CACHED_SECONDS} s)")

    def workers(self) -> None:
        found = spent(["-m", "xaibench", *self._run("workers", "-j", "2")], self._environment("workers"))
        ratio = self._against_floor("workers", found.cpu)
        print(f"workers    {found}{ratio}   (target {WORKER_MEGABYTES:.0f} MB a worker)")

    def list(self) -> None:
        environment = self._environment("cold")
        found = min((spent(["-m", "xaibench", "list"], environment) for _ in range(REPEATS)), key=lambda used: used.cpu)
        print(f"list       {found}   (target of importing and starting in a run: {START_SECONDS} CPU s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", default="quick")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--package", type=Path, default=HERE.parents[2])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.suite, given.only, given.package.resolve())
        for step in STEPS:
            if step in given.steps:
                getattr(bench, step)()
                sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
