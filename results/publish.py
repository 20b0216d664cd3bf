"""Copy the latest run of a store without attributions, leaderboards and places on the machine that made it.

python results/publish.py STORE results/baselines/NAME
python results/publish.py STORE results/baselines/NAME results/NAME/leaderboard.parquet    # and its board
"""

from __future__ import annotations

import sys
from pathlib import Path

import xaibench as xb
from xaibench.store import Row, Store

PLACES = ("XAIBENCH_CACHE",)
"""Environment variables that say where something is, and change no number."""


def publish(source: Store, target: Store) -> None:
    """Write the latest run of one store, its results and how it ended, into another."""
    manifest = source.manifests()[-1]
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


if __name__ == "__main__":
    publish(Store(sys.argv[1]), Store(sys.argv[2], create=True))
    for path in sys.argv[3:]:
        xb.leaderboard(sys.argv[2]).to_parquet(path, index=False)
