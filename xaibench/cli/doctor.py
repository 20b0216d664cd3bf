"""``xaibench doctor``: the environment and the integrity of a store."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from xaibench.cli.output import stdout
from xaibench.core.files import write_bytes
from xaibench.core.paths import cache_folder, default_store
from xaibench.execution.provenance import provenance
from xaibench.report.terminal import frame_table
from xaibench.store import Store

GOOD, DAMAGED = 0, 3


def examine(path: Path | None, *, remove: bool) -> int:
    """Print what is found; returns the exit code."""
    where = path or default_store()
    store = Store(where) if path is not None or (where / "store.json").exists() else None
    out = stdout()
    facts = provenance()
    git = facts["git"]
    rows = {
        "python": facts["python"],
        **facts["packages"],
        "processor": f"{facts['machine']['processor']}, {facts['machine']['cores']} cores",
        "GPU": ", ".join(facts["machine"]["gpus"]) or "none",
        "git": "no checkout" if git is None else git["sha"][:12] + (" with changes" if git["dirty"] else ""),
        "cache": str(cache_folder()),
    }
    out.print(frame_table(pd.DataFrame({"environment": rows.keys(), "": rows.values()})))
    write_bytes(cache_folder() / ".doctor", b"")
    (cache_folder() / ".doctor").unlink()
    if store is None:
        out.print(f"store {where}: not there yet")
        return GOOD
    return _examine_store(store, remove=remove)


def _examine_store(store: Store, *, remove: bool) -> int:
    out = stdout()
    rows, manifests = store.read(["status"]), store.manifests()
    statuses = pd.Series(rows["status"].to_pylist(), dtype="object").value_counts()
    counts = ", ".join(f"{n} {status}" for status, n in statuses.items()) or "none"
    out.print(f"store {store.path}: {len(manifests)} runs; cells: {counts}", soft_wrap=True)
    damaged, drafts = store.check(), store.drafts()
    for damage in damaged:
        out.print(f"damaged: {damage.path}: {damage.reason}", markup=False, soft_wrap=True)
    for draft in drafts:
        out.print(f"left over from a killed run: {draft}", markup=False, soft_wrap=True)
    if remove:
        for damage in damaged:
            store.discard(damage)
        for draft in drafts:
            draft.unlink(missing_ok=True)
        out.print(f"removed {len(damaged) + len(drafts)} files")
    if damaged:
        out.print("their cells run again the next time; `xaibench doctor --remove` deletes the files")
        return DAMAGED
    out.print("every file is sound")
    return GOOD
