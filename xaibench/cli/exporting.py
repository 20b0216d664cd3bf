"""``xaibench export``: problems as npz files for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xaibench.cli.output import stdout
from xaibench.core.trust import trust_files


def export_suite(
    suite: str,
    folder: Path,
    *,
    only: Sequence[str] | None,
    limit: int | None,
    plugins: Sequence[str] | None,
    trust: Sequence[str] | None,
    device: str,
) -> int:
    """Write the files and say which; returns the exit code."""
    from xaibench.api.exporting import export_problems

    trust_files(trust or ())
    written = export_problems(suite, folder, only=only or (), limit=limit, device=device, plugins=plugins or ())
    out = stdout()
    for path in written:
        out.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0
