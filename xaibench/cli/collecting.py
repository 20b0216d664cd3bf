"""``xaibench gc``: remove what no result needs any more."""

from __future__ import annotations

from xaibench.cli.output import format_bytes, stdout
from xaibench.core.storage.paths import Location, default_store
from xaibench.store import Store


def collect_garbage(path: Location | None, *, dry_run: bool, keep_runs: int | None) -> int:
    """Say what can go, and remove it unless ``dry_run``; returns the exit code."""
    store = Store(path or default_store())
    found = store.garbage(keep_runs=keep_runs)
    out = stdout()
    if not found:
        out.print(f"{store.path}: nothing to remove", soft_wrap=True)
        return 0
    parts = {
        f"{found.rows} superseded rows": found.rows,
        f"{len(found.explanations)} explanations ({format_bytes(sum(found.explanations.values()))})": found.explanations,
        f"{len(found.runs)} runs": found.runs,
        f"{len(found.drafts)} drafts of dead processes": found.drafts,
        "the pointer of an earlier version": found.pointer,
    }
    said = ", ".join(text for text, there in parts.items() if there)
    if not dry_run:
        store.collect(found)
    out.print(f"{store.path}: {'would remove' if dry_run else 'removed'} {said}", soft_wrap=True)
    return 0
