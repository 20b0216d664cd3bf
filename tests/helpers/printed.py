"""What a terminal shows."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console


def text_of(thing: Any, width: int, encoding: str = "utf-8") -> str:
    """A table or text as a terminal of this width and encoding prints it."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width).print(thing)
    file.flush()
    file.seek(0)
    return file.read()
