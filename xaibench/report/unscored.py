"""Why an explainer has no score: every reason once, with the problems and metrics that it is about."""

from __future__ import annotations

from typing import cast

import pandas as pd
from rich.console import RenderableType
from rich.text import Text

from xaibench.report.labels import metric_labels, problem_label

_FEW = 3
"""Problems and metrics that are named; of more their number."""


def unscored_list(board: pd.DataFrame) -> RenderableType | None:
    """What has no score and why, a line per reason, what concerns most rows first.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`; the rows of one explainer.

    Returns
    -------
    RenderableType or None
        None where every row has a score.
    """
    without = board[board["value"].isna()]
    if without.empty:
        return None
    labels = metric_labels(board)
    reason = without["message"].where(without["message"].notna(), "").astype(str).str.split().str.join(" ")
    without = without.assign(_reason=reason.where(reason != "", without["status"].astype(str)))
    lines = [f"Without a score: {len(without)} of {len(board)}"]
    groups = sorted(without.groupby(["status", "_reason"], sort=True), key=lambda item: -len(item[1]))
    for key, rows in groups:
        status, said = (str(part) for part in cast("tuple[str, str]", key))
        places = dict.fromkeys(
            problem_label(d, m, s) for d, m, s in zip(rows["dataset"], rows["model"], rows["selection"], strict=True)
        )
        metrics = dict.fromkeys(
            labels.get((m, p, o), m)
            for m, p, o in zip(rows["metric"], rows["params"], rows["asked_output"], strict=True)
        )
        about = f"{_named(list(metrics), 'metrics')} on {_named(list(places), 'problems')}"
        lines.append(f"  {about}: {said if status in said or said == status else f'{status}: {said}'}")
    return Text("\n".join(lines))


def _named(names: list[str], what: str) -> str:
    return ", ".join(names) if len(names) <= _FEW else f"{len(names)} {what}"
