"""Tests of explainers against the placebos, one by one, for the terminal: those lost first."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pandas as pd
from rich.console import RenderableType
from rich.text import Text

from xaibench.analysis.leaderboard.placebo_outcomes import BEATS, LOSES, TOO_FEW, UNDECIDED, placebo_outcomes
from xaibench.report.labels import metric_labels, number, problem_label, variants
from xaibench.report.layout import Trimmed

_WORDS = {LOSES: "lost", UNDECIDED: "undecided", TOO_FEW: "too few samples", BEATS: "won"}
_HEADS = ("problem", "value", "best placebo", "its value")


def placebo_tests_list(board: pd.DataFrame) -> RenderableType | None:
    """Every test behind the counts of tests won and lost.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`; of one suite, such as the rows of one explainer.

    Returns
    -------
    RenderableType or None
        For each outcome and metric, a line per problem with the value (the log10 of it where the heading says so) and
        the best placebo with its value; None where nothing was tested.
    """
    outcomes = placebo_outcomes(board)
    tested = board.assign(outcome=outcomes)[outcomes.notna() & ~board["control"].astype(bool)]
    if tested.empty:
        return None
    place = {outcome: i for i, outcome in enumerate(_WORDS)}
    keys = ["_place", "explainer", "explainer_params", "metric", "params", "asked_output", "dataset", "model"]
    ordered = tested.assign(_place=tested["outcome"].map(place)).sort_values(keys, kind="stable").to_dict("records")
    names = variants(zip(tested["explainer"], tested["explainer_params"], strict=True))
    metrics = metric_labels(board)

    def heading(row: dict[Any, Any]) -> str:
        metric = metrics[row["metric"], row["params"], row["asked_output"]]
        scale = "log10, " if row["aggregate"] == "median_log10" else ""
        better = "higher" if row["higher_is_better"] else "lower"
        who = f"{names[row['explainer'], row['explainer_params']]} " if len(names) > 1 else ""
        return f"{who}{_WORDS[row['outcome']]}: {metric} ({scale}{better} is better)"

    cells = [
        (
            problem_label(row["dataset"], row["model"], row.get("selection")),
            number(row["value"]),
            row["placebo"] if isinstance(row["placebo"], str) else "",
            number(row["placebo_value"]),
        )
        for row in ordered
    ]
    widths = [max(len(row[i]) for row in (_HEADS, *cells)) for i in range(len(_HEADS))]
    lines = [_line(_HEADS, widths)]
    for title, group in groupby(zip(ordered, cells, strict=True), key=lambda pair: heading(pair[0])):
        lines += [title, *(_line(row, widths) for _, row in group)]
    return Trimmed(Text("\n".join(lines)))


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    problem, value, placebo, other = cells
    return f"  {problem:<{widths[0]}}  {value:>{widths[1]}}  {placebo:<{widths[2]}}  {other:>{widths[3]}}"
