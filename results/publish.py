"""Publish the results of suites: run each, and write its tables and its card to results/SUITE.

python results/publish.py SUITE...                         # as training_seeds.toml says
python results/publish.py SUITE --training-seeds 6 -j 2
python results/publish.py SUITE --store STORE              # publish what a store holds; nothing is run
python results/publish.py quick --baseline                 # and make it the baseline of `xaibench compare`
python results/publish.py --check                          # which results are older than the code; exit code 1 if any
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tomllib
from pathlib import Path

from xaibench import suite as suites
from xaibench.api.orchestration import run_suite
from xaibench.api.published import published, stale_reasons, with_training_seeds
from xaibench.api.publishing import publish_results
from xaibench.core.errors import UsageError, XaibenchError
from xaibench.execution import Options
from xaibench.execution.provenance import git_state
from xaibench.store import Row, Store

RESULTS = Path(__file__).parent
SEEDS = RESULTS / "training_seeds.toml"
PLACES = ("XAIBENCH_CACHE",)
"""Environment variables that say where something is, and change no number."""


def make_baseline(source: Store, target: Store, suite: str) -> None:
    """Write the latest run of a suite, its results and how it ended, into another store."""
    manifest = next(m for m in reversed(source.manifests()) if m["suite"] == suite)
    said = manifest["provenance"]
    said["argv"] = ["xaibench", "run", manifest["suite"]]
    said["environment"] = {k: v for k, v in said["environment"].items() if k not in PLACES}
    machine = said.get("machine", said)
    machine["system"] = machine["system"].split("-")[0]
    planned = [Row(**row) for row in source.planned(manifest["run"]).to_pylist()]
    number = target.claim_run({k: v for k, v in manifest.items() if k not in ("id", "run")}, planned)
    wanted = {row.cell_id for row in planned}
    rows = [Row(**{**row, "run": number}) for row in source.read().to_pylist() if row["cell_id"] in wanted]
    units: dict[str, list[Row]] = {}
    for row in rows:
        units.setdefault(row.unit_id, []).append(row)
    for unit in units.values():
        target.write_part(unit)
    target.compact()
    target.finish_run(number, {**(source.outcome(manifest["run"]) or {}), "run": number})
    # Who wrote it where is of no use to a reader.
    (Path(str(target.path)) / "runs" / f"{number:06d}" / "claim.json").unlink(missing_ok=True)


def run(name: str, store: Path, training_seeds: int | None, workers: int) -> None:
    """Run a suite into a store; what the store holds already is not run again."""
    suite = with_training_seeds(suites.load(name), training_seeds)
    done = run_suite(suite, Options(argv=["xaibench", "run", name], workers=workers), store=store)
    sys.stdout.write(f"{name}: {done.outcome.seconds:.1f} s, {dict(done.outcome.statuses)}\n")


def check(into: Path) -> int:
    """Print which published results are older than the code."""
    stale = 0
    for one in published(into):
        reasons = stale_reasons(one)
        stale += bool(reasons)
        sys.stdout.write(f"{one.name}: {'; '.join(reasons) or 'current'}\n")
    return int(stale > 0)


def main(arguments: list[str]) -> int:
    """Run, then publish: nothing is written into results/ before every suite has run, so that all see a clean tree."""
    parser = argparse.ArgumentParser(prog="results/publish.py", description="Publish the results of suites.")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("--store", type=Path, help="publish its results, and run nothing")
    parser.add_argument("--into", type=Path, default=RESULTS, help="default: results")
    parser.add_argument("--training-seeds", type=int)
    parser.add_argument("-j", "--workers", type=int, default=0)
    parser.add_argument("--baseline", action="store_true", help="also make results/baselines/SUITE again")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    given.into = given.into.absolute()
    if given.check:
        return check(given.into)
    if not given.suites:
        parser.error("name a suite, or ask for --check")
    unknown = [name for name in given.suites if name not in suites.available()]
    if unknown:
        raise UsageError(f"{unknown[0]} is not a shipped suite", "`xaibench list suites` shows them")
    git = git_state()
    if git is None or git["dirty"]:
        raise UsageError("published numbers come from a commit", "commit or stash what has changed, then publish")
    default = tomllib.loads(SEEDS.read_text(encoding="utf-8"))["training_seeds"]
    stores = {name: given.store or RESULTS / "local" / "published" / name for name in given.suites}
    seeds = {name: given.training_seeds or default.get(name) for name in given.suites}
    if given.baseline and given.store is not None and (given.into / "baselines") in given.store.absolute().parents:
        raise UsageError(f"{given.store} is a baseline itself", "publish it without --baseline")
    if given.store is None:
        for name, store in stores.items():
            run(name, store, seeds[name], given.workers)
    for name, store in stores.items():
        wanted = given.training_seeds is not None and given.training_seeds != default.get(name)
        command = f"python results/publish.py {name}" + (f" --training-seeds {seeds[name]}" if wanted else "")
        folder = publish_results(store, name, given.into, training_seeds=seeds[name], command=command)
        sys.stdout.write(f"{folder}: {sum(f.stat().st_size for f in folder.iterdir()) / 1e3:.0f} kB\n")
        if given.baseline:
            target = given.into / "baselines" / name
            shutil.rmtree(target, ignore_errors=True)
            make_baseline(Store(store), Store(target, create=True), name)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except XaibenchError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        sys.exit(2)
