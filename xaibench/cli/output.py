"""Consoles: results go to standard output, progress and everything else to standard error."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from rich.console import Console


def stdout() -> Console:
    """For results. In a pipe lines are as long as they must be, and nothing is coloured."""
    console = Console(highlight=False, soft_wrap=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, width=120)


def stderr() -> Console:
    """For progress and messages."""
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output; NaN and infinity are null."""
    text = json.dumps(_finite(value), indent=2, allow_nan=False)
    Console(soft_wrap=True, highlight=False, markup=False).print(text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def duration(seconds: float) -> str:
    """Seconds for people: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_bytes(n_bytes: float) -> str:
    """Bytes for people: ``512 B``, ``3.4 kB``, ``12 MB``."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.{0 if unit == 'B' or n_bytes >= 10 else 1}f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
