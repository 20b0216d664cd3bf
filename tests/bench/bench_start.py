"""Processor time of commands that compute nothing with models: how long a user waits for a list or a board.

    python tests/bench/bench_start.py [STORE] [COMMAND ...]

Every command runs five times in a process of its own, after once for the caches. Printed is the median of its processor
seconds, user and system together, with what of torch, scikit-learn and scipy it has imported. STORE is made if it is
not there (suite `quick`, two samples, one explainer).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

REPEATS = 5
LISTED = ("torch", "sklearn", "scipy")
SHOW = f"""
import atexit, sys
atexit.register(lambda: sys.stderr.write("imported " + " ".join(m for m in {LISTED!r} if m in sys.modules) + "\\n"))
from xaibench.cli import main
main()
"""


def commands(store: str) -> dict[str, list[str]]:
    """Commands by what they are called in the table."""
    return {
        "--help": ["--help"],
        "list": ["list"],
        "list metrics": ["list", "metrics"],
        "show lime": ["show", "lime"],
        "plan quick": ["plan", "quick", "--store", store],
        "leaderboard": ["leaderboard", store],
        "compare": ["compare", store, store],
        "claims": ["claims", store],
        "run qiuck": ["run", "qiuck", "--store", store],
        "show lmie": ["show", "lmie"],
    }


def timed(arguments: list[str]) -> tuple[float, str]:
    """Processor seconds of a command, and what it has imported."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *arguments], capture_output=True, text=True, check=False, env=os.environ
    )
    after = os.times()
    seconds = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    lines = [line for line in done.stderr.splitlines() if line.startswith("imported ")]
    return seconds, lines[-1].removeprefix("imported ") if lines else "?"


def main() -> None:
    given = sys.argv[1:]
    store = given[0] if given else str(Path(tempfile.mkdtemp()) / "store")
    if not Path(store).exists():
        small = ["run", "quick", "--limit", "2", "--only", "*/*/gradient/*", "--store", store, "-q", "-j", "0"]
        timed(small)
    chosen = {name: c for name, c in commands(store).items() if not given[1:] or name in given[1:]}
    for name, arguments in chosen.items():
        timed(arguments)
        found = [timed(arguments) for _ in range(REPEATS)]
        print(f"{name:<14}{median(s for s, _ in found):6.2f} s   {found[-1][1]}", flush=True)


if __name__ == "__main__":
    main()
