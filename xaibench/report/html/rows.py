"""The leaderboard as columns of plain values, small enough to travel in a page."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP
from xaibench.analysis.leaderboard.placebo_outcomes import BEATS, LOSES, TOO_FEW, UNDECIDED, placebo_outcomes
from xaibench.report.labels import metric_labels, problem_labels, variants
from xaibench.report.single_cells import marked

SIGNIFICANT_DIGITS = 4
"""Significant digits of numbers; the page shows three."""
TEXTS = ("suite", "explainer", "metric", "problem", "dataset", "model", "family", "truth", "output", "group", "note")
NUMBERS = (
    "value", "low", "high", "skill", "skill_low", "skill_high", "rank", "rank_low", "rank_high", "p", "seconds",
    "score_seconds", "memory", "score_memory",
)  # fmt: skip
COUNTS = ("n", "n_undefined", "n_ranked", "beats", "control", "higher", "log10", "status")
_BEATS = {BEATS: 1, UNDECIDED: 0, TOO_FEW: -1, LOSES: -2}
SHOWN_STATUSES = ("ok", "undefined", "unsupported", "failed", "missing")


def board_columns(board: pd.DataFrame) -> dict[str, Any]:
    """Columns of a leaderboard for the page.

    Texts are lists of distinct values with an index per row, numbers have `SIGNIFICANT_DIGITS` significant
    digits, and what is missing is null. Columns that a board does not have, because it was made
    before there were any, are null as well. ``beats`` is 1, 0,
    -1 (too few samples to tell), -2 (worse than some placebo by a test) or null.
    """
    board = _ordered(board)
    frame = pd.DataFrame(index=board.index)
    names = variants(zip(board["explainer"], board["explainer_params"], strict=True))
    pairs = zip(board["explainer"], board["explainer_params"], strict=True)
    frame["explainer"] = [marked(names[key], key[1]) for key in pairs]
    labels = metric_labels(board)
    keys = zip(board["metric"], board["params"], board["asked_output"], strict=True)
    frame["metric"] = [marked(labels[key], key[1]) for key in keys]
    frame["problem"] = problem_labels(board)
    frame["family"] = board["family"].str.replace("_", " ")
    for name in ("suite", "dataset", "model", "output"):
        frame[name] = board[name]
    frame["truth"] = board["truth_kind"].where(board["family"] == "ground_truth")
    frame["note"] = board["message"]
    frame["group"] = board.get("tie_group")
    numbers = {
        "value": "value", "low": "ci_low", "high": "ci_high", "rank": "rank", "rank_low": "rank_low", "p": "p_placebo",
        "rank_high": "rank_high", "skill": "skill", "skill_low": "skill_low", "skill_high": "skill_high",
        "seconds": "explain_seconds", "score_seconds": "score_seconds", "memory": "explain_memory",
        "score_memory": "score_memory",
    }  # fmt: skip
    counts = {
        "n": board["n"],
        "n_undefined": board["n_undefined"],
        "n_ranked": board["n_ranked"],
        "beats": placebo_outcomes(board).map(_BEATS),
        "control": board["control"].astype(int),
        "higher": board["higher_is_better"].astype(int),
        "log10": (board["aggregate"] == "median_log10").astype(int),
        "status": board["status"].map({s: i for i, s in enumerate(SHOWN_STATUSES)}),
    }
    return {
        "rows": len(board),
        "statuses": SHOWN_STATUSES,
        **{name: _texts(frame[name]) for name in TEXTS},
        **{to: _numbers(board[of]) if of in board else None for to, of in numbers.items()},
        **{name: _counts(values) for name, values in counts.items()},
    }


def _ordered(board: pd.DataFrame) -> pd.DataFrame:
    """Explainers of every comparison group by value, the best first, controls last; the groups stay in order."""
    place = board.groupby(["suite", *COMPARISON_GROUP], sort=False, dropna=False).ngroup()
    keys = {"_group": place, "_value": board["value"].where(~board["higher_is_better"], -board["value"])}
    by = ["_group", "control", "_value", *(c for c in ("rank", "rank_low", "rank_high") if c in board)]
    return board.assign(**keys).sort_values(by, kind="stable", ignore_index=True)


def _texts(values: pd.Series[Any]) -> dict[str, list[Any]] | None:
    """Distinct values and an index into them, -1 where missing; None where all are."""
    codes, known = pd.factorize(values, use_na_sentinel=True)
    return {"values": [str(v) for v in known], "codes": codes.tolist()} if len(known) else None


def _numbers(values: pd.Series[Any]) -> list[float | None] | None:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    finite = np.isfinite(numbers)
    if not finite.any():
        return None
    text = {float(v): float(f"{v:.{SIGNIFICANT_DIGITS}g}") for v in np.unique(numbers[finite])}
    return [_short(text[v]) if f else None for v, f in zip(numbers.tolist(), finite.tolist(), strict=True)]


def _short(value: float) -> float:
    """Whole numbers as such: a digit less, two characters less."""
    return int(value) if value == int(value) and abs(value) < 1e6 else value


def _counts(values: Any) -> list[int | None]:
    return [None if pd.isna(v) else int(v) for v in values]


def as_json(value: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
