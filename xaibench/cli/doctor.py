"""``xaibench doctor``: the environment and the integrity of a store."""

from __future__ import annotations

from typing import Any

import pandas as pd

from xaibench.cli.output import format_bytes, stdout
from xaibench.core.storage.files import write_bytes
from xaibench.core.storage.paths import Location, cache_folder, default_store
from xaibench.execution.provenance import provenance
from xaibench.report.terminal import frame_table
from xaibench.store import FAILURES, Store
from xaibench.store.checking import Examination

SOUND, DAMAGED = 0, 3
MAX_LISTED_CELLS = 10
"""Cells that are named one by one."""


def run_doctor(path: Location | None, *, remove: bool, tracebacks: bool = False) -> int:
    """Print what is found; returns the exit code."""
    where = path or default_store()
    store = Store(where) if path is not None or Store.exists(where) else None
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
        out.print(f"store {where}: does not exist yet")
        return SOUND
    if tracebacks:
        _print_tracebacks(store)
    return _examine_store(store, remove=remove)


def _examine_store(store: Store, *, remove: bool) -> int:
    out = stdout()
    rows, manifests = store.read(["status"]), store.manifests()
    statuses = pd.Series(rows["status"].to_pylist(), dtype="object").value_counts()
    counts = ", ".join(f"{n} {status}" for status, n in statuses.items()) or "none"
    out.print(
        f"store {store.path}: {len(manifests)} run{'' if len(manifests) == 1 else 's'}; cells: {counts}", soft_wrap=True
    )
    for number, who in store.under_way().items():
        out.print(f"run {number} is under way: {who}", soft_wrap=True)
    found = store.examine()
    for damage in found.damaged:
        out.print(f"damaged: {store.path / damage.name}: {damage.reason}", markup=False, soft_wrap=True)
    for draft in found.drafts:
        out.print(f"leftover of a killed run: {store.path / draft}", markup=False, soft_wrap=True)
    for number in found.dead:
        out.print(f"run {number} ended without an outcome: it was killed, or the disk was full", soft_wrap=True)
    _say_superfluous(found)
    _say_again(found.again, store)
    if remove:
        for damage in found.damaged:
            store.discard(damage)
        for draft in found.drafts:
            store.files.remove(draft)
        out.print(f"removed {len(found.damaged) + len(found.drafts)} files")
    if found.damaged:
        if not remove:
            out.print("results in damaged files are lost; `xaibench doctor --remove` deletes the files", soft_wrap=True)
        return DAMAGED
    out.print("no file is damaged")
    return SOUND


def _print_tracebacks(store: Store) -> None:
    """The traceback of every kind of failure once, with the cells that it belongs to."""
    rows = store.read(["dataset", "model", "explainer", "metric", "status", "traceback"]).to_pandas()
    failed = rows[rows["status"].isin(FAILURES) & rows["traceback"].notna()]
    out = stdout()
    for text, group in failed.groupby("traceback", sort=False):
        first = group.iloc[0]
        name = f"{first['dataset']}/{first['model']}/{first['explainer']}/{first['metric']}"
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        out.print(f"{name}{more}:\n{str(text).rstrip()}\n", markup=False, highlight=False, soft_wrap=True)
    if failed.empty:
        out.print("no failed cell has a traceback")


def _say_superfluous(found: Examination) -> None:
    for what, files in (("that no result refers to", found.orphans), ("of superseded results", found.stale)):
        if files:
            stdout().print(
                f"{len(files)} explanations {what}, {format_bytes(sum(files.values()))}: `xaibench gc` removes them",
                soft_wrap=True,
            )
    if found.unexplained:
        stdout().print(f"{found.unexplained} explanations are not stored; a new metric explains again", soft_wrap=True)


def _say_again(again: dict[str, list[dict[str, Any]]], store: Store) -> None:
    """Which cells the next run of each suite computes."""
    out = stdout()
    for suite, cells in again.items():
        out.print(f"{len(cells)} cells of {suite} have no result; the next `xaibench run` of it computes them:")
        for cell in cells[:MAX_LISTED_CELLS]:
            name = f"{cell['dataset']}/{cell['model']}/{cell['explainer']}/{cell['metric']}"
            repeat = f" #{cell['repeat']}" if cell["repeat"] else ""
            out.print(f"  {name}{repeat}, seed {cell['seed']}", markup=False, soft_wrap=True)
        if len(cells) > MAX_LISTED_CELLS:
            out.print(f"  and {len(cells) - MAX_LISTED_CELLS} more")
