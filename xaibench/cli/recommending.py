"""``xaibench recommend``: which explainers apply to a suite's problems, and what earlier boards say."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from xaibench.api.recommending import recommend
from xaibench.cli.output import print_json, stdout
from xaibench.core.storage.paths import Location, default_store


def show_recommendations(suite: str, store: Location | None, *, plugins: Sequence[str], json: bool) -> int:
    """Print what applies and what is known of it; returns the exit code."""
    found = recommend(suite, store, plugins=tuple(plugins))
    if json:
        print_json(found.astype(object).where(found.notna(), None).to_dict("records"))
        return 0
    out = stdout()
    for (dataset, model), rows in found.groupby(["dataset", "model"], sort=False):
        out.print(f"{dataset}/{model}", style="bold", markup=False)
        for line in recommendation_lines(rows):
            out.print(f"  {line}", markup=False, soft_wrap=True)
    known = (found["here"] != "") | (found["elsewhere"] != "")
    if not known.any():
        where = store or default_store()
        out.print(f"{where} holds no earlier board: `xaibench run {suite}` makes one", markup=False, soft_wrap=True)
    return 0


def recommendation_lines(rows: pd.DataFrame) -> list[str]:
    """What to say about the explainers of one problem: measured here, measured elsewhere, unmeasured, not applicable.

    Parameters
    ----------
    rows : DataFrame
        From `recommend`, of one problem.
    """
    open_ = rows[rows["applies"].isna()]
    fits = rows[rows["applies"] == True]  # noqa: E712
    lines = [f"{len(fits)} of {len(rows)} explainers apply"]
    if len(open_):
        lines[0] = f"{len(open_)} of {len(rows)} explainers may apply: {open_['reason'].iloc[0]}"
        fits = open_
    lines += _by_text("on this problem", fits[fits["here"] != ""], "here")
    rest = fits[fits["here"] == ""]
    lines += _by_text("on other problems", rest[rest["elsewhere"] != ""], "elsewhere")
    unknown = rest[rest["elsewhere"] == ""]
    if len(unknown):
        lines.append(f"never measured: {', '.join(unknown['explainer'])}")
    lines += _by_text("not applicable", rows[rows["applies"] == False], "reason")  # noqa: E712
    return lines


def _by_text(title: str, rows: pd.DataFrame, column: str) -> list[str]:
    groups = rows.groupby(column, sort=False)["explainer"]
    return [f"{title}, {text}: {', '.join(names)}" for text, names in groups]
