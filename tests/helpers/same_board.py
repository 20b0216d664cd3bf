"""Compare two stores value for value, times excepted: ``python -m helpers.same_board BEFORE AFTER``."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

import xaibench as xb
from xaibench.store import Store

TIMES = ("_seconds", "_memory", "_at")
RESULT = ["cell_id", "status", "sample_ids", "scores", "score_key", "message"]


def differences(before: str, after: str) -> list[str]:
    """What differs between the boards and the scores of two stores; empty where nothing does."""
    found = different(*(xb.leaderboard(store).reset_index(drop=True) for store in (before, after)))
    return found + different(*(_results(store) for store in (before, after)))


def _results(store: str) -> pd.DataFrame:
    frame = Store(store).read().to_pandas().sort_values("cell_id", ignore_index=True)
    return frame[RESULT]


def different(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """Columns of two frames that differ, each with its first difference; times and memory are not compared."""
    if list(before.columns) != list(after.columns) or len(before) != len(after):
        return [f"{before.shape} with {list(before.columns)} became {after.shape} with {list(after.columns)}"]
    found = []
    for column in before.columns:
        if column.endswith(TIMES):
            continue
        left, right = before[column].tolist(), after[column].tolist()
        unequal = [i for i, (a, b) in enumerate(zip(left, right, strict=True)) if not _equal(a, b)]
        found += [f"{column}: {len(unequal)} of {len(left)}, first {left[i]} became {right[i]}" for i in unequal[:1]]
    return found


def _equal(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray | list) and isinstance(b, np.ndarray | list):
        x, y = np.asarray(a), np.asarray(b)
        return x.shape == y.shape and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    if pd.isna(a) or pd.isna(b):
        return bool(pd.isna(a) and pd.isna(b))
    return bool(a == b)


def main() -> None:
    """Print the differences; exit with 1 where there are any."""
    before, after = sys.argv[1:]
    found = differences(before, after)
    sys.stdout.write("\n".join(found or ["equal value for value, times excepted"]) + "\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
