"""Whether something is a data frame, without importing pandas for the answer."""

from __future__ import annotations

from typing import Any


def is_frame(values: Any) -> bool:
    """Whether something is a pandas DataFrame."""
    return any(c.__name__ == "DataFrame" and c.__module__.partition(".")[0] == "pandas" for c in type(values).__mro__)
