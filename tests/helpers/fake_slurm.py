"""A cluster of one machine that starts every job at once: what ``sbatch``, ``srun``, ``sacct`` and ``scancel`` need."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel")
STATE = Path(os.environ.get("FAKE_SLURM", "."))


def install(folder: Path) -> None:
    """Put the commands into a folder, for PATH."""
    folder.mkdir()
    for name in COMMANDS:
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} {name} "$@"\n')
        file.chmod(0o755)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def sbatch(script: str) -> None:
    """Start all jobs of an array, each in a session of its own."""
    text = Path(script).read_text()
    if "--partition=none" in text:
        sys.exit("sbatch: error: invalid partition specified: none")
    number = 100 + len(list(STATE.glob("*.sh")))
    (STATE / f"{number}.sh").write_text(text)
    array = re.search(r"--array=0-(\d+)", text)
    for task in range(int(array[1]) + 1) if array else [None]:
        name = str(number) if task is None else f"{number}_{task}"
        own = {"SLURM_JOB_ID": str(number), "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}
        own |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": "here"}
        if task is not None:
            own |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}
        subprocess.Popen(
            [sys.executable, "-S", __file__, "job", name, str(STATE / f"{number}.sh")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **own},
            start_new_session=True,
        )
    say(f"Submitted batch job {number}")


def job(name: str, script: str) -> None:
    """What watches over a job."""
    note(name, pid=os.getpid())
    code = subprocess.run(["bash", script], check=False).returncode
    note(name, state="COMPLETED" if code == 0 else "OUT_OF_MEMORY" if code == 128 + signal.SIGKILL else "FAILED")


def note(name: str, **facts: object) -> None:
    file = STATE / f"{name}.json"
    old = json.loads(file.read_text()) if file.exists() else {"state": "RUNNING"}
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps({**old, **facts}))
    draft.rename(file)


def srun(*arguments: str) -> None:
    """Run a command with its output in files."""
    left, streams = list(arguments), {}
    while left[0].startswith("-"):
        option = left.pop(0)
        if option in ("--output", "--error"):
            streams[option] = left.pop(0)
    names = {"%j": "SLURM_JOB_ID", "%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%t": "SLURM_PROCID"}
    for option, number in (("--output", 1), ("--error", 2)):
        path = streams[option]
        for sign, variable in names.items():
            path = path.replace(sign, os.environ.get(variable, ""))
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.execvp(left[0], left)


def sacct(*arguments: str) -> None:
    """States of jobs."""
    asked = {arguments[i + 1] for i, a in enumerate(arguments) if a == "-j"}
    say("JobID|State|NodeList")
    for file in sorted(STATE.glob("*.json")):
        if file.stem.partition("_")[0] in asked:
            say(f"{file.stem}|{json.loads(file.read_text())['state']}|here")


def scancel(*arguments: str) -> None:
    """End jobs."""
    for name in (a for a in arguments if not a.startswith("-")):
        facts = json.loads((STATE / f"{name}.json").read_text())
        if facts["state"] == "RUNNING":
            os.killpg(facts["pid"], signal.SIGKILL)
            note(name, state="CANCELLED by 0")


if __name__ == "__main__":
    (STATE / "calls").open("a").write(shlex.join(sys.argv[1:]) + "\n")
    {f.__name__: f for f in (sbatch, srun, sacct, scancel, job)}[sys.argv[1]](*sys.argv[2:])
