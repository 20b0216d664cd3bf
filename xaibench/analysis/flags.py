"""Columns of yes, no and unknown: a missing value is neither."""

from __future__ import annotations

from typing import Any

import pandas as pd


def is_true(column: pd.Series[Any]) -> pd.Series[bool]:
    """Where a column says yes; False where it says no or nothing."""
    found: pd.Series[bool] = (column == True).fillna(False).astype(bool)  # noqa: E712
    return found


def is_false(column: pd.Series[Any]) -> pd.Series[bool]:
    """Where a column says no; False where it says yes or nothing."""
    found: pd.Series[bool] = (column == False).fillna(False).astype(bool)  # noqa: E712
    return found
