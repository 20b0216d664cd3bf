"""Frames as CSV, JSON or Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.report.labels import number


def to_markdown(frame: pd.DataFrame) -> str:
    """A Markdown table; numbers have four significant digits, NaN and null are empty."""
    numeric = [pd.api.types.is_numeric_dtype(d) and not pd.api.types.is_bool_dtype(d) for d in frame.dtypes]
    lines = [_row(str(c) for c in frame.columns), _row("---:" if n else "---" for n in numeric)]
    lines += [_row(_text(v) for v in row) for row in frame.itertuples(index=False, name=None)]
    return "\n".join(lines) + "\n"


def to_csv(frame: pd.DataFrame) -> str:
    """CSV with a header line; numbers in full precision."""
    return str(frame.to_csv(index=False, lineterminator="\n"))


def to_json(frame: pd.DataFrame) -> str:
    """A JSON list of objects; NaN and null are null, numbers in full precision."""
    records = [
        {str(k): _value(v) for k, v in zip(frame.columns, row, strict=True)}
        for row in frame.itertuples(index=False, name=None)
    ]
    return json.dumps(records, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {"csv": to_csv, "json": to_json, "markdown": to_markdown}


def to_text(frame: pd.DataFrame, form: str) -> str:
    """A frame in one of the `FORMATS`.

    Raises
    ------
    UsageError
        If there is no such format.
    """
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r}", did_you_mean(form, [*FORMATS, "table"]))
    return FORMATS[form](frame)


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _value(value: Any) -> Any:
    """A JSON value: numpy scalars unpacked, missing values and infinity null."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _text(value: Any) -> str:
    plain = _value(value)
    if plain is None:
        return ""
    text = number(plain, 4) if isinstance(plain, float) else str(plain)
    return text.replace("|", "\\|").replace("\r", " ").replace("\n", " ")
